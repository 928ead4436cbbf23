"""Who reaches whom and over how many hops, and which single edges hold a mesh together.

Edge weights don't count: every edge is one hop. Knows no mixing weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import Graph, IntArray
from gossipfl_topology.parameters import check

BLOCK = 256
"""Sources whose distances are in memory at once."""


def components(graph: Graph) -> IntArray:
    """The number of the part that each node is in, shape (n,); parts of a directed graph are strongly connected.

    >>> components(Graph(4, np.array([[0, 1], [2, 3]])))
    array([0, 0, 1, 1])
    """
    from scipy.sparse import csgraph

    if graph.n == 0:
        return np.empty(0, dtype=np.int64)
    _, labels = csgraph.connected_components(graph.adjacency(), directed=graph.directed, connection="strong")
    return np.asarray(labels, dtype=np.int64)


def connected(graph: Graph) -> bool:
    """Does every node reach every other, in a directed graph along the edges?

    >>> connected(Graph(3, np.array([[0, 1]])))
    False
    """
    return bool(components(graph).max(initial=0) == 0)


def diameter(graph: Graph) -> int:
    """The largest number of hops between two nodes, exact.

    A search from every node: 5,000 nodes take some seconds, and twice as many four times as long; beyond, see
    `diameter_bound`.

    Raises:
        TopologyError: the graph isn't connected, or has no node.

    >>> diameter(Graph(4, np.array([[0, 1], [1, 2], [2, 3]])))
    3
    """
    table = _connected_table("diameter", graph)
    blocks = (np.arange(start, min(start + BLOCK, graph.n)) for start in range(0, graph.n, BLOCK))
    return max(int(_hops(table, block).max()) for block in blocks)


def diameter_bound(graph: Graph, sweeps: int = 4) -> int:
    """A lower bound on the diameter, often exact: the longest of shortest paths from nodes that are far from others.

    Each sweep searches from a node, and again from the node farthest from it; the next starts in the middle of the
    longest path found (Magnien, Latapy, Habib, "Fast computation of empirically tight bounds for the diameter of
    massive graphs", ACM JEA, 2009; Crescenzi et al., "4-sweep", 2010). 10⁵ nodes take some seconds.

    Args:
        graph: the graph.
        sweeps: double sweeps, ≥ 1.

    Raises:
        TopologyError: the graph isn't connected, or has no node; sweeps < 1.

    >>> diameter_bound(Graph(4, np.array([[0, 1], [1, 2], [2, 3]])))
    3
    """
    check("diameter_bound", "sweeps", sweeps, sweeps >= 1, "must be at least 1")
    table = _connected_table("diameter_bound", graph)
    start, found = int(graph.degrees.argmax()), 0
    for _ in range(sweeps):
        far = int(_hops(table, start).argmax())
        there = _hops(table, far)
        back = _hops(table.T if graph.directed else table, int(there.argmax()))
        found = max(found, int(there.max()), int(back.max()))
        start = int(np.where(there + back == there.max(), abs(there - back), np.inf).argmin())
    return found


def cut_edges(graph: Graph) -> IntArray:
    """The edges whose loss splits the mesh (bridges), shape (b, 2), ascending.

    Tarjan 1974, as in networkx.

    Raises:
        TopologyError: a directed graph.

    >>> cut_edges(Graph(4, np.array([[0, 1], [0, 2], [1, 2], [2, 3]])))
    array([[2, 3]])
    """
    import networkx as nx

    if graph.directed:
        raise TopologyError("cut_edges: the graph is directed: must be undirected")
    found = np.array(list(nx.bridges(graph.to_networkx())), dtype=np.int64).reshape(-1, 2)
    found.sort(axis=1)
    return found[np.lexsort(found.T[::-1])]


def _connected_table(function: str, graph: Graph) -> Any:
    check(function, "n", graph.n, graph.n >= 1, "must be at least 1")
    if not connected(graph):
        raise TopologyError(f"{function}: the graph isn't connected, some nodes are infinitely far; take a component")
    return graph.adjacency()


def _hops(table: Any, sources: int | IntArray) -> Any:
    """Hops from the sources to all nodes, shape (n,) or (sources, n)."""
    from scipy.sparse import csgraph

    return csgraph.dijkstra(table, indices=sources, unweighted=True)
