"""Personal trust: shares as given, and the consensus that DeGroot's model predicts."""

# ruff: noqa: N803, N806 (a mixing matrix is W, as in the papers)

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import FloatArray, Graph
from gossipfl_topology.mixing.rules import mixing_matrix
from gossipfl_topology.mixing.trust import influence, trust_matrix

PATH = Graph(3, np.array([[0, 1], [1, 2]]))


def test_each_node_keeps_its_own_share_and_divides_the_rest_by_trust() -> None:
    W = trust_matrix(PATH, np.array([[9.0, 2, 9], [1, 9, 3], [9, 0, 9]]), own=0.2)
    np.testing.assert_allclose(W, [[0.2, 0.8, 0.0], [0.2, 0.2, 0.6], [0.0, 0.0, 1.0]])


def test_on_a_directed_edge_the_second_node_hears_the_first() -> None:
    W = trust_matrix(Graph(3, np.array([[1, 0], [2, 0]]), directed=True), np.array([[0, 3.0, 1], [1, 0, 1], [1, 1, 0]]))
    np.testing.assert_allclose(W, [[0.5, 0.375, 0.125], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1.0, 1e308])
def test_only_ratios_of_trust_count_however_large_or_small(scale: float) -> None:
    trust = np.full((3, 3), scale)
    np.testing.assert_allclose(trust_matrix(PATH, trust), [[0.5, 0.5, 0], [0.25, 0.5, 0.25], [0, 0.5, 0.5]])


@given(st.integers(1, 12), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**20))
def test_rows_sum_to_one_and_strangers_have_no_weight(n: int, p: float, own: float, seed: int) -> None:
    graph = nx.gnp_random_graph(n, p, seed=seed)
    rng = np.random.default_rng(seed)
    W = trust_matrix(Graph.from_networkx(graph), rng.random((n, n)) * (rng.random((n, n)) < 0.7), own)
    np.testing.assert_allclose(W.sum(axis=1), 1, atol=1e-12)
    assert (W >= 0).all()
    assert not W[(nx.to_numpy_array(graph) == 0) & ~np.eye(n, dtype=bool)].any()


@pytest.mark.parametrize(
    ("trust", "own", "message"),
    [
        (np.ones((2, 3)), 0.5, r"shape of trust = \(2, 3\): must be \(3, 3\)"),
        (-np.ones((3, 3)), 0.5, "must be finite and ≥ 0"),
        (np.full((3, 3), np.nan), 0.5, "must be finite and ≥ 0"),
        (np.ones((3, 3)), 1.5, "own = 1.5: must be 0 to 1"),
        (np.ones((3, 3)), np.nan, "own = nan: must be 0 to 1"),
    ],
)
def test_bad_trust_is_refused(trust: FloatArray, own: float, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        trust_matrix(PATH, trust, own)


def test_two_opinions_have_the_influence_of_degroot() -> None:
    # DeGroot 1974, § 3: P = (½ ½; ¼ ¾) leads to π = (⅓, ⅔).
    np.testing.assert_allclose(influence(np.array([[0.5, 0.5], [0.25, 0.75]])), [1 / 3, 2 / 3], atol=1e-15)


def test_an_equal_trust_in_neighbours_gives_influence_by_degree() -> None:
    # The stationary distribution of a random walk on a graph: degree over twice the number of edges.
    graph = nx.barabasi_albert_graph(30, 2, seed=3)
    W = trust_matrix(Graph.from_networkx(graph), np.ones((30, 30)))
    degrees = np.array([degree for _, degree in graph.degree])
    np.testing.assert_allclose(influence(W), degrees / degrees.sum(), atol=1e-12)


def test_weights_that_keep_the_mean_give_everybody_the_same_influence() -> None:
    np.testing.assert_allclose(influence(mixing_matrix(nx.star_graph(6))), np.full(7, 1 / 7), atol=1e-12)


def test_who_hears_nobody_and_is_heard_decides() -> None:
    np.testing.assert_allclose(influence(np.array([[1.0, 0], [0.5, 0.5]])), [1, 0], atol=1e-15)


@given(st.integers(2, 10), st.integers(0, 2**20))
def test_gossip_with_trust_ends_at_the_mean_weighted_by_influence(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    W = trust_matrix(Graph.from_networkx(nx.cycle_graph(n)), 0.1 + rng.random((n, n)))
    x = rng.standard_normal(n)
    np.testing.assert_allclose(np.linalg.matrix_power(W, 10_000) @ x, np.full(n, influence(W) @ x), atol=1e-9)


@pytest.mark.parametrize(
    ("W", "message"),
    [
        (np.eye(2), "don't come to agree"),
        (np.array([[0.0, 1], [1, 0]]), "don't come to agree"),
        (np.array([[0.5, 0.6], [0.5, 0.5]]), "don't sum to 1"),
        (np.array([[1.5, -0.5], [0.5, 0.5]]), "finite and ≥ 0"),
        (np.ones(3) / 3, r"must be \(n, n\)"),
        (np.empty((0, 0)), r"must be \(n, n\)"),
    ],
)
def test_no_influence_where_nobody_agrees(W: FloatArray, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        influence(W)
