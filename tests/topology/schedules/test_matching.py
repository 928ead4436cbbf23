"""Random matchings: as many pairs as there can be, each set of pairs as likely as any other."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.schedules import matching
from tests.topology.schedules.contraction import contraction


# n = 4 has 3 perfect matchings; n = 5 has 5 nodes that may idle, times 3.
@pytest.mark.parametrize(("n", "ways"), [(4, 3), (5, 15)])
def test_all_matchings_are_equally_likely(n: int, ways: int) -> None:
    drawn = Counter(w.tobytes() for w in matching(n, rounds=100 * ways, rng=np.random.default_rng(0)))
    assert len(drawn) == ways
    assert stats.chisquare(list(drawn.values())).pvalue > 0.001


# ½(1 − 1/(n−1)) for even n, ½ for odd n. 4 standard errors: seeds that fail are one in 16,000.
@pytest.mark.parametrize(("n", "factor"), [(4, 1 / 3), (20, 9 / 19), (96, 47 / 95), (5, 0.5), (21, 0.5)])
def test_disagreement_shrinks_as_boyd_et_al_say(n: int, factor: float) -> None:
    mean, error = contraction(matching(n, rounds=500, rng=np.random.default_rng(1)))
    assert abs(mean - factor) <= 4 * error
    assert error < 0.03


@given(st.integers(1, 60), st.integers(1, 3), st.integers(0, 2**32))
def test_everybody_but_one_of_an_odd_number_has_a_partner(n: int, rounds: int, seed: int) -> None:
    drawn = matching(n, rounds=rounds, rng=np.random.default_rng(seed))
    assert len(drawn) == rounds
    for w in drawn:
        assert (w == w.T).all()
        assert np.count_nonzero(np.diag(w) == 1) == n % 2
        assert np.count_nonzero(w == 0.5) == 4 * (n // 2)
        assert (w.sum(axis=0) == 1).all()
        assert (w @ w == w).all()


def test_the_same_seed_draws_the_same_rounds_and_another_seed_others() -> None:
    first, again, other = (np.stack(matching(20, rounds=2, rng=np.random.default_rng(seed))) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    assert (first[0] != first[1]).any()


@pytest.mark.parametrize(
    ("n", "rounds", "message"),
    [
        (0, 1, r"matching: n = 0: .*1 to 10000"),
        (10_001, 1, r"matching: n = 10001: .*1 to 10000"),
        (4, 0, r"matching: rounds = 0: .*at least 1"),
        (4, 2.5, r"matching: rounds = 2\.5: .*whole number"),
    ],
)
def test_what_cannot_be_drawn_is_refused(n: int, rounds: int, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        matching(n, rounds=rounds, rng=np.random.default_rng(0))
