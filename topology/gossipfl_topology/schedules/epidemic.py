"""Epidemic learning: a fresh random graph in every round, known to all (EL-Oracle) or to nobody (EL-Local).

De Vos, Farhadkhani, Guerraoui, Kermarrec, Pires, Sharma, "Epidemic Learning: Boosting Decentralized Learning with
Randomized Communication", NeurIPS 2023. The randomness is the caller's.
"""

from __future__ import annotations

import numpy as np

from gossipfl_topology.graph import FloatArray
from gossipfl_topology.graphs.regular import regular
from gossipfl_topology.parameters import check
from gossipfl_topology.schedules.gossip_round import check_sizes


def el_oracle(n: int, *, s: int = 2, rounds: int = 1, rng: np.random.Generator) -> list[FloatArray]:
    """Epidemic learning over another random s-regular graph in each round, which somebody must draw for all.

    EL-Oracle: mixing matrices W = (I + A)/(s+1) of random s-regular graphs, undirected.

    For every x: E‖x′ − x̄‖² / ‖x − x̄‖² = (1/(s+1)) (1 − s/(n−1)); the mean stays.

    Args:
        n: number of nodes, 2 to 10,000.
        s: neighbours of each, 1 ≤ s < n, with n·s even.
        rounds: matrices to draw, ≥ 1; each is independent of the others.
        rng: the randomness.

    Returns:
        Symmetric doubly stochastic matrices of shape (n, n).

    Raises:
        TopologyError: n, s or rounds out of range, or n·s odd.

    >>> el_oracle(4, s=1, rng=np.random.default_rng(0))[0].sum(axis=0)
    array([1., 1., 1., 1.])
    """
    _check("el-oracle", n, s, rounds)
    even = " or ".join(str(near) for near in (s - 1, s + 1) if near >= 1)
    check("el-oracle", "s", s, n * s % 2 == 0, f"n·s must be even: with n = {n}, s = {even} would work; so would k-out")
    return [_regular(n, s, rng) for _ in range(rounds)]


def el_local(n: int, *, s: int = 2, rounds: int = 1, rng: np.random.Generator) -> list[FloatArray]:
    """Epidemic learning with s recipients that each node draws for itself: some hear many, some nobody.

    EL-Local: each node sends to s random others, and averages its own and all that it hears with equal weights.

    A node hears Binomial(n−1, s/(n−1)) others, nobody maybe. W is row-stochastic only, so the mean drifts a little;
    about the old mean x̄, for every x:

        E‖x′ − x̄‖² / ‖x − x̄‖² = (1/s) (1 − (1 − s/(n−1))ⁿ) − 1/(n−1).

    Args:
        n: number of nodes, 2 to 10,000.
        s: nodes that each sends to, 1 ≤ s < n.
        rounds: matrices to draw, ≥ 1; each is independent of the others.
        rng: the randomness.

    Returns:
        Row-stochastic matrices of shape (n, n).

    Raises:
        TopologyError: n, s or rounds out of range.

    >>> el_local(3, s=2, rng=np.random.default_rng(0))[0].round(2)  # everybody hears everybody
    array([[0.33, 0.33, 0.33],
           [0.33, 0.33, 0.33],
           [0.33, 0.33, 0.33]])
    """
    _check("el-local", n, s, rounds)
    return [_local(n, s, rng) for _ in range(rounds)]


def _check(name: str, n: int, s: int, rounds: int) -> None:
    check_sizes(name, n, least=2, s=s, rounds=rounds)
    check(name, "s", s, s < n, f"must be < n = {n}, 1 to {n - 1}")


def _regular(n: int, s: int, rng: np.random.Generator) -> FloatArray:
    i, j = regular(n, k=s, rng=rng).edges.T
    matrix = np.eye(n)
    matrix[i, j] = matrix[j, i] = 1
    return matrix / (s + 1)


def _local(n: int, s: int, rng: np.random.Generator) -> FloatArray:
    # The s others with the least of n−1 random keys are a uniformly random set of s.
    keys = rng.random((n, n))
    np.fill_diagonal(keys, np.inf)
    receivers = np.argpartition(keys, s - 1, axis=1)[:, :s]
    matrix = np.eye(n)
    matrix[receivers, np.arange(n)[:, None]] = 1
    hears: FloatArray = matrix.sum(axis=1, keepdims=True)
    return matrix / hears
