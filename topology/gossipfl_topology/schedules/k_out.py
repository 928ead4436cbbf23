"""Fresh k-out graphs with equal in-degree: random as epidemic learning, but the mean of all nodes never moves.

The randomness is the caller's, who has to give all nodes the same order in a round.
"""

from __future__ import annotations

import numpy as np

from gossipfl_topology.graph import FloatArray
from gossipfl_topology.parameters import check
from gossipfl_topology.schedules.gossip_round import check_sizes


def k_out(n: int, *, k: int = 3, rounds: int = 1, rng: np.random.Generator) -> list[FloatArray]:
    """Everybody sends to k others at random and hears from k, other ones in each round: what daemons do by default.

    Mixing matrices of directed graphs: in a uniformly random cyclic order each node sends to the next k.

    So each hears k others, and averages them and its own with equal weights: W = (1/(k+1)) Σ_{a=0…k} P^a, where P is
    the step along the order. For x with mean 0 and a ≢ b modulo n, P^a x and P^b x pair each node with a uniformly
    random other: E⟨P^a x, P^b x⟩ = −‖x‖²/(n−1). The (k+1)² products in ‖W x‖² therefore sum up to

        E‖x′ − x̄‖² / ‖x − x̄‖² = (1/(k+1)) (1 − k/(n−1)),

    which is that of a random k-regular graph (`el_oracle` with s = k), and here n·k may be odd. With k = 1 a one-peer
    graph in the manner of OD-EquiDyn (Song, Li, Jin, Shi, Yan, Yin, Yuan, "Communication-Efficient Topologies for
    Decentralized Learning with O(1) Consensus Rate", NeurIPS 2022), which draws a shift along one fixed order instead.

    Args:
        n: number of nodes, 2 to 10,000.
        k: nodes that each sends to, 1 ≤ k < n.
        rounds: matrices to draw, ≥ 1; each is independent of the others.
        rng: the randomness.

    Returns:
        Doubly stochastic matrices of shape (n, n).

    Raises:
        TopologyError: n, k or rounds out of range.

    >>> k_out(3, k=1, rng=np.random.default_rng(0))[0]
    array([[0.5, 0. , 0.5],
           [0.5, 0.5, 0. ],
           [0. , 0.5, 0.5]])
    """
    check_sizes("k-out", n, least=2, k=k, rounds=rounds)
    check("k-out", "k", k, k < n, f"must be < n = {n}, 1 to {n - 1}")
    return [_ordered(n, k, rng) for _ in range(rounds)]


def _ordered(n: int, k: int, rng: np.random.Generator) -> FloatArray:
    matrix = np.zeros((n, n))
    order = rng.permutation(n)
    for a in range(k + 1):
        matrix[np.roll(order, -a), order] = 1 / (k + 1)
    return matrix
