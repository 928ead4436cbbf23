"""The classic graphs: their spectra are known in closed form, so they are what other graphs are measured by.

Everything here is determined by the number of nodes; random graphs have modules of their own.
"""

from __future__ import annotations

import math

import numpy as np

from gossipfl_topology.graph import Graph, IntArray, undirected
from gossipfl_topology.parameters import check


def ring(n: int) -> Graph:
    """A cycle: everybody hears the two next to it. The slowest graph that survives one lost link. n ≥ 1.

    >>> ring(4).degrees
    array([2, 2, 2, 2])
    """
    check("ring", "n", n, n >= 1, "at least 1")
    return undirected(n, _pairs(np.arange(n), (np.arange(n) + 1) % n))


def path(n: int) -> Graph:
    """A line of nodes: slower than a ring, and any lost link splits it. n ≥ 1.

    >>> path(3).edges.tolist()
    [[0, 1], [1, 2]]
    """
    check("path", "n", n, n >= 1, "at least 1")
    return undirected(n, _pairs(np.arange(n - 1), np.arange(1, n)))


def complete(n: int) -> Graph:
    """Everybody with everybody: exact in one round, n−1 messages per node. 1 ≤ n ≤ 10,000 (50 million edges).

    >>> len(complete(5).edges)
    10
    """
    check("complete", "n", n, 1 <= n <= 10_000, "1 to 10000; a bigger one doesn't fit into memory, regular:k=8 does")
    return undirected(n, np.stack(np.triu_indices(n, 1), axis=1))


def star(n: int) -> Graph:
    """Everybody with node 0 and with nobody else: a server in disguise. n ≥ 1.

    >>> star(4).degrees
    array([3, 1, 1, 1])
    """
    check("star", "n", n, n >= 1, "at least 1")
    return undirected(n, _pairs(np.zeros(n - 1, dtype=np.int64), np.arange(1, n)))


def torus(n: int, *, rows: int | None = None) -> Graph:
    """A 2-D grid whose borders are joined: every node has the four around it.

    Args:
        n: number of nodes, a product of two numbers ≥ 2.
        rows: one of the two, by default the divisor of n nearest to √n.

    >>> torus(9).degrees.tolist()
    [4, 4, 4, 4, 4, 4, 4, 4, 4]
    """
    rows, columns = _sides("torus", n, rows, least=2)
    row, column = np.divmod(np.arange(n), columns)
    right = row * columns + (column + 1) % columns
    below = (row + 1) % rows * columns + column
    return undirected(n, np.concatenate([_pairs(np.arange(n), right), _pairs(np.arange(n), below)]))


def grid(n: int, *, rows: int | None = None) -> Graph:
    """A 2-D grid with borders: the streets of a planned town.

    Args:
        n: number of nodes.
        rows: a divisor of n, by default the one nearest to √n.

    >>> len(grid(6, rows=2).edges)
    7
    """
    _, columns = _sides("grid", n, rows, least=1)
    node = np.arange(n)
    right, below = node[node % columns < columns - 1], node[: n - columns]
    return undirected(n, np.concatenate([_pairs(right, right + 1), _pairs(below, below + columns)]))


def hypercube(n: int) -> Graph:
    """Nodes whose numbers differ in one bit are neighbours: log₂ n of them.

    Args:
        n: number of nodes, a power of two.

    >>> hypercube(8).degrees.tolist()
    [3, 3, 3, 3, 3, 3, 3, 3]
    """
    below = 1 << max(n, 1).bit_length() - 1
    check("hypercube", "n", n, n == below, f"a power of two, as {below} or {2 * below}; exponential takes any n")
    bits = 1 << np.arange(n.bit_length() - 1)
    node = np.repeat(np.arange(n), len(bits))
    return undirected(n, _pairs(node, node ^ np.tile(bits, n)))


def exponential(n: int) -> Graph:
    """Node i sends to i+1, i+2, i+4, … modulo n, one way: the static exponential graph. n ≥ 1.

    With weights 1/(⌈log₂ n⌉+1), as Metropolis gives, ρ = 1 − 2/(1+⌈log₂ n⌉) for even n and less for odd n (Ying et
    al., "Exponential Graph is Provably Efficient for Decentralized Deep Training", NeurIPS 2021).

    >>> exponential(6).degrees.tolist()
    [3, 3, 3, 3, 3, 3]
    """
    check("exponential", "n", n, n >= 1, "at least 1")
    hops = 1 << np.arange((n - 1).bit_length())
    node = np.repeat(np.arange(n), len(hops))
    return Graph(n, _pairs(node, (node + np.tile(hops, n)) % n), directed=True)


def dumbbell(n: int) -> Graph:
    """Two complete graphs and one edge between them: the hard case.

    Args:
        n: number of nodes, even, 4 to 10,000.

    >>> dumbbell(6).edges.tolist()
    [[0, 1], [0, 2], [1, 2], [2, 3], [3, 4], [3, 5], [4, 5]]
    """
    fits = 4 <= n <= 10_000 and n % 2 == 0
    check("dumbbell", "n", n, fits, f"even, 4 to 10000, as {min(10_000, max(4, n + 1 & ~1))}")
    half = np.stack(np.triu_indices(n // 2, 1), axis=1)
    return undirected(n, np.concatenate([half, half + n // 2, [[n // 2 - 1, n // 2]]]))


def _pairs(i: IntArray, j: IntArray) -> IntArray:
    return np.stack([i, j], axis=1)


def _sides(name: str, n: int, rows: int | None, least: int) -> tuple[int, int]:
    check(name, "n", n, n >= 1, "at least 1")
    if rows is None:
        rows = max(side for side in range(1, math.isqrt(n) + 1) if n % side == 0)
        wider = [m for m in (n - 1, n + 1) if least <= 1 or math.isqrt(m) >= least]
        hint = " or ".join(map(str, wider)) or f"{least * least}"
        check(name, "n", n, rows >= least, f"must be a product of two numbers ≥ {least}, as {hint}")
    fits = rows >= 1 and n % rows == 0 and min(rows, n // rows) >= least
    sides = [side for side in range(least, n // max(least, 1) + 1) if n % side == 0][:8]
    check(name, "rows", rows, fits, f"must divide n = {n} into sides ≥ {least}, as {', '.join(map(str, sides))}")
    return rows, n // rows
