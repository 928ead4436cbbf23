"""The spectral gap: closed forms to 1e-12, and the ways for large graphs against them and against full spectra."""

# ruff: noqa: N803, N806 (a mixing matrix is W, as in the papers)

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import FloatArray, Graph, undirected
from gossipfl_topology.measures import spectrum
from gossipfl_topology.measures.spectrum import mixing_time, slem, spectral_gap
from gossipfl_topology.mixing.rules import mixing_matrix, mixing_weights


def ring_slem(n: int) -> float:
    return max(abs(1 / 3 + 2 / 3 * math.cos(2 * math.pi * k / n)) for k in range(1, n))


def torus(m: int) -> nx.Graph:
    return nx.grid_2d_graph(m, m, periodic=True)


def static_exponential(n: int) -> nx.DiGraph:
    """Node i sends to i + 1, i + 2, i + 4, … (Ying et al., NeurIPS 2021)."""
    graph = nx.empty_graph(n, create_using=nx.DiGraph)
    graph.add_edges_from((i, (i + 2**j) % n) for i in range(n) for j in range((n - 1).bit_length()))
    return graph


def ring_edges(n: int) -> Graph:
    return undirected(n, np.stack([np.arange(n), np.roll(np.arange(n), -1)], axis=1))


def torus_edges(m: int) -> Graph:
    nodes = np.arange(m * m).reshape(m, m)
    return undirected(m * m, [np.stack([nodes, np.roll(nodes, -1, axis)], axis=2) for axis in (0, 1)])


def by_full_spectrum(W: FloatArray) -> float:
    return float(np.linalg.svd(W - 1 / len(W), compute_uv=False)[0])


@pytest.mark.parametrize(
    ("graph", "rho"),
    [
        *((nx.cycle_graph(n), ring_slem(n)) for n in (3, 4, 5, 8, 16, 25, 64, 100)),
        *((nx.path_graph(n), 1 / 3 + 2 / 3 * math.cos(math.pi / n)) for n in (3, 4, 10, 25)),
        *((torus(m), 1 - 2 / 5 * (1 - math.cos(2 * math.pi / m))) for m in (4, 5, 8, 10)),
        (torus(3), 0.4),
        *((nx.hypercube_graph(d), 1 - 2 / (d + 1)) for d in (1, 2, 3, 4, 6)),
        *((nx.star_graph(n - 1), 1 - 1 / n) for n in (3, 4, 10, 25)),
        *((nx.complete_graph(n), 0) for n in (2, 3, 10)),
        *((static_exponential(n), 1 - 2 / (1 + (n - 1).bit_length())) for n in (2, 4, 6, 8, 10, 16, 24, 32, 64, 100)),
        (nx.empty_graph(1), 0),
    ],
)
def test_slem_has_its_closed_form_with_metropolis_weights(graph: nx.Graph, rho: float) -> None:
    W = mixing_matrix(graph)
    assert slem(W) == pytest.approx(rho, abs=1e-12)
    assert slem(sparse.csr_array(W)) == pytest.approx(rho, abs=1e-12)
    assert spectral_gap(W) == pytest.approx(1 - rho, abs=1e-12)


@pytest.mark.parametrize(("n", "gap"), [(8, 0.195262), (16, 0.050747), (25, 0.020945), (64, 0.003210), (100, 0.001316)])
def test_the_gap_of_rings_in_six_digits(n: int, gap: float) -> None:
    assert spectral_gap(mixing_matrix(nx.cycle_graph(n))) == pytest.approx(gap, abs=5e-7)


@pytest.mark.parametrize(("n", "rho"), [(25, 0.510861), (31, 0.562261), (33, 0.607800)])
def test_odd_static_exponential_graphs_are_faster_than_the_bound_of_ying(n: int, rho: float) -> None:
    found = slem(mixing_matrix(static_exponential(n)))
    assert found == pytest.approx(rho, abs=5e-7)
    assert found < 1 - 2 / (1 + (n - 1).bit_length())


