"""D-Cliques: cliques whose members together have seen all labels, with few edges between cliques.

Bellet, Kermarrec, Lavoie, "D-Cliques: Compensating for Data Heterogeneity with Topology in Decentralized Federated
Learning" (SRDS 2022): greedy swaps bring every clique's label distribution near the global one, so a clique's average
gradient is nearly unbiased even where every node knows one label only. It needs the nodes' label histograms in one
place, which tells about their data: for simulations, and for fleets where that is no secret.
"""

from __future__ import annotations

import numpy as np

from gossipfl_topology.graph import FloatArray, Graph, IntArray, undirected
from gossipfl_topology.parameters import check

SWAPS = 1000
"""Random exchanges between two cliques that are tried, K in the paper."""


def d_cliques(
    n: int,
    *,
    size: int = 10,
    histograms: FloatArray | None = None,
    rng: np.random.Generator,
) -> Graph:
    """Cliques of about `size` nodes with balanced labels, in a ring of cliques joined by one edge each.

    Args:
        n: number of nodes, ≥ 2.
        size: of a clique, ≥ 2; as many as there are labels when every node knows one.
        histograms: of the nodes' labels, shape (n, labels), not negative; by default node i knows label i mod 10 only.
        rng: the randomness of the swaps.

    >>> max(d_cliques(20, size=10, rng=np.random.default_rng(0)).degrees.tolist())
    10
    """
    check("d-cliques", "n", n, n >= 2, "at least 2")
    check("d-cliques", "size", size, size >= 2, "at least 2")
    if histograms is None:
        histograms = np.eye(10)[np.arange(n) % 10]
    shape = histograms.shape
    check("d-cliques", "histograms", f"shape {shape}", histograms.ndim == 2 and shape[0] == n, f"one row of {n} nodes")
    fits = bool(np.isfinite(histograms).all()) and bool((histograms >= 0).all()) and bool((histograms.sum(1) > 0).all())
    check("d-cliques", "histograms", "its counts", fits, "not negative, and at least one label for every node")
    shares = histograms / histograms.sum(axis=1, keepdims=True)
    cliques = np.array_split(rng.permutation(n), max(1, n // size))
    _balance(shares, cliques, rng)
    edges = [np.stack([clique[i] for i in np.triu_indices(len(clique), 1)], axis=1) for clique in cliques]
    following = [*cliques[1:], cliques[0]] if len(cliques) > 1 else []
    # The last of one clique with the first of the next: no node has more than two edges out of its clique.
    between = [(one[-1], other[0]) for one, other in zip(cliques, following, strict=False)]
    return undirected(n, np.concatenate([*edges, np.array(between, dtype=np.int64).reshape(-1, 2)]))


def _balance(shares: FloatArray, cliques: list[IntArray], rng: np.random.Generator) -> None:
    """Swap members between random cliques as long as that lowers their summed skew (the paper's Algorithm 2)."""
    if len(cliques) < 2:
        return
    overall = shares.mean(axis=0)

    def skew(total: FloatArray, members: int) -> FloatArray:
        """‖p_C − p‖₁, of one clique or of many."""
        distance: FloatArray = np.abs(total / members - overall).sum(axis=-1)
        return distance

    for _ in range(SWAPS):
        one, other = (cliques[index] for index in rng.choice(len(cliques), 2, replace=False))
        a, b = shares[one].sum(axis=0), shares[other].sum(axis=0)
        # The change that each of the |one|·|other| swaps makes.
        moved = shares[other][None, :, :] - shares[one][:, None, :]
        change = skew(a + moved, len(one)) + skew(b - moved, len(other)) - skew(a, len(one)) - skew(b, len(other))
        better = np.argwhere(change < -1e-12)
        if len(better):
            i, j = better[rng.integers(len(better))]
            one[i], other[j] = other[j], one[i]
