"""Series: what the whole mesh looks like, again and again.

Looks at served models as a user would: their accuracy where the task knows one, otherwise its `error`. A large mesh is
judged by a sample of its nodes, always the same ones; at the end all are.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from msgspec import Struct

from gossipfl.protocol import events as ev
from gossipfl.tasks.task import Mean, Pooled
from gossipfl_sims.checks.liveness import components
from gossipfl_sims.engine.machine import Machine
from gossipfl_sims.engine.world import World

JUDGED = 64
"""Nodes whose models are evaluated at each look: an evaluation costs more than an exchange."""
STALENESS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Lower edges of the classes of the staleness histogram, in gossip intervals."""


class Sample(Struct, frozen=True):
    """The mesh at one time. What can't be told is None."""

    time: float
    up: int
    """Machines whose process runs."""
    parts: int
    """Connected parts of the mesh of links."""
    mean_accuracy: float | None
    worst_accuracy: float | None
    best_accuracy: float | None
    error: float | None
    """Mean `error`, for tasks that have one."""
    disagreement: float
    """Root mean square distance of the models from their mean, per coordinate."""
    bytes_per_node: float
    """Sent so far."""
    merges_per_node: float
    faults: int
    """Frames so far that did not arrive once, whole, and in time."""


class Graph(Struct, frozen=True):
    """The mesh of links at one time: edges between machine numbers, and each machine's part, −1 if it is down."""

    time: float
    edges: list[tuple[int, int]]
    part: list[int]


class Series:
    """Looks at `world`, and counts what its peers report."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.samples: list[Sample] = []
        self.graphs: list[Graph] = []
        self.staleness: Counter[float] = Counter()
        """Merges by the lower edge of their class."""
        self.refusals: Counter[str] = Counter()
        self.joins: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        world.observers.append(self)

    def before(self, machine: Machine, event: ev.Event) -> None:
        """See Observer."""

    def after(self, machine: Machine, event: ev.Event, effects: list[ev.Effect]) -> None:
        """Count."""
        del machine, event
        for effect in effects:
            match effect:
                case ev.Merged(_, staleness, _):
                    self.staleness[max(edge for edge in STALENESS if edge <= staleness)] += 1
                case ev.Joined(sources):
                    self.joins["rebase" if sources else "cold"] += 1
                case ev.Refused(_, reason):
                    self.refusals[_gist(reason)] += 1
                case ev.Failed(reason):
                    self.failures[_gist(reason)] += 1
                case _:
                    pass

    def sample(self) -> Sample:
        """Look now."""
        up = [machine for machine in self._world if machine.up]
        judged = metrics(up[:: max(1, -(-len(up) // JUDGED))])
        accuracies, errors = judged.get("accuracy", []), judged.get("error", [])
        n = len(self._world.machines)
        made = Sample(
            time=self._world.now,
            up=len(up),
            parts=len(components(up)),
            mean_accuracy=_mean(accuracies),
            worst_accuracy=min(accuracies, default=None),
            best_accuracy=max(accuracies, default=None),
            error=_mean(errors),
            disagreement=disagreement(up),
            bytes_per_node=sum(machine.bytes_sent for machine in self._world) / n,
            merges_per_node=sum(machine.merges for machine in self._world) / n,
            faults=self._world.network.faults.total(),
        )
        self.samples.append(made)
        return made

    def draw(self) -> None:
        """Keep the mesh of links as it is now."""
        machines = list(self._world)
        index = {machine.name: machine.index for machine in machines}
        part = [-1] * len(machines)
        for number, names in enumerate(sorted(components([one for one in machines if one.up]), key=len, reverse=True)):
            for name in names:
                part[index[name]] = number
        edges = [
            (machine.index, index[other])
            for machine in machines
            for other in sorted(machine.links)
            if machine.index < index.get(other, -1)
        ]
        self.graphs.append(Graph(self._world.now, edges, part))


def metrics(machines: list[Machine]) -> dict[str, list[float]]:
    """The metrics of each machine's served model, by name."""
    found: dict[str, list[float]] = {}
    for machine in machines:
        for name, value in machine.metrics().items():
            found.setdefault(name, []).append(value)
    return found


def pooled(machines: list[Machine]) -> dict[str, float]:
    """The metrics of all these machines' served models over all their test rows, where their tasks tell that."""
    sums: dict[str, Mean] = {}
    for machine in machines:
        if isinstance(machine.task, Pooled) and machine.peer is not None:
            for name, mean in machine.task.means(machine.peer.replica.full_served()).items():
                sums[name] = sums[name] + mean if name in sums else mean
    return {name: mean.value for name, mean in sums.items()}


def disagreement(machines: list[Machine]) -> float:
    """Root mean square distance of the models x from their mean, per coordinate; 0 for one or none."""
    models = [machine.peer.replica.x for machine in machines if machine.peer is not None]
    if not models:
        return 0.0
    mean = np.zeros(models[0].size)
    for x in models:
        mean += x
    mean /= len(models)
    return float(np.sqrt(sum(float(np.mean((x - mean) ** 2)) for x in models) / len(models)))


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _gist(reason: str) -> str:
    """A reason without its numbers, so that equal ones can be counted."""
    return " ".join("…" if any(letter.isdigit() for letter in word) else word for word in reason.split())
