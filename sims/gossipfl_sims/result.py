"""Results: what a run was and what came of it, for programs (JSON) and for people."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gossipfl_sims.checks.safety import Violation
from gossipfl_sims.scenario.scenario import Expect, Scenario
from gossipfl_sims.series import Graph, Sample, disagreement, metrics

if TYPE_CHECKING:
    from gossipfl_sims.run import Run


class NodeResult(Struct, frozen=True):
    """One machine at the end."""

    id: str
    up: bool
    accuracy: float | None
    links: int
    merges: int
    bytes_sent: int
    starts: int
    age: float | None


class Result(Struct, frozen=True):
    """What came of a run. Fields are documented in docs/simulator.md."""

    scenario: str
    about: str
    seed: int
    task: str
    topology: str
    nodes: int
    virtual_seconds: float
    trace_hash: str
    events: int
    faults: int
    faults_by_kind: dict[str, int]
    mean_accuracy: float | None
    worst_accuracy: float | None
    best_accuracy: float | None
    error: float | None
    disagreement: float
    bytes_per_node: float
    merges_per_node: float
    checked: bool
    """Were the rules checked after every event?"""
    violations: list[Violation]
    broken: int
    """Violations in all; the list holds the first hundred."""
    unmet: list[str]
    """Expectations of the scenario that were not met."""
    replay: str
    """The line that runs this again."""
    series: dict[str, list[float | None]]
    pooled: dict[str, float]
    staleness: dict[str, int]
    joins: dict[str, int]
    refusals: dict[str, int]
    failures: dict[str, int]
    shaded: list[tuple[float, float, str]]
    each: list[NodeResult]
    graphs: list[Graph]

    @property
    def passed(self) -> bool:
        """Did every rule hold, and was every expectation met?"""
        return not (self.broken or self.unmet)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        made: dict[str, Any] = msgspec.to_builtins(self)
        return made


def conclude(run: Run) -> Result:
    """The result of a run that is over."""
    world, scenario, safety = run.world, run.scenario, run.safety
    up = [machine for machine in world if machine.up]
    judged = metrics(up)
    accuracies = judged.pop("accuracy", [])
    means = {name: math.fsum(values) / len(values) for name, values in judged.items()}
    faults = world.network.faults + run.nemesis.counts
    last = run.series.samples[-1] if run.series.samples else run.series.sample()
    found: dict[str, Any] = {
        "mean_accuracy": math.fsum(accuracies) / len(accuracies) if accuracies else None,
        "worst_accuracy": min(accuracies, default=None),
        "best_accuracy": max(accuracies, default=None),
        "error": means.get("error"),
        "disagreement": disagreement(up),
    }
    return Result(
        scenario=run.name,
        about=scenario.about,
        seed=run.seed,
        task=scenario.task.name,
        topology=scenario.gossip.topology,
        nodes=scenario.nodes,
        virtual_seconds=world.now,
        trace_hash=_hash(run),
        events=world.trace.events,
        faults=faults.total(),
        faults_by_kind=dict(sorted(faults.items())),
        **found,
        bytes_per_node=last.bytes_per_node,
        merges_per_node=last.merges_per_node,
        checked=safety is not None,
        violations=safety.violations if safety is not None else [],
        broken=safety.broken if safety is not None else 0,
        unmet=list(_unmet(scenario, found)),
        replay=run.replay,
        series=columns(run.series.samples),
        pooled={name: value for name, value in means.items() if name != "loss"},
        staleness={f"{edge:g}": count for edge, count in sorted(run.series.staleness.items())},
        joins=dict(run.series.joins),
        refusals=dict(run.series.refusals.most_common()),
        failures=dict(run.series.failures.most_common()),
        shaded=run.nemesis.shaded,
        each=_each(run),
        graphs=run.series.graphs,
    )


def columns(samples: list[Sample]) -> dict[str, list[float | None]]:
    """Samples as one list for each field."""
    return {field: [getattr(sample, field) for sample in samples] for field in Sample.__struct_fields__}


def _each(run: Run) -> list[NodeResult]:
    return [
        NodeResult(
            id=machine.name,
            up=machine.up,
            accuracy=machine.metrics().get("accuracy") if machine.peer is not None else None,
            links=len(machine.links),
            merges=machine.merges,
            bytes_sent=machine.bytes_sent,
            starts=machine.incarnation,
            age=machine.peer.replica.age if machine.peer is not None else None,
        )
        for machine in run.world
    ]


def _hash(run: Run) -> str:
    """Of all events, and of the models that they led to."""
    whole = hashlib.blake2b(run.world.trace_hash.encode(), digest_size=16)
    for machine in run.world:
        if machine.peer is not None:
            whole.update(machine.peer.replica.x.data)
            whole.update(machine.peer.replica.served.x.data)
    return whole.hexdigest()


def _unmet(scenario: Scenario, found: dict[str, Any]) -> list[str]:
    unmet = []
    for key in Expect.__struct_fields__:
        wanted, got = getattr(scenario.expect, key), found[key]
        if wanted is None:
            continue
        least = key.endswith("accuracy")
        if got is None or not (got >= wanted if least else got <= wanted):
            shown = "unknown" if got is None else f"{got:.4g}"
            unmet.append(f"{key} is {shown}; expected is at {'least' if least else 'most'} {wanted:g}")
    return unmet
