"""Results: what a run was and what came of it, for programs (JSON) and for people."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import msgspec
from msgspec import Struct

from gossipfl_sims.checks.safety import Safety, Violation
from gossipfl_sims.engine.machine import Machine
from gossipfl_sims.engine.world import World
from gossipfl_sims.nemesis.nemesis import Nemesis
from gossipfl_sims.scenario.scenario import Expect, Scenario
from gossipfl_sims.series import Graph, Sample, Series, disagreement, metrics, pooled


class NodeResult(Struct, frozen=True):
    """One machine at the end."""

    id: str
    up: bool
    accuracy: float | None
    metrics: dict[str, float]
    """All that its task tells of the served model; accuracy is one of them where there is one."""
    links: int
    merges: int
    bytes_sent: int
    starts: int
    age: float | None


class Result(Struct, frozen=True):
    """What came of a run: the JSON that `gossipfl sim run --json` writes. What can't be told is None."""

    scenario: str
    about: str
    seed: int
    task: str
    topology: str
    nodes: int
    virtual_seconds: float
    trace_hash: str
    """Of all events and all final models; equal for equal runs."""
    events: int
    faults: int
    """Frames that met with something, and things that befell machines and links."""
    faults_by_kind: dict[str, int]
    mean_accuracy: float | None
    """Of the served models of all machines that are up at the end; worst and best likewise."""
    worst_accuracy: float | None
    best_accuracy: float | None
    error: float | None
    disagreement: float
    """Root mean square distance of the models from their mean, per coordinate."""
    bytes_per_node: float
    """Sent."""
    merges_per_node: float
    checked: bool
    """Were the rules checked after every event?"""
    settled: bool
    """Was there time after healing to check that everybody is connected and merges again?"""
    violations: list[Violation]
    broken: int
    """Violations in all; the list holds the first hundred."""
    unmet: list[str]
    """Expectations of the scenario that were not met."""
    replay: str
    """The line that runs this again."""
    series: dict[str, list[float | None]]
    """The fields of series.Sample, one value for each look at the mesh."""
    pooled: dict[str, float]
    """Metrics that are no accuracy, of all machines that are up: over all test rows together where these are the nodes'
    own, otherwise the mean."""
    staleness: dict[str, int]
    """Merges by the lower edge of their class, in gossip intervals."""
    joins: dict[str, int]
    """Cold ones, and by rebase."""
    refusals: dict[str, int]
    """Frames by why they were refused."""
    failures: dict[str, int]
    """What went wrong in nodes, as training that diverged."""
    shaded: list[tuple[float, float, str]]
    """From, to, kind: when what went wrong."""
    each: list[NodeResult]
    graphs: list[Graph]
    """The mesh of links at some moments; none of large meshes."""

    @property
    def passed(self) -> bool:
        """Did every rule hold, and was every expectation met?"""
        return not (self.broken or self.unmet)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        made: dict[str, Any] = msgspec.to_builtins(self)
        return made


def conclude(
    scenario: Scenario,
    world: World,
    *,
    name: str,
    seed: int,
    replay: str,
    nemesis: Nemesis,
    series: Series,
    safety: Safety | None,
    settled: bool,
) -> Result:
    """The result of a run of `scenario` that is over, from what became of the world and what was seen there."""
    up = [machine for machine in world if machine.up]
    judged = metrics(up)
    accuracies = judged.pop("accuracy", [])
    means = {name: math.fsum(values) / len(values) for name, values in judged.items()}
    faults = world.network.faults + nemesis.counts
    last = series.samples[-1] if series.samples else series.sample()
    found: dict[str, Any] = {
        "mean_accuracy": math.fsum(accuracies) / len(accuracies) if accuracies else None,
        "worst_accuracy": min(accuracies, default=None),
        "best_accuracy": max(accuracies, default=None),
        "error": means.get("error"),
        "disagreement": disagreement(up),
    }
    return Result(
        scenario=name,
        about=scenario.about,
        seed=seed,
        task=scenario.task.name,
        topology=scenario.gossip.topology,
        nodes=scenario.nodes,
        virtual_seconds=world.now,
        trace_hash=_hash(world),
        events=world.trace.events,
        faults=faults.total(),
        faults_by_kind=dict(sorted(faults.items())),
        **found,
        bytes_per_node=last.bytes_per_node,
        merges_per_node=last.merges_per_node,
        checked=safety is not None,
        settled=settled,
        violations=safety.violations if safety is not None else [],
        broken=safety.broken if safety is not None else 0,
        unmet=list(_unmet(scenario, found)),
        replay=replay,
        series=columns(series.samples),
        pooled={name: value for name, value in (means | pooled(up)).items() if name != "loss"},
        staleness={f"{edge:g}": count for edge, count in sorted(series.staleness.items())},
        joins=dict(series.joins),
        refusals=dict(series.refusals.most_common()),
        failures=dict(series.failures.most_common()),
        shaded=nemesis.shaded,
        each=_each(world),
        graphs=series.graphs,
    )


def columns(samples: list[Sample]) -> dict[str, list[float | None]]:
    """Samples as one list for each field."""
    return {field: [getattr(sample, field) for sample in samples] for field in Sample.__struct_fields__}


def _each(world: World) -> list[NodeResult]:
    return [_one(machine, machine.metrics() if machine.up else {}) for machine in world]


def _one(machine: Machine, metrics: dict[str, float]) -> NodeResult:
    return NodeResult(
        id=machine.name,
        up=machine.up,
        accuracy=metrics.get("accuracy"),
        metrics=metrics,
        links=len(machine.links),
        merges=machine.merges,
        bytes_sent=machine.bytes_sent,
        starts=machine.incarnation,
        age=machine.peer.replica.age if machine.peer is not None else None,
    )


def _hash(world: World) -> str:
    """Of all events, and of the models that they led to."""
    whole = hashlib.blake2b(world.trace_hash.encode(), digest_size=16)
    for machine in world:
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
