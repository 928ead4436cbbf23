"""Barabási–Albert scale-free graphs: newcomers prefer those who have many links, so hubs grow.

Barabási, Albert, "Emergence of scaling in random networks", Science 1999, by the list of all edge ends (Batagelj,
Brandes 2005): a random entry of that list is a node drawn in proportion to its degree. An entry may point at another
one further up, so all pointers are followed at the same time, by halving, instead of one node after the other.
"""

from __future__ import annotations

import numpy as np

from gossipfl_topology.graph import Graph, IntArray
from gossipfl_topology.parameters import check


def barabasi_albert(n: int, *, m: int = 2, rng: np.random.Generator) -> Graph:
    """A scale-free graph with hubs: each newcomer joins m others, in proportion to their degree.

    Args:
        n: number of nodes.
        m: edges that each newcomer brings, 1 ≤ m < n.
        rng: the randomness.

    >>> len(barabasi_albert(6, m=1, rng=np.random.default_rng(0)).edges)
    5
    """
    check("barabasi-albert", "n", n, n >= 2, "at least 2")
    check("barabasi-albert", "m", m, 1 <= m < n, f"m must be ≥ 1 and < n = {n}, as {min(2, n - 1)}")
    newcomers = np.repeat(np.arange(m + 1, n), m)
    # Ends 2e and 2e+1 of edge e; the first m edges are the star's, whose hub is node 0.
    ends = np.empty(2 * (m + len(newcomers)), dtype=np.int64)
    ends[0 : 2 * m : 2], ends[1 : 2 * m : 2] = 0, np.arange(1, m + 1)
    ends[2 * m :: 2] = newcomers
    drawn = np.arange(2 * m + 1, len(ends), 2)
    before = 2 * m * (newcomers - m)  # ends there when the newcomer comes
    source = np.arange(len(ends))
    source[drawn] = rng.integers(before)
    while True:
        ends[drawn] = ends[_roots(source)[drawn]]
        edges = np.sort(ends.reshape(-1, 2), axis=1)
        codes = edges[:, 0] * n + edges[:, 1]
        order = np.argsort(codes, kind="stable")
        twice = order[1:][codes[order[1:]] == codes[order[:-1]]]
        if not len(twice):
            return Graph(n, edges[order])
        source[2 * twice + 1] = rng.integers(before[twice - m])


def _roots(source: IntArray) -> IntArray:
    """Where the pointers lead in the end: to entries that point at themselves."""
    while True:
        further = source[source]
        if np.array_equal(further, source):
            return source
        source = further
