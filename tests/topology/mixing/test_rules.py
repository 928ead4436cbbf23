"""Mixing weights: every rule keeps the mean, and gives the weights that its source defines."""

# ruff: noqa: N803, N806 (a mixing matrix is W, as in the papers)

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import Graph
from gossipfl_topology.measures.spectrum import slem
from gossipfl_topology.mixing.rules import RULES, mixing_matrix, mixing_weights

LOCAL = ("metropolis", "max-degree", "lazy")
CLOSED = (*LOCAL, "best-constant")
graphs = st.builds(nx.gnp_random_graph, st.integers(1, 24), st.floats(0, 1), seed=st.integers(0, 2**20))


def static_exponential(n: int) -> nx.DiGraph:
    """Node i sends to i + 1, i + 2, i + 4, … (Ying et al., NeurIPS 2021)."""
    graph = nx.empty_graph(n, create_using=nx.DiGraph)
    graph.add_edges_from((i, (i + 2**j) % n) for i in range(n) for j in range((n - 1).bit_length()))
    return graph


@pytest.mark.parametrize(
    ("rule", "graph", "W"),
    [
        # Degrees 1, 3, 2, 2: a triangle with a tail.
        ("metropolis", [(0, 1), (1, 2), (1, 3), (2, 3)], [[9, 3, 0, 0], [3, 3, 3, 3], [0, 3, 5, 4], [0, 3, 4, 5]]),
        ("max-degree", [(0, 1), (1, 2), (1, 3), (2, 3)], [[9, 3, 0, 0], [3, 3, 3, 3], [0, 3, 6, 3], [0, 3, 3, 6]]),
        ("lazy", [(0, 1), (1, 2)], [[10, 2, 0], [2, 8, 2], [0, 2, 10]]),
        # Laplacian eigenvalues 0, 1, 3: a = 2/(3 + 1).
        ("best-constant", [(0, 1), (1, 2)], [[6, 6, 0], [6, 0, 6], [0, 6, 6]]),
    ],
)
def test_weights_are_as_defined(rule: str, graph: list[tuple[int, int]], W: list[list[int]]) -> None:
    np.testing.assert_allclose(mixing_matrix(nx.Graph(graph), rule), np.array(W) / 12, atol=1e-15)


@pytest.mark.parametrize(
    ("graph", "best"),
    [
        # (λmax − λ₂)/(λmax + λ₂) of the Laplacian, Xiao and Boyd 2004.
        (nx.star_graph(9), (10 - 1) / (10 + 1)),
        (nx.hypercube_graph(3), (6 - 2) / (6 + 2)),
        (nx.complete_graph(6), 0),
        (nx.cycle_graph(4), (4 - 2) / (4 + 2)),
        (nx.complete_bipartite_graph(3, 3), (6 - 3) / (6 + 3)),
        (nx.petersen_graph(), (5 - 2) / (5 + 2)),
    ],
)
def test_the_best_constant_reaches_its_closed_form(graph: nx.Graph, best: float) -> None:
    assert slem(mixing_matrix(graph, "best-constant")) == pytest.approx(best, abs=1e-12)


def test_the_best_constant_of_a_large_graph_is_near_that_of_its_laplacian() -> None:
    # A ring of 2000 has λ₂ = 2(1 − cos(2π/n)) and λmax = 4.
    second = 2 * (1 - np.cos(2 * np.pi / 2000))
    weight = mixing_weights(Graph.from_networkx(nx.cycle_graph(2000)), "best-constant")[0, 1]
    assert 2 / (4 + second) * (1 - 1e-3) < weight <= 2 / (4 + second) * (1 + 1e-9)


@given(graphs, st.sampled_from(CLOSED))
def test_every_rule_keeps_the_mean_on_every_undirected_graph(graph: nx.Graph, rule: str) -> None:
    W = mixing_matrix(graph, rule)
    np.testing.assert_allclose(W, W.T, atol=0)
    np.testing.assert_allclose(W.sum(axis=1), 1, atol=1e-12)
    off = W - np.diag(W.diagonal())
    assert {(i, j) for i, j in np.argwhere(off > 0).tolist() if i < j} == set(graph.edges)
    assert (off >= 0).all()
    assert slem(W) <= 1 + 1e-12


