"""Rounds and messages until gossip agrees: exact for fixed weights, by simulation where nodes are absent at random.

A way to make rounds is a function, so schedules stay unknown here. All randomness is from the seed given.
"""

# ruff: noqa: N803, N806 (a mixing matrix is W, as in the papers)

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import FloatArray
from gossipfl_topology.parameters import check

Rounds: TypeAlias = Callable[[int, np.random.Generator, npt.NDArray[np.bool_]], FloatArray]
"""From the number of the round (0, 1, …), randomness, and who is present, shape (n,), to W, shape (n, n)."""


@dataclass(frozen=True)
class Consensus:
    """What it took to agree.

    Attributes:
        rounds: until the mean-square error is small enough, mean over the runs.
        messages: sent until then, per node, mean over the runs.
        drift: root mean square, over the runs, of how far the mean has moved, in standard deviations of the start.
    """

    rounds: float
    messages: float
    drift: float


class NoAgreementError(TopologyError):
    """The nodes did not agree within the rounds that they had."""


def rounds_to(W: FloatArray, epsilon: float = 1e-10) -> float:
    """Rounds of x ← W x until the expected mean-square error is ≤ ε, exact for start values of variance 1; maybe ∞.

    After t rounds it is (1/n) Σᵢ≥₂ λᵢ²ᵗ, for independent start values and symmetric W (Xiao, Boyd, Kim, "Distributed
    average consensus with least-mean-square deviation", JPDC, 2007).

    Args:
        W: shape (n, n), symmetric, rows sum to 1; or its n eigenvalues, shape (n,).
        epsilon: ε > 0.

    Raises:
        TopologyError: W isn't so, or ε ≤ 0.

    >>> rounds_to(np.array([1.0, 0.5, -0.5, 0.5]), 3 / 4 / 16)  # ¾ of 1, ¼, 1/16
    2
    """
    check("rounds_to", "epsilon", epsilon, epsilon > 0, "must be > 0")
    others = _other_moduli(np.asarray(W, dtype=float))

    def error(t: int) -> float:
        return float((others ** (2 * t)).sum() / (len(others) + 1))

    if error(0) <= epsilon:
        return 0
    if others.max() > 1 - 1e-12:
        return math.inf
    late = 1
    while error(late) > epsilon:
        late *= 2
    early = late // 2
    while late - early > 1:
        middle = (early + late) // 2
        early, late = (middle, late) if error(middle) > epsilon else (early, middle)
    return late


def _other_moduli(W: FloatArray) -> FloatArray:
    """The moduli of the eigenvalues without the 1 of the vector of ones, shape (n − 1,)."""
    if W.ndim != 1:
        square = W.ndim == 2 and W.shape[0] == W.shape[1]
        check("rounds_to", "shape of W", W.shape, square, "must be (n, n), or (n,) for eigenvalues")
        check("rounds_to", "W", "isn't symmetric", np.allclose(W, W.T, rtol=0, atol=1e-12), "must be; see simulate")
        check("rounds_to", "rows of W", "don't sum to 1", np.allclose(W.sum(axis=1), 1, rtol=0, atol=1e-9), "must")
    spectrum = np.asarray(W if W.ndim == 1 else np.linalg.eigvalsh(W), dtype=float)
    distances = abs(spectrum - 1)
    check("rounds_to", "eigenvalues", "have no 1", distances.min(initial=np.inf) < 1e-9, "must have it")
    others: FloatArray = abs(np.delete(spectrum, distances.argmin()))
    return others


def masked(schedule: Sequence[FloatArray]) -> Rounds:
    """Rounds of a fixed or periodic schedule: the weight of an absent partner goes to the node itself.

    Absent nodes keep their value and send nothing. Symmetric matrices stay so: the mean is kept.

    Args:
        schedule: the matrices of one period, each of shape (n, n), rows sum to 1.

    Raises:
        TopologyError: no matrix, or one that isn't so.

    >>> pair = masked([np.full((2, 2), 0.5)])
    >>> pair(0, np.random.default_rng(), np.array([True, False]))
    array([[1., 0.],
           [0., 1.]])
    """
    period = [np.array(W, dtype=float) for W in schedule]
    check("masked", "schedule", "is empty", bool(period), "must have at least one matrix")
    n = len(period[0])
    for W in period:
        check("masked", "shape of a matrix", W.shape, W.shape == (n, n), f"must be {(n, n)}, as the first says")
        check("masked", "rows of a matrix", "don't sum to 1", np.allclose(W.sum(axis=1), 1, rtol=0, atol=1e-9), "must")

    def rounds(t: int, rng: np.random.Generator, present: npt.NDArray[np.bool_]) -> FloatArray:
        del rng  # nothing is random
        check("masked", "n", len(present), len(present) == n, f"must be {n}, as that of the schedule")
        W = period[t % len(period)] * present * present[:, None]
        W.flat[:: n + 1] += 1 - W.sum(axis=1)
        return W

    return rounds


