"""Topologies side by side: what agreement costs, in rounds and messages, with all nodes there and with some absent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gossipfl_topology.measures.consensus import NoAgreementError, simulate
from gossipfl_topology.measures.paths import connected
from gossipfl_topology.measures.subject import Subject
from gossipfl_topology.measures.summary import EPSILON, summary

ABSENT = (0.0, 0.1, 0.3)
"""Shares of the nodes that miss a round: a quiet LAN, phones, and a bad day."""


@dataclass(frozen=True)
class Cost:
    """What agreement takes when each node misses a round with probability `absent`.

    Attributes:
        absent: that probability.
        rounds: until the mean-square error is ≤ ε; None if it never was.
        messages: sent until then, per node.
        drift: how far the mean has moved, in standard deviations of the start values.
    """

    absent: float
    rounds: float | None
    messages: float | None
    drift: float | None


@dataclass(frozen=True)
class Row:
    """One topology of the table.

    Attributes:
        name: as it was asked for.
        summary: as `summary` gives it.
        costs: one for each share of absent nodes.
    """

    name: str
    summary: dict[str, Any]
    costs: tuple[Cost, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON.

        >>> Row("ring", {"nodes": 3}, (Cost(0.0, 1, 2.0, 0.0),)).as_dict()["costs"][0]["rounds"]
        1
        """
        return asdict(self)


def compare(
    subjects: Iterable[Subject],
    *,
    absent: Sequence[float] = ABSENT,
    epsilon: float = EPSILON,
    runs: int = 32,
    seed: int = 0,
    limit: int = 20_000,
) -> Iterator[Row]:
    """A row for each topology, as soon as it is measured. Seeded Monte Carlo: the same seed gives the same table.

    Args:
        subjects: the topologies, as `named_subject` makes them from a name, or a graph from a file.
        absent: probabilities that a node misses a round, each 0 ≤ q < 1.
        epsilon: mean-square error to reach, in units of the start values' variance.
        runs: repetitions.
        seed: of all randomness.
        limit: rounds after which a topology counts as never agreeing.

    Raises:
        TopologyError: a number that isn't allowed; a directed graph on which gossip would move the mean.

    >>> from gossipfl_topology.measures.subject import named_subject
    >>> [row] = compare([named_subject("complete", 5)], runs=2)
    >>> row.costs[0].rounds
    1.0
    """
    for subject in subjects:
        costs = tuple(_cost(subject, q, epsilon, runs, seed, limit) for q in absent)
        yield Row(subject.name, summary(subject), costs)


def _cost(subject: Subject, absent: float, epsilon: float, runs: int, seed: int, limit: int) -> Cost:
    if subject.graph is not None and not connected(subject.graph):
        return Cost(absent, None, None, None)
    try:
        found = simulate(subject.rounds(), subject.n, absent=absent, epsilon=epsilon, runs=runs, seed=seed, limit=limit)
    except NoAgreementError:
        return Cost(absent, None, None, None)
    return Cost(absent, found.rounds, found.messages, found.drift)
