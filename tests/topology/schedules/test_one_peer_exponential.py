"""The one-peer exponential graph: exact for powers of two in any order of rounds, and for nothing else."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graphs.classic import exponential
from gossipfl_topology.schedules import one_peer_exponential


@pytest.mark.parametrize(("n", "length"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (25, 5), (32, 5), (33, 6)])
def test_a_period_has_as_many_rounds_as_n_has_binary_digits(n: int, length: int) -> None:
    assert len(one_peer_exponential(n)) == length


@pytest.mark.parametrize("n", [2, 4, 8, 16, 32])
def test_powers_of_two_reach_the_mean_without_any_rounding_in_any_order(n: int) -> None:
    for order in permutations(one_peer_exponential(n)):
        product = np.eye(n)
        for w in order:
            product = w @ product
        assert (product == 1 / n).all()


# ‖P − J‖₂ of the product P of a period: by eigenvalues, max over f = 1 … n−1 of Π_t |1 + exp(2πi f 2^t / n)| / 2.
@pytest.mark.parametrize(("n", "residual"), [(6, 0.217), (10, 0.192), (25, 0.192), (33, 0.031)])
def test_other_sizes_keep_a_part_of_their_disagreement(n: int, residual: float) -> None:
    product = np.eye(n)
    for w in one_peer_exponential(n):
        product = w @ product
    assert np.linalg.norm(product - 1 / n, 2) == pytest.approx(residual, abs=5e-4)


@pytest.mark.parametrize("n", [2, 3, 7, 16, 25])
def test_everybody_hears_one_other_and_is_heard_by_one_other(n: int) -> None:
    for w in one_peer_exponential(n):
        assert (np.diag(w) == 0.5).all()
        heard = w - np.eye(n) / 2
        assert (np.sort(heard, axis=0)[-1] == 0.5).all()
        assert (np.sort(heard, axis=1)[:, -1] == 0.5).all()
        assert np.count_nonzero(heard) == n


@pytest.mark.parametrize("n", [2, 3, 6, 8, 25])
def test_the_messages_of_a_period_are_those_of_the_static_exponential_graph(n: int) -> None:
    sent = np.concatenate([np.argwhere(w.T - np.eye(n) / 2) for w in one_peer_exponential(n)])
    assert sorted(map(tuple, sent.tolist())) == sorted(map(tuple, exponential(n).edges.tolist()))


def test_one_node_idles() -> None:
    assert [w.tolist() for w in one_peer_exponential(1)] == [[[1.0]]]


@pytest.mark.parametrize("n", [0, -3, 10_001])
def test_a_size_out_of_range_is_refused(n: int) -> None:
    with pytest.raises(TopologyError, match=rf"one-peer-exponential: n = {n}: .*1 to 10000"):
        one_peer_exponential(n)
