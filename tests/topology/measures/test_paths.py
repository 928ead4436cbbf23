"""Parts, hops and bridges against known graphs, networkx, and deletion of every edge."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import Graph
from gossipfl_topology.measures import paths
from gossipfl_topology.measures.paths import components, connected, cut_edges, diameter, diameter_bound

graphs = st.builds(nx.gnp_random_graph, st.integers(1, 20), st.floats(0, 0.5), seed=st.integers(0, 2**20))
digraphs = st.builds(
    nx.gnp_random_graph, st.integers(1, 16), st.floats(0, 0.5), seed=st.integers(0, 2**20), directed=st.just(True)
)


def arrays(graph: nx.Graph) -> Graph:
    return Graph.from_networkx(graph)


@pytest.mark.parametrize(
    ("graph", "hops"),
    [
        (nx.empty_graph(1), 0),
        (nx.complete_graph(6), 1),
        (nx.star_graph(9), 2),
        (nx.petersen_graph(), 2),
        (nx.hypercube_graph(5), 5),
        (nx.cycle_graph(9), 4),
        (nx.path_graph(600), 599),
        (nx.grid_2d_graph(6, 6, periodic=True), 6),
        (nx.cycle_graph(9, create_using=nx.DiGraph), 8),
        # Node i sends to i + 1, i + 2, i + 4: 7 = 4 + 2 + 1 takes three hops.
        (nx.DiGraph([(i, (i + step) % 8) for i in range(8) for step in (1, 2, 4)]), 3),
    ],
)
def test_the_diameter_of_known_graphs(graph: nx.Graph, hops: int) -> None:
    assert diameter(arrays(graph)) == hops
    assert diameter_bound(arrays(graph)) == hops


@given(graphs | digraphs)
def test_the_diameter_is_that_of_networkx_and_its_bound_is_one(graph: nx.Graph) -> None:
    if connected(arrays(graph)):
        assert diameter(arrays(graph)) == nx.diameter(graph)
        assert nx.diameter(graph) / 2 <= diameter_bound(arrays(graph), 1) <= nx.diameter(graph)


@given(st.integers(2, 60), st.integers(0, 2**20))
def test_one_double_sweep_is_exact_on_trees(n: int, seed: int) -> None:
    tree = nx.random_labeled_tree(n, seed=seed)
    assert diameter_bound(arrays(tree), 1) == nx.diameter(tree)


def test_the_way_back_of_a_sweep_goes_against_directed_edges() -> None:
    # From 2 to 1 it takes three hops, 2 → 3 → 0 → 1, and from every other node two at most.
    graph = nx.DiGraph([(0, 1), (0, 2), (1, 0), (1, 3), (2, 3), (3, 0)])
    assert diameter_bound(arrays(graph), 1) == 3


def test_edge_weights_are_no_lengths() -> None:
    assert diameter(Graph(3, np.array([[0, 1], [1, 2]]), weights=np.array([0.1, 70.0]))) == 2


def test_the_last_block_of_sources_counts() -> None:
    # A ring with two tails opposite each other: both ends of the longest way are after the first block.
    n = paths.BLOCK
    graph = nx.cycle_graph(n)
    nx.add_path(graph, [0, *range(n, n + 10)])
    nx.add_path(graph, [n // 2, *range(n + 10, n + 20)])
    assert diameter(arrays(graph)) == n // 2 + 20


@pytest.mark.parametrize("function", [diameter, diameter_bound])
@pytest.mark.parametrize("graph", [nx.empty_graph(2), nx.path_graph(3, create_using=nx.DiGraph)])
def test_there_is_no_diameter_where_some_never_hear_of_others(
    function: Callable[[Graph], int], graph: nx.Graph
) -> None:
    with pytest.raises(TopologyError, match=f"{function.__name__}: the graph isn't connected"):
        function(arrays(graph))


@pytest.mark.parametrize("function", [diameter, diameter_bound])
def test_a_graph_without_nodes_has_no_diameter(function: Callable[[Graph], int]) -> None:
    with pytest.raises(TopologyError, match="n = 0: must be at least 1"):
        function(Graph(0, np.empty((0, 2), dtype=np.int64)))


def test_no_sweep_is_refused() -> None:
    with pytest.raises(TopologyError, match="sweeps = 0: must be at least 1"):
        diameter_bound(arrays(nx.path_graph(2)), 0)


@given(graphs)
def test_parts_are_those_of_networkx(graph: nx.Graph) -> None:
    labels = components(arrays(graph))
    expected = {frozenset(part) for part in nx.connected_components(graph)}
    assert {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())} == expected
    assert connected(arrays(graph)) == (len(expected) == 1)


@given(digraphs)
def test_parts_of_directed_graphs_are_strongly_connected(graph: nx.DiGraph) -> None:
    labels = components(arrays(graph))
    expected = {frozenset(part) for part in nx.strongly_connected_components(graph)}
    assert {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())} == expected


def test_without_nodes_there_are_no_parts() -> None:
    assert components(Graph(0, np.empty((0, 2), dtype=np.int64))).shape == (0,)


@pytest.mark.parametrize(
    ("graph", "bridges"),
    [
        (nx.cycle_graph(5), []),
        (nx.path_graph(4), [[0, 1], [1, 2], [2, 3]]),
        (nx.barbell_graph(5, 0), [[4, 5]]),
        (nx.star_graph(3), [[0, 1], [0, 2], [0, 3]]),
        (nx.empty_graph(3), []),
    ],
)
def test_the_bridges_of_known_graphs(graph: nx.Graph, bridges: list[list[int]]) -> None:
    assert cut_edges(arrays(graph)).tolist() == bridges
    assert cut_edges(arrays(graph)).shape == (len(bridges), 2)


@given(graphs)
def test_a_cut_edge_is_one_whose_loss_makes_another_part(graph: nx.Graph) -> None:
    parts = nx.number_connected_components(graph)
    cuts = [
        list(edge)
        for edge in sorted(graph.edges)
        if nx.number_connected_components(nx.restricted_view(graph, [], [edge])) > parts
    ]
    assert cut_edges(arrays(graph)).tolist() == cuts


def test_directed_graphs_have_no_bridges() -> None:
    with pytest.raises(TopologyError, match="must be undirected"):
        cut_edges(arrays(nx.DiGraph([(0, 1)])))
