"""Rounds and messages until agreement: exact values, the simulation against them, and what absence may not change."""

# ruff: noqa: N803, N806 (a mixing matrix is W, as in the papers)

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import FloatArray
from gossipfl_topology.measures.consensus import Consensus, Rounds, fresh, masked, rounds_to, simulate
from gossipfl_topology.mixing.rules import mixing_matrix

RING = mixing_matrix(nx.cycle_graph(25))


def matched(k: int, rng: np.random.Generator) -> FloatArray:
    """Random pairs average; with odd k one idles."""
    W = np.eye(k)
    pairs = rng.permutation(k)[: k - k % 2].reshape(-1, 2)
    W[pairs[:, :, None], pairs[:, None, :]] = 0.5
    return W


def pushed(k: int, rng: np.random.Generator) -> FloatArray:
    """Everybody sends to one random other, and averages what it has and hears (EL-Local, s = 1)."""
    W = np.eye(k)
    senders = np.arange(k)
    W[(senders + rng.integers(1, k, k)) % k, senders] = 1
    heard: FloatArray = W.sum(axis=1, keepdims=True)
    return W / heard


@pytest.mark.parametrize(
    ("graph", "rounds"),
    [
        # Two eigenvalues decide: (2/25)(1 − .0209446)²ᵗ ≤ 1e-10 from t = 484.2 on.
        (nx.cycle_graph(25), 485),
        # 1 − k/2 with multiplicity (1, 3, 3, 1): (4/8) 4⁻ᵗ ≤ 1e-10 from t = 16.1 on.
        (nx.hypercube_graph(3), 17),
        # All others are 0.
        (nx.complete_graph(25), 1),
        (nx.star_graph(1), 1),
        (nx.empty_graph(1), 0),
        (nx.empty_graph(2), math.inf),
    ],
)
def test_the_expected_rounds_of_fixed_weights(graph: nx.Graph, rounds: float) -> None:
    W = mixing_matrix(graph)
    assert rounds_to(W) == rounds
    assert rounds_to(np.asarray(np.linalg.eigvalsh(W), dtype=float)) == rounds


@given(st.integers(2, 20), st.floats(1e-12, 0.5), st.integers(0, 2**20))
def test_the_expected_error_passes_the_aim_in_that_round(n: int, epsilon: float, seed: int) -> None:
    W = mixing_matrix(nx.cycle_graph(n) if seed % 2 else nx.complete_graph(n), "lazy")
    rounds = int(rounds_to(W, epsilon))

    def error(t: int) -> float:
        # E‖Wᵗx − x̄‖²/n over x with unit covariance is the squared Frobenius norm of Wᵗ − J over n.
        return (
            float((np.linalg.matrix_power(W, t) - 1 / n).ravel() @ (np.linalg.matrix_power(W, t) - 1 / n).ravel()) / n
        )

    assert error(rounds) <= epsilon * (1 + 1e-9)
    assert rounds == 0 or error(rounds - 1) > epsilon * (1 - 1e-9)


def test_values_that_swap_for_ever_never_agree() -> None:
    assert rounds_to(np.array([[0.0, 1], [1, 0]])) == math.inf


