"""The Base-(k+1) Graph: after one period all nodes have the exact mean, for every n and every k.

Takezawa, Sato, Bao, Niwa, Yamada, "Beyond Exponential Graph: Communication-Efficient Topologies for Decentralized
Learning via Finite-time Convergence", NeurIPS 2023. Deterministic: all nodes have to know n and their own numbers, and
one that misses a round spoils the period, so under churn fresh random graphs (`matching`, `k_out`) cost less.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from gossipfl_topology.graph import FloatArray, IntArray
from gossipfl_topology.schedules.gossip_round import average_groups, check_sizes


def base(n: int, *, k: int = 1) -> list[FloatArray]:
    """Exact agreement after one period, for every n: the Base-(k+1) graph. For meshes that never lose a node.

    The mixing matrices are symmetric and doubly stochastic, and their product is J = 11ᵀ/n.

    All n nodes run the Simple Base-(k+1) Graph; or, where that is shorter, n = p·q, with p the largest divisor of n
    that has no prime factor above k+1, and p subsets of q nodes each run the simple one and then average across.

    Args:
        n: number of nodes, 1 to 10,000.
        k: most neighbours of a node in a round, ≥ 1. From n−1 on it is one round of the complete graph.

    Returns:
        At most 2·log_{k+1}(n) + 2 matrices of shape (n, n); a single idle round for n = 1.

    Raises:
        TopologyError: n or k out of range.

    >>> [len(base(25, k=k)) for k in (1, 2, 3, 4)]
    [9, 6, 5, 2]
    >>> base(3)[1].round(2)  # 0 and 1 are equal; now 2 gets the mean of all, and then 0 and 1 average once more
    array([[0.33, 0.  , 0.67],
           [0.  , 1.  , 0.  ],
           [0.67, 0.  , 0.33]])
    """
    check_sizes("base", n, k=k)

    def length(p: int) -> int:
        return _simple_length(n // p, k) + len(_factors(p, k + 1))

    p = min(1, _smooth_part(n, k + 1), key=length)
    rounds = [np.eye(n) for _ in range(max(1, length(p)))]
    subsets = np.arange(n).reshape(p, n // p)
    _simple(rounds, subsets, k)
    _hyper_hypercube(rounds[_simple_length(n // p, k) :], subsets.T, k)
    return rounds


def _simple(rounds: Sequence[FloatArray], nodes: IntArray, k: int) -> None:
    """The Simple Base-(k+1) Graph over each row of `nodes`, written into `rounds`.

    A row is V = V_1 ∪ … ∪ V_L, one block per digit of its length to the base k+1. Each block becomes equal inside; then
    block after block trades with all that come after it, which gives the subsets V_{r,a} of V_r the mean of V, and so
    they only have to become equal inside once more. The last block has the mean by then.
    """
    blocks = _blocks(nodes.shape[1], k + 1)
    sizes = [a * size for a, size in blocks]
    for block in np.split(nodes, np.cumsum(sizes)[:-1], axis=1):
        _hyper_hypercube(rounds, block, k)
    first_trade = len(_factors(sizes[0], k + 1))
    for r, (a, size) in enumerate(blocks[:-1], first_trade):
        block, rest = nodes[:, : a * size], nodes[:, a * size :]
        # |V_r| / (a_r Σ_{l≥r} |V_l|) = |V_{r,a}| / Σ_{l≥r} |V_l|. There are more nodes in V_{r,a} than in the rest.
        partners = block.reshape(-1, a, size)[:, :, : rest.shape[1]]
        _trade(rounds[r], rest, partners, size / nodes.shape[1])
        _hyper_hypercube(rounds[r + 1 :], block.reshape(-1, size), k)
        nodes = rest


def _simple_length(n: int, k: int) -> int:
    """Rounds of the Simple Base-(k+1) Graph: V_1 is the last to be done, as its subsets are the largest."""
    blocks = _blocks(n, k + 1)
    a, size = blocks[0]
    before = len(_factors(a * size, k + 1))
    return before if len(blocks) == 1 else before + 1 + len(_factors(size, k + 1))


def _trade(matrix: FloatArray, nodes: IntArray, partners: IntArray, weight: float) -> None:
    """Nodes, shape (p, m), exchange with their own partners, shape (p, a, m), with `weight` per edge."""
    i, j = np.broadcast_arrays(nodes[:, None, :], partners)
    matrix[i, j] = matrix[j, i] = weight
    matrix[nodes, nodes] = 1 - partners.shape[1] * weight
    matrix[partners, partners] = 1 - weight


def _hyper_hypercube(rounds: Sequence[FloatArray], nodes: IntArray, k: int) -> None:
    """The k-peer hyper-hypercube H_k over each row of `nodes`, written into the first of `rounds`.

    In round l the nodes average that differ in no mixed-radix digit but the l-th.
    """
    factors = _factors(nodes.shape[1], k + 1)
    digits = nodes.reshape(-1, *factors)
    for axis, (matrix, factor) in enumerate(zip(rounds, factors, strict=False), 1):
        average_groups(matrix, np.moveaxis(digits, axis, -1).reshape(-1, factor))


@cache
def _factors(n: int, most: int) -> tuple[int, ...]:
    """n as a product of the fewest factors ≤ `most`, all its prime factors being so; of these, the least sum.

    Few factors make few rounds, a small sum makes few messages.

    >>> _factors(12, 6)
    (4, 3)
    """
    if n <= most:
        return (n,) if n > 1 else ()
    ways = ((f, *_factors(n // f, most)) for f in range(most, 1, -1) if n % f == 0)
    return min(ways, key=lambda factors: (len(factors), sum(factors)))


def _blocks(n: int, radix: int) -> list[tuple[int, int]]:
    """(a_l, (k+1)^{p_l}), the largest first, with n = Σ_l a_l (k+1)^{p_l} and 1 ≤ a_l ≤ k.

    >>> _blocks(25, 2)
    [(1, 16), (1, 8), (1, 1)]
    """
    blocks, size = [], 1
    while n:
        n, a = divmod(n, radix)
        if a:
            blocks.append((a, size))
        size *= radix
    return blocks[::-1]


def _smooth_part(n: int, most: int) -> int:
    """The largest divisor of n without a prime factor above `most`.

    >>> _smooth_part(60, 3)
    12
    """
    rest = n
    for f in range(2, min(n, most) + 1):
        while rest % f == 0:
            rest //= f
    return n // rest
