"""Random matchings: in every round everybody averages with one random other, one message per node.

The randomness is the caller's. Nothing is kept from one round to the next, so nodes may come and go in between.
"""

from __future__ import annotations

import numpy as np

from gossipfl_topology.graph import FloatArray
from gossipfl_topology.schedules.gossip_round import average_groups, check_sizes


def matching(n: int, *, rounds: int = 1, rng: np.random.Generator) -> list[FloatArray]:
    """Random pairs average, other ones in each round.

    Mixing matrices of uniformly random maximum matchings: pairs average with ½; with odd n one node idles.

    The synchronous form of pairwise gossip (Boyd, Ghosh, Prabhakar, Shah, "Randomized gossip algorithms", IEEE
    Transactions on Information Theory, 2006). W is a projection with E⟨x, W x⟩ = ‖x‖²·½(1 − 1/(n−1)) for even n and
    ‖x‖²·½ for odd n, for every x with mean 0; so E‖x′ − x̄‖² / ‖x − x̄‖² is ½(1 − 1/(n−1)) or ½.

    Args:
        n: number of nodes, 1 to 10,000.
        rounds: matrices to draw, ≥ 1; each is independent of the others.
        rng: the randomness.

    Returns:
        Symmetric doubly stochastic matrices of shape (n, n).

    Raises:
        TopologyError: n or rounds out of range.

    >>> matching(3, rng=np.random.default_rng(0))[0]
    array([[0.5, 0. , 0.5],
           [0. , 1. , 0. ],
           [0.5, 0. , 0.5]])
    """
    check_sizes("matching", n, rounds=rounds)
    return [_matched(n, rng) for _ in range(rounds)]


def _matched(n: int, rng: np.random.Generator) -> FloatArray:
    matrix = np.eye(n)
    average_groups(matrix, rng.permutation(n)[: n - n % 2].reshape(-1, 2))
    return matrix
