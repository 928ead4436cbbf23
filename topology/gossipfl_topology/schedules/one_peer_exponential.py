"""One message per node and round, in turn to i+1, i+2, i+4, …: exact after a period if n is a power of two.

    The one-peer exponential graph: one message per node and round, log₂ n rounds to the mean if n is a power of two.

Deterministic; knows nothing of the static exponential graph, which sends all these messages in every round.
"""

from __future__ import annotations

import numpy as np

from gossipfl_topology.graph import FloatArray
from gossipfl_topology.schedules.gossip_round import check_sizes


def one_peer_exponential(n: int) -> list[FloatArray]:
    """One message per node and round, in turn to i+1, i+2, i+4, …: exact after a period if n is a power of two.

    The ⌈log₂ n⌉ mixing matrices of one period: in round t node i hears node (i − 2^t) mod n, both with weight ½.

    For n a power of two the product of the matrices is 11ᵀ/n, in whatever order the rounds come. For any other n it
    isn't, and disagreement shrinks from period to period; `base` is exact for all n. Ying, Yuan, Chen, Hu, Pan, Yin,
    "Exponential Graph is Provably Efficient for Decentralized Deep Training", NeurIPS 2021.

    Args:
        n: number of nodes, 1 to 10,000.

    Returns:
        Doubly stochastic matrices of shape (n, n); a single idle round for n = 1.

    Raises:
        TopologyError: n out of range.

    >>> first, second = one_peer_exponential(4)
    >>> second @ first
    array([[0.25, 0.25, 0.25, 0.25],
           [0.25, 0.25, 0.25, 0.25],
           [0.25, 0.25, 0.25, 0.25],
           [0.25, 0.25, 0.25, 0.25]])
    """
    check_sizes("one-peer-exponential", n)
    own = np.eye(n)
    hops = [2**t for t in range((n - 1).bit_length())] or [0]
    return [(own + np.roll(own, hop, axis=0)) / 2 for hop in hops]