@given(graphs)
def test_the_local_rules_leave_every_node_some_of_its_own_value_and_lazy_is_positive(graph: nx.Graph) -> None:
    for rule in LOCAL:
        assert (mixing_matrix(graph, rule).diagonal() > 0).all()
    assert np.linalg.eigvalsh(mixing_matrix(graph, "lazy")).min() >= -1e-12


@given(graphs)
def test_no_rule_of_one_weight_for_all_edges_beats_the_best_constant(graph: nx.Graph) -> None:
    assert slem(mixing_matrix(graph, "best-constant")) <= slem(mixing_matrix(graph, "max-degree")) + 1e-12


@pytest.mark.parametrize("rule", LOCAL)
def test_on_a_directed_edge_the_second_node_hears_the_first(rule: str) -> None:
    W = mixing_matrix(nx.DiGraph([(0, 1), (1, 2), (2, 0)]), rule)
    heard = 0.25 if rule == "lazy" else 0.5
    np.testing.assert_allclose(W, [[1 - heard, 0, heard], [heard, 1 - heard, 0], [0, heard, 1 - heard]])


@pytest.mark.parametrize("n", [2, 5, 8, 25])
def test_the_static_exponential_graph_has_equal_weights(n: int) -> None:
    W = mixing_matrix(static_exponential(n))
    degree = (n - 1).bit_length()
    assert set(W.round(12).ravel().tolist()) <= {0, round(1 / (degree + 1), 12)}
    for i in range(n):
        hears = sorted({i, *((i - 2**j) % n for j in range(degree))})
        assert np.flatnonzero(W[i]).tolist() == hears


@pytest.mark.parametrize(
    ("rule", "edges"),
    [
        *((rule, [(0, 1)]) for rule in LOCAL),
        *((rule, [(0, 1), (1, 2), (2, 0), (0, 2)]) for rule in LOCAL),
        ("best-constant", [(0, 1), (1, 0)]),
        ("fdla", [(0, 1), (1, 0)]),
        # As many in as out at every node, yet with weights that differ between the two.
        ("metropolis", [(0, 1), (1, 0), (1, 2), (2, 3), (3, 1), (0, 3), (3, 2), (2, 0), (2, 4), (4, 5), (5, 2)]),
    ],
)
def test_a_directed_graph_that_would_move_the_mean_is_refused(rule: str, edges: list[tuple[int, int]]) -> None:
    with pytest.raises(TopologyError, match=rf"{rule}: .*directed.*must be undirected"):
        mixing_matrix(nx.DiGraph(edges), rule)


def test_max_degree_takes_a_directed_graph_with_as_many_in_as_out() -> None:
    edges = [(0, 1), (1, 0), (1, 2), (2, 3), (3, 1), (0, 3), (3, 2), (2, 0), (2, 4), (4, 5), (5, 2)]
    W = mixing_matrix(nx.DiGraph(edges), "max-degree")
    np.testing.assert_allclose(W.sum(axis=0), 1, atol=1e-15)
    np.testing.assert_allclose(W.sum(axis=1), 1, atol=1e-15)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n", [1, 3])
def test_nodes_without_edges_keep_their_value(rule: str, n: int) -> None:
    np.testing.assert_array_equal(mixing_matrix(nx.empty_graph(n), rule), np.eye(n))


@pytest.mark.parametrize("rule", CLOSED)
def test_edge_weights_are_ignored(rule: str) -> None:
    edges = np.array([[0, 1], [1, 2], [2, 3]])
    heavy = Graph(4, edges, weights=np.array([1.0, 50.0, 0.1]))
    np.testing.assert_array_equal(mixing_matrix(heavy, rule), mixing_matrix(Graph(4, edges), rule))


@pytest.mark.parametrize(
    ("given_rule", "message"), [("metropols", "did you mean metropolis"), ("", "allowed: metropo")]
)
def test_an_unknown_rule_is_refused_with_the_known_ones(given_rule: str, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        mixing_matrix(nx.path_graph(3), given_rule)


def test_sparse_and_dense_weights_agree_and_the_sparse_ones_are_small() -> None:
    graph = Graph.from_networkx(nx.barabasi_albert_graph(200, 2, seed=1))
    made: Any = mixing_weights(graph)
    np.testing.assert_array_equal(made.toarray(), mixing_matrix(graph))
    assert made.nnz == 2 * len(graph.edges) + graph.n
