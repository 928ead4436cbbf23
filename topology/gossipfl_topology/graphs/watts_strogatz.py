"""Watts–Strogatz small worlds: a ring of near neighbours with a share of its edges rewired to anywhere.

Watts, Strogatz, "Collective dynamics of small-world networks", Nature 1998: every edge of the ring lattice keeps its
first end and, with probability p, gets a random other one, never a self-loop or an edge that is there already.
"""

from __future__ import annotations

import numpy as np

from gossipfl_topology.graph import Graph, IntArray
from gossipfl_topology.parameters import check


def watts_strogatz(n: int, *, k: int = 4, p: float = 0.1, rng: np.random.Generator) -> Graph:
    """A small world: a ring of k near neighbours, of which a share p is rewired to anywhere.

    Args:
        n: number of nodes.
        k: nearest neighbours in the ring lattice, even, 2 ≤ k < n; the mean degree stays k.
        p: probability of rewiring an edge, 0 to 1.
        rng: the randomness.

    >>> watts_strogatz(8, k=4, p=0.0, rng=np.random.default_rng(0)).degrees.tolist()
    [4, 4, 4, 4, 4, 4, 4, 4]
    """
    check("watts-strogatz", "n", n, n >= 3, "at least 3")
    near = min(k + 1, n - 1) & ~1
    check("watts-strogatz", "k", k, 2 <= k < n and k % 2 == 0, f"k must be even, ≥ 2 and < n = {n}, as {max(2, near)}")
    check("watts-strogatz", "p", p, 0 <= p <= 1, "0 to 1")
    i = np.repeat(np.arange(n), k // 2)
    pairs = np.stack([i, (i + np.tile(np.arange(1, k // 2 + 1), n)) % n], axis=1)
    moved = np.flatnonzero(rng.random(len(pairs)) < p)
    if k < n - 1:  # else everybody is joined to everybody already
        _rewire(n, pairs, moved, rng)
    edges = np.sort(pairs, axis=1)
    return Graph(n, edges[np.argsort(edges[:, 0] * n + edges[:, 1])])


def _rewire(n: int, pairs: IntArray, moved: IntArray, rng: np.random.Generator) -> None:
    """Give the `moved` pairs random second ends, in place; those that clash with others try again."""
    where_before = pairs[moved, 1].copy()
    for _ in range(100):
        pairs[moved, 1] = rng.integers(n, size=len(moved))
        low, high = pairs.min(axis=1), pairs.max(axis=1)
        codes = low * n + high
        order = np.argsort(codes, kind="stable")
        repeated = np.zeros(len(pairs), dtype=np.bool_)
        same = codes[order[1:]] == codes[order[:-1]]
        repeated[order[1:][same]] = repeated[order[:-1][same]] = True
        clash = (low == high) | repeated
        again = clash[moved]
        if not again.any():
            return
        moved, where_before = moved[again], where_before[again]
    pairs[moved, 1] = where_before  # a node that is joined to nearly everybody: its edge stays
