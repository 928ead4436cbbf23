"""Random k-regular graphs: everybody has exactly k random neighbours. With k ≥ 3 an expander, almost surely.

Configuration model (Bollobás 1980): k stubs per node are paired at random. Pairs that are self-loops or repetitions are
mended by switching ends with random other pairs (McKay, Wormald 1990), which keeps all degrees; for k ≪ √n the outcome
is uniform up to a vanishing error.
"""

from __future__ import annotations

import numpy as np

from gossipfl_topology.graph import Graph, IntArray
from gossipfl_topology.parameters import check

SMALL = 20_000
"""Stubs up to which networkx pairs them (Steger, Wormald 1999): exact for any k, but slow for many."""


def regular(n: int, *, k: int = 4, rng: np.random.Generator) -> Graph:
    """Everybody with k others at random, who stay: an expander.

    Args:
        n: number of nodes.
        k: neighbours of each, 0 ≤ k < n, with n·k even.
        rng: the randomness.

    >>> regular(10, k=3, rng=np.random.default_rng(0)).degrees.tolist()
    [3, 3, 3, 3, 3, 3, 3, 3, 3, 3]
    """
    check("regular", "n", n, n >= 1, "at least 1")
    check(
        "regular", "k", k, 0 <= k < n, f"k must be < n = {n}, as {min(4, n - 1) if n % 2 == 0 else min(4, n - 1) & ~1}"
    )
    even = ", ".join(str(near) for near in (k - 1, k + 1) if 0 <= near < n)
    check("regular", "k", k, n * k % 2 == 0, f"n·k must be even: with n = {n}, k = {even} would work")
    if 2 * k >= n:
        # Pairing almost never succeeds where nearly all pairs are taken: draw the few that are not.
        joined = np.triu(np.ones((n, n), dtype=np.bool_), 1)
        joined[tuple(regular(n, k=n - 1 - k, rng=rng).edges.T)] = False
        edges = np.argwhere(joined)
    elif n * k <= SMALL or k * k > n:
        import networkx as nx

        edges = np.array(nx.random_regular_graph(k, n, seed=int(rng.integers(2**32))).edges, dtype=np.int64)
        edges = np.sort(edges.reshape(-1, 2), axis=1)
    else:
        edges = _switched(n, rng.permutation(np.repeat(np.arange(n), k)).reshape(-1, 2), rng)
    return Graph(n, edges[np.argsort(edges[:, 0] * n + edges[:, 1])])


def _switched(n: int, pairs: IntArray, rng: np.random.Generator) -> IntArray:
    """The pairs with self-loops and repetitions switched away."""
    while True:
        pairs = np.sort(pairs, axis=1)
        codes = pairs[:, 0] * n + pairs[:, 1]
        order = np.argsort(codes)
        again = order[1:][codes[order[1:]] == codes[order[:-1]]]
        bad = np.union1d(again, np.flatnonzero(pairs[:, 0] == pairs[:, 1]))
        if not len(bad):
            return pairs
        # Each bad pair (a, b) and a random other one (c, d) become (a, d) and (c, b); a pair is switched once a pass.
        others = rng.choice(len(pairs), size=len(bad), replace=False)
        free = ~np.isin(others, bad)
        bad, others = bad[free], others[free]
        pairs[bad, 1], pairs[others, 1] = pairs[others, 1], pairs[bad, 1]
