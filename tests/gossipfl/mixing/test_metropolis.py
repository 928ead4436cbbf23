"""Metropolis on rates: the network's mean is kept in expectation, exactly (invariant I4)."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.mixing.metropolis import alpha

Graph = dict[int, list[int]]
PATH: Graph = {0: [1], 1: [0, 2], 2: [1, 3], 3: [2]}
STAR: Graph = {0: [1, 2, 3, 4], 1: [0], 2: [0], 3: [0], 4: [0]}
RING: Graph = {i: [(i - 1) % 5, (i + 1) % 5] for i in range(5)}
RATES = [Fraction(1), Fraction(1, 7), Fraction(5), Fraction(2, 3), Fraction(11, 2)]


def expected_change(graph: Graph, publishes: list[Fraction], fanout: int) -> list[list[Fraction]]:
    """Σ over all events, i publishes and j receives, of rate · α · e_j (e_i − e_j)ᵀ."""
    reach = {(i, j): publishes[i] * min(Fraction(1), Fraction(fanout, len(graph[i]))) for i in graph for j in graph[i]}
    change = [[Fraction(0)] * len(graph) for _ in graph]
    for (i, j), rate in reach.items():
        flux = rate * alpha(rate, reach[j, i])
        change[j][i] += flux
        change[j][j] -= flux
    return change


@pytest.mark.parametrize("graph", [PATH, STAR, RING], ids=["path", "star", "ring"])
@pytest.mark.parametrize("fanout", [1, 2, 9])
def test_the_mean_is_kept_in_expectation(graph: Graph, fanout: int) -> None:
    change = expected_change(graph, RATES, fanout)
    nodes = range(len(graph))
    assert all(change[i][j] == change[j][i] for i in nodes for j in nodes)
    assert all(sum(change[i][j] for i in nodes) == 0 for j in nodes)
    assert all(sum(row) == 0 for row in change)
    assert any(change[i][j] for i in nodes for j in nodes if i != j)


def test_without_the_rates_the_mean_would_drift() -> None:
    """The check above can fail: with ½ for everybody a star's hub counts too much."""
    change = [[Fraction(0)] * 5 for _ in STAR]
    for i, neighbours in STAR.items():
        for j in neighbours:
            flux = RATES[i] * Fraction(1, 2 * len(neighbours))
            change[j][i] += flux
            change[j][j] -= flux
    assert any(sum(change[i][j] for i in range(5)) != 0 for j in range(5))


rates = st.floats(1e-9, 1e6)


@given(rates, rates)
def test_a_coefficient_is_at_most_a_half_and_flux_is_symmetric(one: float, other: float) -> None:
    assert 0 < alpha(one, other) <= 0.5
    assert one * alpha(one, other) == pytest.approx(other * alpha(other, one))


@given(st.fractions(Fraction(1, 10**9), 10**6), st.fractions(Fraction(1, 10**9), 10**6))
def test_in_fractions_symmetry_is_exact(one: Fraction, other: Fraction) -> None:
    assert one * alpha(one, other) == other * alpha(other, one)


@pytest.mark.parametrize(("rate_in", "rate_out", "expected"), [(1, 1, 0.5), (1, 9, 0.5), (4, 1, 0.125), (2, 1, 0.25)])
def test_coefficients_as_in_the_rule(rate_in: float, rate_out: float, expected: float) -> None:
    assert alpha(float(rate_in), float(rate_out)) == expected


@pytest.mark.parametrize("tiny", [5e-324, 1e-310])
def test_the_smallest_rates_that_a_peer_may_claim_do_no_harm(tiny: float) -> None:
    assert 0 <= alpha(tiny, 1.0) <= 0.5
    assert 0 <= alpha(1.0, tiny) <= 0.5
