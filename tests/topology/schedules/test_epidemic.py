"""Epidemic learning: degrees and weights as defined, and the contraction of de Vos et al. (NeurIPS 2023)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import FloatArray
from gossipfl_topology.schedules import el_local, el_oracle
from tests.topology.schedules.contraction import contraction

Schedule = Callable[..., list[FloatArray]]


# Oracle: (1/(s+1)) (1 − s/(n−1)). Local: (1/s) (1 − (1 − s/(n−1))ⁿ) − 1/(n−1); with n = 3, s = 1 that is the mean over
# the 8 ways to send. 4 standard errors: seeds that fail are one in 16,000.
@pytest.mark.parametrize(
    ("schedule", "n", "s", "factor"),
    [
        (el_oracle, 4, 1, 0.33333),
        (el_oracle, 25, 2, 0.30556),
        (el_oracle, 96, 7, 0.11579),
        (el_oracle, 26, 21, 0.00727),
        (el_local, 3, 1, 0.37500),
        (el_local, 25, 2, 0.40154),
        (el_local, 96, 7, 0.13219),
        (el_local, 26, 21, 0.00762),
    ],
)
def test_disagreement_about_the_old_mean_shrinks_as_published(
    schedule: Schedule, n: int, s: int, factor: float
) -> None:
    mean, error = contraction(schedule(n, s=s, rounds=400, rng=np.random.default_rng(0)))
    assert abs(mean - factor) <= 4 * error + 5e-6
    assert error < 0.06 * factor


@given(st.integers(2, 40), st.integers(0, 2**32), st.data())
def test_oracle_gives_everybody_s_neighbours_with_equal_weights(n: int, seed: int, data: st.DataObject) -> None:
    s = data.draw(st.integers(1, n - 1).filter(lambda s: n * s % 2 == 0))
    for w in el_oracle(n, s=s, rounds=2, rng=np.random.default_rng(seed)):
        assert (w == w.T).all()
        assert set(w.ravel().tolist()) <= {0.0, 1 / (s + 1)}
        assert (np.diag(w) > 0).all()
        assert (np.count_nonzero(w, axis=1) == s + 1).all()


@pytest.mark.parametrize("s", [60, 98, 99])
def test_oracle_draws_dense_graphs_too(s: int) -> None:
    (w,) = el_oracle(100, s=s, rng=np.random.default_rng(0))
    assert (np.count_nonzero(w, axis=1) == s + 1).all()


# Four nodes have 3 perfect matchings, and 3 cycles through all of them.
@pytest.mark.parametrize("s", [1, 2])
def test_oracle_draws_all_regular_graphs_equally_often(s: int) -> None:
    drawn = Counter(w.tobytes() for w in el_oracle(4, s=s, rounds=300, rng=np.random.default_rng(0)))
    assert len(drawn) == 3
    assert stats.chisquare(list(drawn.values())).pvalue > 0.001


@given(st.integers(2, 40), st.integers(0, 2**32), st.data())
def test_local_lets_everybody_send_to_s_others_and_average_all_it_hears(n: int, seed: int, data: st.DataObject) -> None:
    s = data.draw(st.integers(1, n - 1))
    for w in el_local(n, s=s, rounds=2, rng=np.random.default_rng(seed)):
        assert (np.diag(w) > 0).all()
        assert (np.count_nonzero(w, axis=0) == s + 1).all()
        heard = np.count_nonzero(w, axis=1)
        assert (np.where(w > 0, w, 0) == np.where(w > 0, 1 / heard[:, None], 0)).all()


# C(5, 2) = 10 sets for each of 6 nodes; two nodes' choices have nothing to do with each other.
def test_local_chooses_all_sets_of_others_equally_often_and_independently() -> None:
    rounds = el_local(6, s=2, rounds=2000, rng=np.random.default_rng(0))
    sets = [Counter(tuple(np.flatnonzero(w[:, node])) for w in rounds) for node in (0, 5)]
    assert [len(drawn) for drawn in sets] == [10, 10]
    assert min(stats.chisquare(list(drawn.values())).pvalue for drawn in sets) > 0.001
    together = np.array([[w[3, 0] > 0, w[3, 5] > 0] for w in rounds])
    assert np.mean(together.all(axis=1)) == pytest.approx(0.4**2, abs=4 * np.sqrt(0.16 * 0.84 / 2000))


# Some hear nobody and are heard by others, which counts them twice: rows sum to 1 and columns don't.
def test_local_moves_the_mean_and_oracle_does_not() -> None:
    local, oracle = (schedule(25, s=2, rng=np.random.default_rng(0))[0] for schedule in (el_local, el_oracle))
    assert oracle.sum(axis=0) == pytest.approx(np.ones(25))
    assert np.abs(local.sum(axis=0) - 1).max() > 0.1


@pytest.mark.parametrize("schedule", [el_oracle, el_local])
def test_the_same_seed_draws_the_same_rounds_and_another_seed_others(schedule: Schedule) -> None:
    first, again, other = (np.stack(schedule(20, rounds=2, rng=np.random.default_rng(seed))) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    assert (first[0] != first[1]).any()


@pytest.mark.parametrize(
    ("schedule", "n", "s", "rounds", "message"),
    [
        (el_oracle, 1, 1, 1, r"el-oracle: n = 1: .*2 to 10000"),
        (el_oracle, 4, 0, 1, r"el-oracle: s = 0: .*at least 1"),
        (el_oracle, 4, 4, 1, r"el-oracle: s = 4: must be < n = 4, 1 to 3"),
        (el_oracle, 5, 3, 1, r"el-oracle: s = 3: n·s must be even: with n = 5, s = 2 or 4 would work"),
        (el_oracle, 5, 1, 1, r"el-oracle: s = 1: n·s must be even: with n = 5, s = 2 would work"),
        (el_oracle, 4, 2, 0, r"el-oracle: rounds = 0: .*at least 1"),
        (el_local, 1, 1, 1, r"el-local: n = 1: .*2 to 10000"),
        (el_local, 4, -1, 1, r"el-local: s = -1: .*at least 1"),
        (el_local, 4, 4, 1, r"el-local: s = 4: must be < n = 4, 1 to 3"),
        (el_local, 4, 2, 0, r"el-local: rounds = 0: .*at least 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(schedule: Schedule, n: int, s: int, rounds: int, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        schedule(n, s=s, rounds=rounds, rng=np.random.default_rng(0))
