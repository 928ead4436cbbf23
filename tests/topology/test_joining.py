from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl_topology.graph import Graph
from gossipfl_topology.joining import join

LINE = np.array([[0.0, 0], [100, 0], [200, 0], [300, 0], [400, 0], [1000, 0]])


def graph(n: int, edges: list[tuple[int, int]], *, placed: bool = False) -> Graph:
    ends = np.array(edges, dtype=np.int64).reshape(-1, 2)
    return Graph(n, ends, positions=LINE[:n] if placed else None)


CASES = [
    pytest.param(graph(3, [(0, 1), (1, 2)]), [], [], id="connected: nothing is added"),
    pytest.param(graph(4, [(0, 1), (1, 2)]), [], [(0, 3), (1, 3)], id="alone: the two with most links"),
    pytest.param(graph(6, [(0, 1), (1, 2)], placed=True), [], [(2, 3), (2, 4), (3, 4), (3, 5), (4, 5)],
                 id="alone: the two nearest"),
    pytest.param(graph(4, [(0, 1), (2, 3)]), [0, 2], [(0, 2)], id="gateways link their parts"),
    pytest.param(graph(5, [(0, 1), (1, 2), (3, 4)]), [0], [(0, 3)], id="a part turns to the gateway"),
    pytest.param(graph(6, [(0, 1), (1, 2), (3, 4), (3, 5), (4, 5)], placed=True), [5], [(2, 5)],
                 id="a part turns to the gateway by its nearest"),
    pytest.param(graph(1, []), [], [], id="one node"),
    pytest.param(graph(2, []), [], [(0, 1)], id="two nodes"),
]  # fmt: skip


@pytest.mark.parametrize(("given_graph", "gateways", "added"), CASES)
def test_what_is_added(given_graph: Graph, gateways: list[int], added: list[tuple[int, int]]) -> None:
    found = join(given_graph, gateways)
    assert sorted(map(tuple, found.added.tolist())) == sorted(added)
    assert bool(found.notes) == bool(added)
    assert len(found.graph.edges) == len(given_graph.edges) + len(added)


def test_many_gateways_stand_in_a_ring() -> None:
    found = join(graph(6, []), range(6))
    assert found.graph.degrees.tolist() == [2] * 6


@given(st.integers(1, 25), st.data())
def test_every_graph_becomes_connected_and_keeps_its_edges(n: int, data: st.DataObject) -> None:
    node = st.integers(0, n - 1)
    edges = sorted(
        {(min(a, b), max(a, b)) for a, b in data.draw(st.lists(st.tuples(node, node), max_size=25)) if a != b}
    )
    gateways = data.draw(st.lists(node, unique=True, max_size=8))
    placed = data.draw(st.booleans())
    positions = np.random.default_rng(n).normal(size=(n, 2)) if placed else None
    before = Graph(n, np.array(edges, dtype=np.int64).reshape(-1, 2), positions=positions)
    found = join(before, gateways).graph
    assert nx.is_connected(found.to_networkx())
    assert set(edges) <= set(map(tuple, found.edges.tolist()))
    assert join(found, gateways).notes == ()