@pytest.mark.parametrize(
    ("W", "epsilon", "message"),
    [
        (RING, 0, "epsilon = 0: must be > 0"),
        (np.array([[1.0, 0], [0.5, 0.5]]), 0.1, "symmetric"),
        (np.array([[1.0, 0.5], [0.5, 1.0]]), 0.1, "sum to 1"),
        (np.ones((2, 3)), 0.1, "shape of W"),
        (np.array([0.5, 0.5]), 0.1, "eigenvalues = have no 1"),
        (np.empty(0), 0.1, "eigenvalues = have no 1"),
    ],
)
def test_weights_that_the_formula_does_not_hold_for_are_refused(W: FloatArray, epsilon: float, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        rounds_to(W, epsilon)


def test_the_simulation_agrees_with_the_exact_rounds() -> None:
    found = simulate(masked([RING]), 25)
    # The mean of the runs' rounds is less than the rounds of their mean error, which the worst runs hold up: 2.5 %.
    assert rounds_to(RING) * 0.96 < found.rounds < rounds_to(RING)
    assert found.messages == pytest.approx(2 * found.rounds)
    assert found.drift < 1e-12


def test_a_ring_with_absent_nodes_takes_longer_and_sends_only_between_those_present() -> None:
    # A tenth absent: an edge works with probability .9², and what is slow takes longer by that.
    found = simulate(masked([RING]), 25, absent=0.1)
    assert found.rounds == pytest.approx(simulate(masked([RING]), 25).rounds / 0.81, rel=0.03)
    assert found.messages / found.rounds == pytest.approx(2 * 0.81, rel=0.01)
    assert found.drift < 1e-12


@pytest.mark.parametrize("n", [4, 8, 16])
def test_a_period_of_one_peer_exponential_rounds_is_exact(n: int) -> None:
    # Ying et al., NeurIPS 2021: log₂ n rounds average exactly, one message per node each.
    period = [(np.eye(n) + np.roll(np.eye(n), 2**j, axis=0)) / 2 for j in range(n.bit_length() - 1)]
    found = simulate(masked(period), n)
    assert (found.rounds, found.messages) == (math.log2(n), math.log2(n))


def test_random_matchings_halve_the_error_in_every_round() -> None:
    # Boyd et al. 2006: with odd n exactly ½ in expectation, so E (24/25) 2⁻ᵗ ≤ 1e-10 from t = 33.2 on; a run, sooner.
    found = simulate(fresh(matched), 25, runs=200)
    assert found.rounds == pytest.approx(32.5, abs=1.5)
    assert found.messages == pytest.approx(found.rounds * 24 / 25)
    assert found.drift < 1e-12


def test_one_way_messages_move_the_mean() -> None:
    # Epidemic learning (de Vos et al., NeurIPS 2023), EL-Local with s = 1 on 25 nodes: 44 rounds, and a drift of .1.
    found = simulate(fresh(pushed), 25, runs=300)
    assert found.rounds == pytest.approx(44, abs=2)
    assert found.messages == pytest.approx(found.rounds)
    assert found.drift == pytest.approx(0.1, abs=0.015)


@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 2**20))
def test_masked_rounds_keep_absent_nodes_and_the_mean(n: int, absent: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    present = rng.random(n) >= absent
    W = masked([mixing_matrix(nx.gnp_random_graph(n, 0.5, seed=seed))])(0, rng, present)
    np.testing.assert_allclose(W.sum(axis=0), 1, atol=1e-12)
    np.testing.assert_allclose(W, W.T, atol=0)
    np.testing.assert_array_equal(W[~present], np.eye(n)[~present])


def test_the_weight_of_an_absent_partner_goes_to_the_node_itself() -> None:
    W = masked([mixing_matrix(nx.path_graph(3))])(0, np.random.default_rng(0), np.array([True, True, False]))
    np.testing.assert_allclose(W, np.array([[2, 1, 0], [1, 2, 0], [0, 0, 3]]) / 3)


def test_the_schedule_that_was_given_stays_as_it_was() -> None:
    given_W = RING.copy()
    simulate(masked([given_W]), 25, absent=0.5, runs=2, epsilon=0.5)
    np.testing.assert_array_equal(given_W, RING)


@pytest.mark.parametrize("rounds", [masked([RING]), fresh(matched)], ids=["masked", "fresh"])
def test_the_same_seed_gives_the_same_run_and_another_seed_another(rounds: Rounds) -> None:
    def run(seed: int) -> Consensus:
        return simulate(rounds, 25, absent=0.2, epsilon=1e-3, runs=3, seed=seed)

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_nobody_there_is_a_round_without_messages() -> None:
    W = fresh(matched)(0, np.random.default_rng(0), np.zeros(3, dtype=bool))
    np.testing.assert_array_equal(W, np.eye(3))


def test_one_node_agrees_at_once() -> None:
    assert simulate(masked([np.eye(1)]), 1) == Consensus(0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n": 0}, "n = 0: must be at least 1"),
        ({"absent": 1.0}, "absent = 1.0: must be 0 ≤ absent < 1"),
        ({"absent": math.nan}, "absent = nan"),
        ({"epsilon": 0.0}, "epsilon = 0.0: must be > 0"),
        ({"runs": 0}, "runs = 0: must be at least 1"),
        ({"n": 24}, "masked: n = 24: must be 25"),
        ({"limit": 10}, "limit = 10: the mean-square error is .* a higher limit"),
    ],
)
def test_a_simulation_that_cannot_be_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        simulate(masked([RING]), **{"n": 25, **changed})


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ([], "is empty"),
        ([np.eye(2), np.eye(3)], "shape of a matrix"),
        ([np.ones((2, 3))], "shape of a matrix"),
        ([np.ones((2, 2))], "sum to 1"),
    ],
)
def test_a_schedule_that_is_none_is_refused(schedule: list[FloatArray], message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        masked(schedule)


def test_a_drawn_matrix_of_another_size_is_refused() -> None:
    with pytest.raises(TopologyError, match=r"fresh: shape of a drawn matrix = \(2, 2\): must be \(4, 4\)"):
        simulate(fresh(lambda k, rng: np.eye(2)), 4)  # noqa: ARG005