@pytest.mark.parametrize("n", [7, 1100])
def test_a_graph_in_two_parts_has_exactly_no_gap(n: int) -> None:
    graph = nx.disjoint_union(nx.cycle_graph(n), nx.random_regular_graph(4, n, seed=1))
    W = mixing_weights(Graph.from_networkx(graph))
    assert spectral_gap(W) == 0.0
    assert spectral_gap(W.toarray()) == 0.0
    assert mixing_time(W) == math.inf


@given(st.integers(2, 24), st.floats(0.1, 1), st.integers(0, 2**20))
def test_a_round_shrinks_the_disagreement_by_slem_at_least_and_the_worst_case_exactly(
    n: int, p: float, seed: int
) -> None:
    W = mixing_matrix(nx.gnp_random_graph(n, p, seed=seed))
    rho = slem(W)
    x = np.random.default_rng(seed).standard_normal(n)
    assert np.linalg.norm(W @ x - x.mean()) <= rho * np.linalg.norm(x - x.mean()) + 1e-12
    eigenvalues, vectors = np.linalg.eigh(W - 1 / n)
    worst = vectors[:, abs(eigenvalues).argmax()]
    assert np.linalg.norm(W @ worst - worst.mean()) == pytest.approx(rho * np.linalg.norm(worst), abs=1e-9)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Treat every graph of more than two nodes as too large for a full spectrum."""
    monkeypatch.setattr(spectrum, "DENSE", 2)
    return monkeypatch


RULES_AND_GRAPHS = [
    (rule, graph)
    for rule in ("metropolis", "best-constant", "max-degree")
    for graph in (
        nx.cycle_graph(61), torus(6), nx.hypercube_graph(5), nx.barabasi_albert_graph(70, 2, seed=1), nx.star_graph(9),
        nx.barbell_graph(20, 0), nx.random_regular_graph(4, 80, seed=1), nx.random_labeled_tree(40, seed=1),
        nx.complete_graph(5),
    )
]  # fmt: skip


@pytest.mark.parametrize(("rule", "graph"), RULES_AND_GRAPHS)
@pytest.mark.parametrize("steps", [3000, 3])
def test_both_ways_for_large_graphs_agree_with_the_full_spectrum(
    large: pytest.MonkeyPatch, steps: int, rule: str, graph: nx.Graph
) -> None:
    # After three Lanczos steps nothing has converged, and the factorization has to do.
    W = mixing_matrix(graph, rule)
    expected = by_full_spectrum(W)
    large.setattr(spectrum, "STEPS", steps)
    for given_W in (W, sparse.csr_array(W), sparse.coo_matrix(W)):
        assert slem(given_W) == pytest.approx(expected, abs=2e-6 * (1 - expected) + 1e-12)


@pytest.mark.parametrize("n", [6, 25, 33, 64])
@pytest.mark.parametrize("steps", [3000, 3])
def test_both_ways_for_large_graphs_take_directed_ones(large: pytest.MonkeyPatch, steps: int, n: int) -> None:
    W = mixing_matrix(static_exponential(n))
    large.setattr(spectrum, "STEPS", steps)
    assert slem(sparse.csr_array(W)) == pytest.approx(by_full_spectrum(W), abs=1e-6)


def test_the_negative_end_counts(large: pytest.MonkeyPatch) -> None:
    # A complete bipartite graph: eigenvalues 1, 0, −1 of the adjacency over the degree, so −0.98 of this W.
    W = 0.99 * nx.to_numpy_array(nx.complete_bipartite_graph(10, 10)) / 10 + 0.01 * np.eye(20)
    for steps in (3000, 1):
        large.setattr(spectrum, "STEPS", steps)
        assert slem(W) == pytest.approx(0.98, abs=1e-7)


@pytest.mark.parametrize(
    ("graph", "gap"),
    [
        (ring_edges(20_000), 2 / 3 * (1 - math.cos(2 * math.pi / 20_000))),
        (torus_edges(316), 2 / 5 * (1 - math.cos(2 * math.pi / 316))),
        (torus_edges(40), 2 / 5 * (1 - math.cos(2 * math.pi / 40))),
    ],
    ids=["ring of 20,000", "torus of 316 × 316", "torus of 40 × 40"],
)
def test_the_gap_of_slow_large_graphs_is_right_in_relative_terms(graph: Graph, gap: float) -> None:
    assert spectral_gap(mixing_weights(graph)) == pytest.approx(gap, rel=1e-5)


@pytest.mark.parametrize("name", ["regular", "small world", "geometric", "bridge"])
def test_the_gap_of_large_random_graphs_agrees_with_the_full_spectrum(name: str) -> None:
    made = {
        "regular": lambda: nx.random_regular_graph(4, 1200, seed=1),
        "small world": lambda: nx.connected_watts_strogatz_graph(1200, 4, 0.1, seed=1),
        "geometric": lambda: nx.random_geometric_graph(1200, 0.06, seed=2),
        "bridge": lambda: nx.disjoint_union(*(nx.random_regular_graph(4, 600, seed=seed) for seed in (1, 2))),
    }
    graph = made[name]()
    if name == "bridge":
        graph.add_edge(0, 600)
    graph = graph.subgraph(max(nx.connected_components(graph), key=len))
    assert len(graph) > spectrum.DENSE
    W = mixing_weights(Graph.from_networkx(graph))
    eigenvalues = np.linalg.eigvalsh(W.toarray())
    assert spectral_gap(W) == pytest.approx(1 - max(eigenvalues[-2], -eigenvalues[0]), rel=1e-5)


@pytest.mark.parametrize(
    ("graph", "rounds"),
    # Star of 10: ρ = .9, ln .001 / ln .9 = 65.6. Cube: ρ = ½, 9.97. Complete: exact after one. Two nodes: ρ = 0.
    [(nx.star_graph(9), 66), (nx.hypercube_graph(3), 10), (nx.complete_graph(7), 1), (nx.path_graph(2), 1)],
)
def test_the_mixing_time_is_the_first_power_near_the_mean(graph: nx.Graph, rounds: int) -> None:
    W = mixing_matrix(graph)
    assert mixing_time(W) == rounds
    powers = [by_full_spectrum(np.linalg.matrix_power(W, t)) for t in (rounds - 1, rounds)]
    assert powers[0] > 1e-3 >= powers[1] or rounds == 1


@pytest.mark.parametrize("power", range(1, 40))
def test_the_mixing_time_of_a_power_of_slem_is_that_power(power: int) -> None:
    assert mixing_time(mixing_matrix(nx.hypercube_graph(3)), 0.5**power) == power


def test_a_coarser_aim_never_takes_longer() -> None:
    W = mixing_matrix(nx.barabasi_albert_graph(25, 2, seed=1))
    times = [mixing_time(W, epsilon) for epsilon in (1e-12, 1e-6, 1e-3, 0.1, 0.999)]
    assert all(later >= sooner for later, sooner in pairwise(times))


def test_without_equal_column_sums_slem_is_still_the_norm(large: pytest.MonkeyPatch) -> None:
    W = np.random.default_rng(1).random((40, 40))
    W /= W.sum(axis=1, keepdims=True)
    assert slem(W) == pytest.approx(by_full_spectrum(W), abs=1e-6)
    large.setattr(spectrum, "STEPS", 3)
    with pytest.raises(TopologyError, match="columns"):
        slem(W)


@pytest.mark.parametrize(
    ("W", "message"),
    [
        (np.ones(3), r"shape of W = \(3,\): must be \(n, n\)"),
        (np.ones((2, 3)), r"shape of W = \(2, 3\): must be \(n, n\)"),
        (np.empty((0, 0)), r"must be \(n, n\), n ≥ 1"),
        (np.array([[np.nan, 1], [1, 0]]), "must be finite"),
        (sparse.csr_array([[np.inf, 1], [1, 0]]), "must be finite"),
    ],
)
def test_what_is_no_matrix_is_refused(W: Any, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        spectral_gap(W)


@pytest.mark.parametrize("epsilon", [0, 1, -1, math.nan])
def test_an_aim_out_of_range_is_refused(epsilon: float) -> None:
    with pytest.raises(TopologyError, match=r"epsilon = .*: must be in \(0, 1\)"):
        mixing_time(np.eye(2), epsilon)
