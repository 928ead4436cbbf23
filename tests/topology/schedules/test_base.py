"""The Base-(k+1) Graph: exact after one period for every n and k, and as short as published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import FloatArray
from gossipfl_topology.schedules import base

NODES = range(2, 101)
EPSILON = float(np.finfo(float).eps)


def product(rounds: list[FloatArray]) -> FloatArray:
    made = np.eye(len(rounds[0]))
    for w in rounds:
        made = sparse.csr_array(w) @ made  # most of w is 0, and threads of a dense product fight for a busy machine
    return made


def messages(rounds: list[FloatArray]) -> int:
    return sum(int(np.count_nonzero(w - np.diag(np.diag(w)))) for w in rounds)


# Takezawa et al. (NeurIPS 2023): the lengths of the published construction. Powers of two with k = 1 are hypercubes.
@pytest.mark.parametrize(
    ("n", "lengths"),
    [
        (5, [5, 3, 3, 1]),
        (6, [4, 2, 2, 2]),
        (8, [3, 3, 2, 2]),
        (21, [9, 5, 4, 4]),
        (22, [8, 6, 5, 4]),
        (23, [9, 6, 5, 4]),
        (24, [6, 4, 3, 3]),
        (25, [9, 6, 5, 2]),
        (33, [11, 6, 5, 5]),
        (50, [10, 7, 6, 3]),
        (100, [11, 8, 6, 3]),
    ],
)
def test_a_period_is_as_long_as_published(n: int, lengths: list[int]) -> None:
    assert [len(base(n, k=k)) for k in (1, 2, 3, 4)] == lengths


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_after_a_period_everybody_has_the_exact_mean(k: int) -> None:
    off = {n: np.abs(product(base(n, k=k)) - 1 / n).max() for n in NODES}
    assert max(off.values()) <= EPSILON, off


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_rounds_are_symmetric_doubly_stochastic_and_have_at_most_k_neighbours(k: int) -> None:
    for n in NODES:
        for w in base(n, k=k):
            assert (w == w.T).all()
            assert (w >= 0).all()
            assert np.abs(w.sum(axis=1) - 1).max() <= EPSILON
            others = (w > 0) & ~np.eye(n, dtype=bool)
            assert others.sum(axis=1).max() <= k, n


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_period_is_at_most_twice_as_long_as_a_logarithm(k: int) -> None:
    long = {n: len(base(n, k=k)) for n in NODES if len(base(n, k=k)) > 2 * math.log(n, k + 1) + 2 + 1e-9}
    assert not long


# 25 = 16 + 8 + 1: 4·16 + 3·8 messages inside, 2·9 in a trade, 4·16 inside, 2·1 in a trade, 3·8 inside.
def test_25_nodes_send_7_84_messages_each() -> None:
    assert messages(base(25, k=1)) / 25 == pytest.approx(7.84)


# Two factorisations of 12 into two factors ≤ 6: 6·2 costs 5 + 1 messages a node, 4·3 costs 3 + 2.
def test_of_equally_short_periods_the_one_with_fewer_messages_is_taken() -> None:
    rounds = base(12, k=5)
    assert (len(rounds), messages(rounds)) == (2, 12 * 5)


@pytest.mark.parametrize("k", [6, 7, 50])
def test_with_n_minus_1_neighbours_or_more_it_is_one_round_of_the_complete_graph(k: int) -> None:
    (w,) = base(7, k=k)
    assert w == pytest.approx(np.full((7, 7), 1 / 7))


def test_one_node_idles() -> None:
    assert [w.tolist() for w in base(1)] == [[[1.0]]]


@pytest.mark.parametrize(
    ("n", "k", "message"),
    [
        (0, 1, r"base: n = 0: .*1 to 10000"),
        (10_001, 1, r"base: n = 10001: .*1 to 10000"),
        (5.0, 1, r"base: n = 5\.0: .*whole number"),
        (5, 0, r"base: k = 0: .*at least 1"),
        (5, -1, r"base: k = -1: .*at least 1"),
        (5, 1.5, r"base: k = 1\.5: .*whole number"),
    ],
)
def test_what_cannot_be_built_is_refused(n: int, k: int, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        base(n, k=k)


@given(st.integers(1, 150), st.integers(1, 20))
def test_any_n_and_k_are_exact_and_short(n: int, k: int) -> None:
    rounds = base(n, k=k)
    assert np.abs(product(rounds) - 1 / n).max() <= EPSILON
    assert len(rounds) <= 2 * math.log(n, k + 1) + 2 + 1e-9
    assert max(np.count_nonzero(w - np.diag(np.diag(w)), axis=1).max() for w in rounds) <= k


@given(st.integers(2, 60), st.integers(1, 6), st.data())
def test_no_round_can_be_left_out(n: int, k: int, data: st.DataObject) -> None:
    rounds = base(n, k=k)
    left_out = data.draw(st.integers(0, len(rounds) - 1))
    assert np.abs(product(rounds[:left_out] + rounds[left_out + 1 :] or [np.eye(n)]) - 1 / n).max() > 1e-3
