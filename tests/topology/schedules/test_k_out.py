"""Fresh k-out graphs with equal in-degree: the mean stays, and disagreement shrinks as the closed form says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.schedules import k_out
from tests.topology.schedules.contraction import contraction


# (1/(k+1)) (1 − k/(n−1)). 4 standard errors: seeds that fail are one in 16,000.
@pytest.mark.parametrize(
    ("n", "k", "factor"),
    [(3, 1, 1 / 4), (9, 3, 5 / 32), (10, 1, 4 / 9), (25, 1, 23 / 48), (25, 4, 1 / 6), (96, 7, 11 / 95)],
)
def test_disagreement_shrinks_as_the_closed_form_says(n: int, k: int, factor: float) -> None:
    mean, error = contraction(k_out(n, k=k, rounds=500, rng=np.random.default_rng(0)))
    assert abs(mean - factor) <= 4 * error + 1e-12  # n = 3 has two orders, and both shrink alike
    assert error < 0.01


def test_all_cyclic_orders_are_equally_likely() -> None:
    drawn = Counter(w.tobytes() for w in k_out(4, k=1, rounds=600, rng=np.random.default_rng(0)))
    assert len(drawn) == 6
    assert stats.chisquare(list(drawn.values())).pvalue > 0.001


@given(st.integers(2, 60), st.integers(1, 3), st.integers(0, 2**32), st.data())
def test_everybody_sends_to_k_others_and_hears_k_others(n: int, rounds: int, seed: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n - 1))
    drawn = k_out(n, k=k, rounds=rounds, rng=np.random.default_rng(seed))
    assert len(drawn) == rounds
    for w in drawn:
        assert set(w.ravel().tolist()) <= {0.0, 1 / (k + 1)}
        assert (np.diag(w) > 0).all()
        assert (np.count_nonzero(w, axis=0) == k + 1).all()
        assert (np.count_nonzero(w, axis=1) == k + 1).all()


def test_with_k_1_the_messages_of_a_round_go_in_one_circle_through_all_nodes() -> None:
    (w,) = k_out(12, k=1, rng=np.random.default_rng(0))
    hears = np.argmax(w - np.eye(12) / 2, axis=1)
    node, passed = 0, set[int]()
    while node not in passed:
        passed.add(node)
        node = int(hears[node])
    assert passed == set(range(12))


def test_the_same_seed_draws_the_same_rounds_and_another_seed_others() -> None:
    first, again, other = (np.stack(k_out(20, k=2, rounds=2, rng=np.random.default_rng(seed))) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    assert (first[0] != first[1]).any()


@pytest.mark.parametrize(
    ("n", "k", "rounds", "message"),
    [
        (1, 1, 1, r"k-out: n = 1: .*2 to 10000"),
        (4, 0, 1, r"k-out: k = 0: .*at least 1"),
        (4, 4, 1, r"k-out: k = 4: must be < n = 4, 1 to 3"),
        (4, 1, 0, r"k-out: rounds = 0: .*at least 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(n: int, k: int, rounds: int, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        k_out(n, k=k, rounds=rounds, rng=np.random.default_rng(0))