def fresh(draw: Callable[[int, np.random.Generator], FloatArray]) -> Rounds:
    """Rounds drawn anew over the nodes present; absent nodes keep their value.

    Args:
        draw: from a number of nodes k ≥ 1 and randomness to a matrix, shape (k, k), rows sum to 1.

    >>> all_average = fresh(lambda k, rng: np.full((k, k), 1 / k))
    >>> all_average(0, np.random.default_rng(), np.array([True, False, True]))
    array([[0.5, 0. , 0.5],
           [0. , 1. , 0. ],
           [0.5, 0. , 0.5]])
    """

    def rounds(t: int, rng: np.random.Generator, present: npt.NDArray[np.bool_]) -> FloatArray:
        del t  # no round is like another
        W = np.eye(len(present))
        here = np.flatnonzero(present)
        if len(here):
            drawn = draw(len(here), rng)
            shape = (len(here), len(here))
            check("fresh", "shape of a drawn matrix", drawn.shape, drawn.shape == shape, f"must be {shape}")
            W[np.ix_(here, here)] = drawn
        return W

    return rounds


def simulate(
    rounds: Rounds,
    n: int,
    *,
    absent: float = 0.0,
    epsilon: float = 1e-10,
    runs: int = 64,
    seed: int = 0,
    limit: int = 10_000,
) -> Consensus:
    """Average start values from N(0, 1) until the mean-square error is ≤ ε, in each of the runs.

    In every round each node is absent with a probability, independently of all else. The error is about the mean that
    the nodes have by then; how far that has moved from the first is `drift`. A message is a weight > 0 or < 0 that a
    node gives to another.

    Args:
        rounds: as `masked` and `fresh` make them.
        n: number of nodes, ≥ 1.
        absent: probability, 0 ≤ absent < 1.
        epsilon: ε > 0.
        runs: independent repetitions, ≥ 1.
        seed: of all randomness.
        limit: rounds, ≥ 1, after which to give up.

    Raises:
        NoAgreementError: no agreement after `limit` rounds.
        TopologyError: a number out of range, or matrices that aren't (n, n).

    >>> simulate(masked([np.full((4, 4), 0.25)]), 4).rounds
    1.0
    """
    check("simulate", "n", n, n >= 1, "must be at least 1")
    check("simulate", "absent", absent, 0 <= absent < 1, "must be 0 ≤ absent < 1")
    check("simulate", "epsilon", epsilon, epsilon > 0, "must be > 0")
    check("simulate", "runs", runs, runs >= 1, "must be at least 1")
    check("simulate", "limit", limit, limit >= 1, "must be at least 1")
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((runs, n))
    apart = x[x.var(axis=1) > epsilon]
    start = apart.mean(axis=1)
    t = took = sent = 0
    moved = 0.0
    while len(apart):
        if t >= limit:
            raise NoAgreementError(
                f"simulate: limit = {limit}: the mean-square error is {apart.var(axis=1).mean():.3g} then, not"
                f" {epsilon:g}: a higher limit would help if the nodes hear each other at all"
            )
        for own, present in zip(apart, rng.random((len(apart), n)) >= absent, strict=True):
            W = rounds(t, rng, present)
            if W.shape != (n, n):
                raise TopologyError(f"simulate: n = {n}: the matrices of the rounds have shape {W.shape}")
            sent += int(np.count_nonzero(W)) - int(np.count_nonzero(W.diagonal()))
            own[:] = W @ own
        t, took = t + 1, took + len(apart)
        agreed = apart.var(axis=1) <= epsilon
        moved += float(((apart.mean(axis=1) - start) ** 2)[agreed].sum())
        apart, start = apart[~agreed], start[~agreed]
    return Consensus(took / runs, sent / (runs * n), float(np.sqrt(moved / runs)))
