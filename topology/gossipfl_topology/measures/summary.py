"""What there is to say of one topology: size, degrees, distances, and how fast it averages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import FloatArray, Graph
from gossipfl_topology.measures import paths
from gossipfl_topology.measures.spectrum import slem
from gossipfl_topology.measures.subject import Subject
from gossipfl_topology.mixing.rules import mixing_weights

EPSILON = 1e-6
"""The mean-square error, in units of the start's variance, that `rounds` and `messages` are until."""
EXACT = 5000
"""Nodes up to which the diameter is computed and not bounded from below."""
DRAWS = 64
"""Rounds of a random schedule over which its contraction is averaged."""


def summary(subject: Subject) -> dict[str, Any]:
    """Everything about a topology that a person chooses by; None where it has no such thing.

    * `nodes`, `edges` (of a schedule: all that occur in a period), `directed`, `connected`;
    * `degree_min`, `degree_mean`, `degree_max`: neighbours that a node sends to (of a schedule: in one round);
    * `spectral_gap`: 1 − ρ with Metropolis weights; of a schedule, that of a constant ρ with the same effect per round:
      ρᴸ = ‖W_L … W₁ − J‖₂, or the root of the mean of ‖Wx‖²/‖x‖² for a random one. `slem` is ρ;
    * `mixing_time`: rounds until ρᵗ ≤ 10⁻³; `rounds` and `messages` per node until the mean-square error is ≤ 10⁻⁶
      (estimated by ρ²ᵗ, which is what the slowest direction does: a bound);
    * `diameter`, `diameter_exact` (false: a lower bound), `cut_edges`: how many edges split the mesh when lost;
    * `schedule_length`: rounds of a period, 1 for a graph.

    Args:
        subject: what to measure; dense up to 10,000 nodes for schedules, sparse graphs up to a million.

    >>> from gossipfl_topology.measures.subject import named_subject
    >>> found = summary(named_subject("hypercube", 8))
    >>> found["edges"], found["diameter"], round(found["spectral_gap"], 12)
    (12, 3, 0.5)
    """
    length: int | None = 1
    if subject.graph is not None:
        graph = subject.graph
        degrees = graph.degrees
        rho = _rho(graph)
        mean = float(degrees.mean())
    else:
        rounds, rho, length = _rounds(subject)
        graph = _union(rounds)
        degrees = np.concatenate([np.count_nonzero(W, axis=0) - (W.diagonal() != 0) for W in rounds])
        mean = float(degrees.mean())
    connected = paths.connected(graph)
    exact = graph.n <= EXACT
    diameter = None
    if connected and subject.draw is None:  # a graph that is another one in every round has no distances
        diameter = paths.diameter(graph) if exact else paths.diameter_bound(graph)
    rounds_needed = _until(math.sqrt(EPSILON), rho, length)
    return {
        "nodes": graph.n,
        "edges": len(graph.edges),
        "directed": graph.directed,
        "connected": connected,
        "degree_min": int(degrees.min()),
        "degree_mean": mean,
        "degree_max": int(degrees.max()),
        "spectral_gap": _finite(1 - rho),
        "slem": _finite(rho),
        "mixing_time": _until(1e-3, rho, length),
        "rounds": rounds_needed,
        "messages": None if rounds_needed is None else rounds_needed * mean,
        "diameter": diameter,
        "diameter_exact": exact and diameter is not None,
        "cut_edges": None if graph.directed else len(paths.cut_edges(graph)),
        "schedule_length": length,
    }


def _rho(graph: Graph) -> float:
    """ρ with Metropolis weights; NaN for a directed graph on which they would move the mean."""
    try:
        return slem(mixing_weights(graph))
    except TopologyError:
        return math.nan


def _rounds(subject: Subject) -> tuple[list[FloatArray], float, int | None]:
    """Some rounds of a schedule, its ρ per round, and how many rounds its period has (None: it never repeats)."""
    J = np.full((subject.n, subject.n), 1 / subject.n)  # noqa: N806
    if subject.period is not None:
        product = np.eye(subject.n)
        for W in subject.period:  # noqa: N806
            product = W @ product
        left = float(np.linalg.norm(product - J, 2))
        length = len(subject.period)
        return list(subject.period), left ** (1 / length) if left > 1e-12 else 0.0, length
    assert subject.draw is not None
    rng = np.random.default_rng(0)
    drawn = [subject.draw(subject.n, rng) for _ in range(DRAWS)]
    # All nodes are alike, so E[WᵀW] is a multiple of I away from J, and its trace tells which.
    factor = float(np.mean([((W - W.mean(axis=0)) ** 2).sum() for W in drawn])) / max(subject.n - 1, 1)
    return drawn, math.sqrt(factor), None


def union(subject: Subject) -> Graph:
    """All edges that occur in some round of a schedule (of a random one: in 64 rounds), as a graph.

    >>> from gossipfl_topology.measures.subject import named_subject
    >>> len(union(named_subject("base", 4)).edges)
    4
    """
    return _union(_rounds(subject)[0])


def _union(rounds: list[FloatArray]) -> Graph:
    """All edges that occur in some round, directed if one ever goes one way only."""
    used = np.any([W != 0 for W in rounds], axis=0)
    np.fill_diagonal(used, val=False)
    directed = bool((used != used.T).any())
    # Row i is how i combines what it hears: the message goes from column to row.
    edges = np.argwhere(used.T if directed else np.triu(used))
    return Graph(len(used), edges, directed)


def _until(goal: float, rho: float, length: int | None) -> int | None:
    """Rounds until ρᵗ ≤ goal, in whole periods where that makes it exact; None: never."""
    if rho < 1e-12:
        return length or 1
    return math.ceil(math.log(goal) / math.log(rho)) if rho < 1 else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
