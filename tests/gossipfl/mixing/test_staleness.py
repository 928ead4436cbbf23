"""Staleness weights: a table from the papers, and what holds for every strategy."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import LocalError
from gossipfl.mixing.staleness import STRATEGIES, Constant, Drop, Hinge, Polynomial, Staleness, staleness


@pytest.mark.parametrize(
    ("strategy", "tau", "weight"),
    [
        (Constant(), 0, 1),
        (Constant(), 1e15, 1),
        (Hinge(), 0, 1),
        (Hinge(), 1, 1),
        (Hinge(), 3, 1 / 2),
        (Hinge(), 9, 1 / 5),
        (Hinge(a=10, b=4), 5, 1 / 11),
        (Polynomial(), 0, 1),
        (Polynomial(), 3, 1 / 2),
        (Polynomial(), 99, 1 / 10),
        (Polynomial(a=1), 3, 1 / 4),
        (Drop(), 0, 1),
        (Drop(), 8, 1),
        (Drop(), 8.001, 0),
        (Drop(b=2), 3, 0),
    ],
)
def test_a_weight_is_as_published(strategy: Staleness, tau: float, weight: float) -> None:
    assert strategy.weight(tau) == pytest.approx(weight)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_starts_at_one_and_never_rises(name: str) -> None:
    @given(st.floats(0, 1e18), st.floats(0, 1e18))
    def never_rises(one: float, other: float) -> None:
        strategy = staleness(name)
        sooner, later = strategy.weight(min(one, other)), strategy.weight(max(one, other))
        assert 0 <= later <= sooner <= 1
        assert math.isfinite(later)

    assert staleness(name).weight(0.0) == 1
    never_rises()


def test_an_unknown_strategy_is_told_what_there_is() -> None:
    with pytest.raises(LocalError, match="no strategy 'hinges'; one of hinge, const, poly, drop"):
        staleness("hinges")
