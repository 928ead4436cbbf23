"""Erdős–Rényi graphs G(n, p): every pair of nodes is joined with the same probability.

Sampled by skipping: the gaps between the edges in the list of all pairs are geometric (Batagelj, Brandes, "Efficient
generation of large random networks", 2005), so the work is proportional to the edges and not to the pairs.
"""

from __future__ import annotations

import math

import numpy as np

from gossipfl_topology.graph import Graph
from gossipfl_topology.parameters import check

MAX_EDGES = 50_000_000


def erdos_renyi(n: int, *, p: float | None = None, rng: np.random.Generator) -> Graph:
    """G(n, p): every pair is joined with probability p.

    Args:
        n: number of nodes, ≥ 1.
        p: probability of each edge, 0 to 1; by default 2·ln n / n, where the graph is connected almost surely.
        rng: the randomness.

    >>> len(erdos_renyi(10, p=1.0, rng=np.random.default_rng(0)).edges)
    45
    """
    check("erdos-renyi", "n", n, n >= 1, "at least 1")
    if p is None:
        p = min(1.0, 2 * math.log(n) / n)
    check("erdos-renyi", "p", p, 0 <= p <= 1, "0 to 1")
    pairs = n * (n - 1) // 2
    most = f"at most {MAX_EDGES} edges, here p ≤ {MAX_EDGES / max(pairs, 1):.2g}"
    check("erdos-renyi", "p", p, p * pairs <= MAX_EDGES, most)
    chosen = _chosen(pairs, p, rng)
    # Pair number c is (i, j), i < j, with c = j(j−1)/2 + i.
    j = ((1 + np.sqrt(1 + 8 * chosen.astype(np.float64))) / 2).astype(np.int64)
    j -= j * (j - 1) // 2 > chosen  # the root is rounded
    j += (j + 1) * j // 2 <= chosen
    edges = np.stack([chosen - j * (j - 1) // 2, j], axis=1)
    return Graph(n, edges[np.argsort(edges[:, 0] * n + edges[:, 1])])


def _chosen(pairs: int, p: float, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Numbers of pairs, ascending, each with probability p."""
    if p == 0 or pairs == 0:
        return np.empty(0, dtype=np.int64)
    expected = p * pairs
    gaps = int(expected + 6 * math.sqrt(expected) + 10)
    chosen = np.cumsum(rng.geometric(p, gaps)) - 1
    while chosen[-1] < pairs - 1:
        chosen = np.concatenate([chosen, chosen[-1] + np.cumsum(rng.geometric(p, gaps))])
    return chosen[chosen < pairs]
