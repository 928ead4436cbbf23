"""The rehearsal of a fleet: what its sensors will forecast, what their radios will send, and what dead ones will cost.

Each run is a scenario of the simulator, with the fleet's own settings, graph and readings, and the radio of the shipped
`los-loop`. A table that all devices together have, which no daemon ever sees, is put together for the time of the run.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from gossipfl.errors import LocalError
from gossipfl.output import inventory
from gossipfl.output.inventory import Inventory
from gossipfl.tasks.sensors.readings import TIMES
from gossipfl.tasks.task import Mean, Pooled
from gossipfl_sims.engine.world import World
from gossipfl_sims.nemesis.faults import AnyFault, Leave, Partition
from gossipfl_sims.run import Run
from gossipfl_sims.scenario.files import load
from gossipfl_sims.scenario.scenario import Scenario
from gossipfl_sims.series import pooled
from gossipfl_topology.errors import TopologyError
from gossipfl_topology.files import load as load_graph
from gossipfl_topology.graph import Graph
from gossipfl_topology.wiring import Wiring, wire

ROADS = "roads"
"""The topology that the fleet's own graph is."""
RADIO = "los-loop"
"""The scenario whose network and devices are the city's."""
DAY = 86_400
LOOKS = 24
"""At the whole mesh, in a run."""
SAME = 0.01
"""Errors that differ by no more of themselves are the same."""


class Sensor(Struct, frozen=True):
    """What has become of one."""

    sensor: str
    error: float | None
    """RMSE of its served forecasts at the shortest horizon; None if it is down."""
    own: float | None
    """Of its own model, without a mesh."""
    sent_per_day: float
    """Bytes."""


class Look(Struct, frozen=True):
    """The mesh at one time."""

    day: float
    error: float
    """As that of a sensor, over the test rows of all that are up."""
    disagreement: float
    """Root mean square distance of the models from their mean, per coordinate."""


class Outcome(Struct, frozen=True):
    """A run."""

    what: str
    """calm, dead or cut."""
    topology: str
    metrics: dict[str, float]
    """At the end, over the test rows of all sensors that are up."""
    calm: float | None
    """The error of the same sensors where nothing went wrong; None if that is this run."""
    helped: float
    """Share of the sensors that are better off than with their own model alone, by more than 1 % …"""
    hurt: float
    """… and worse off."""
    sent_per_day: float
    """Bytes, the mean over sensors."""
    most_sent_per_day: float
    looks: list[Look]
    sensors: list[Sensor]


class Plan(Struct, frozen=True):
    """What to rehearse."""

    fleet: Path
    days: float = 1.0
    dead: float = 0.1
    """Share of the sensors that are gone from the middle of the run on."""
    cut: tuple[str, ...] = ()
    """Sensors that the others don't reach, from a quarter of the run to three."""
    topologies: tuple[str, ...] = ()
    """To compare; nothing: the fleet's own."""
    changes: tuple[str, ...] = ()
    """KEY=VALUE of the scenario."""
    seed: int = 0


class Rehearsal(Struct, frozen=True):
    """What to expect of a fleet."""

    fleet: str
    devices: int
    days: float
    seed: int
    error: str
    """The metric that `error` is everywhere else."""
    runs: list[Outcome]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


def rehearse(plan: Plan, told: Callable[[str], None] = lambda _: None) -> Rehearsal:
    """Run the fleet calm, with dead sensors and, if asked for, cut in two, over each topology.

    Args:
        plan: what to do.
        told: what is to be run now.

    Raises:
        LocalError: no fleet, no readings, or anything in `plan` that is not allowed.
    """
    found = inventory.read(plan.fleet)
    graph = graph_of(plan.fleet)
    names = plan.topologies or (found.topology or ROADS,)
    wirings = [_wiring(name, graph, plan.seed) for name in names]
    unknown = [one for one in plan.cut if one not in graph.labels]
    if unknown or len(set(plan.cut)) == graph.n:
        problem = f"{unknown[0]}: the fleet has no such sensor" if unknown else "all sensors; allowed is a part of them"
        raise LocalError(f"--cut {problem}")
    runs: list[Outcome] = []
    with _all_readings(plan.fleet, found) as table:
        scenario = _scenario(plan, found, table)
        for wiring in wirings:
            calm: list[dict[str, Mean]] = []
            for what, faults in _faults(plan, graph, scenario.time.faulty):
                told(f"{what} over {wiring.topology}")
                run = Run(structs.replace(scenario, faults=faults), plan.seed, checks=False, wiring=wiring)
                looks = _looked(run)
                each = _each(run.world)
                sensors = _sensors(graph.labels, run, each)
                runs.append(_outcome(what, wiring.topology, run, looks, sensors, _again(calm, each)))
                calm = calm or each
    return Rehearsal(str(plan.fleet), graph.n, plan.days, plan.seed, error_name(runs[0].metrics), runs)


def graph_of(fleet: Path) -> Graph:
    """The fleet's graph; raises LocalError."""
    try:
        return load_graph(inventory.graph_path(fleet)).graph
    except TopologyError as error:
        raise LocalError(str(error)) from error


def error_name(metrics: dict[str, Any]) -> str:
    """The metric that sensors are compared by: the RMSE at the shortest horizon."""
    return next(name for name in metrics if name.startswith("rmse_"))


def _wiring(name: str, graph: Graph, seed: int) -> Wiring:
    if name == ROADS:
        return Wiring(ROADS, graph.n, graph, graph.roles)
    try:
        made = wire(name, graph.n, seed)
    except TopologyError as error:
        raise LocalError(f"--topology {name}: {error}, or {ROADS}") from error
    return replace(made, roles=graph.roles) if "gateway" in (graph.roles or ()) else made


def _scenario(plan: Plan, found: Inventory, table: Path) -> Scenario:
    """The city, without faults."""
    time = {"faulty": plan.days * DAY, "healed": 0.0, "sample": plan.days * DAY / LOOKS}
    tables = {"gossip": found.gossip, "task.options": found.options, "time": time}
    changes = [
        f"{table}.{key}={msgspec.json.encode(value).decode()}"
        for table, keys in tables.items()
        for key, value in keys.items()
    ]
    base = load(RADIO, [f"nodes={len(found.devices)}", *changes, *plan.changes])
    task = structs.replace(base.task, name=found.task, data=str(table))
    return structs.replace(base, task=task, faults=())


def _faults(plan: Plan, graph: Graph, end: float) -> Iterator[tuple[str, tuple[AnyFault, ...]]]:
    yield "calm", ()
    if dead := round(plan.dead * graph.n):
        yield "dead", (Leave(at=end / 2, nodes=dead, crash=True),)
    if plan.cut:
        first = tuple(graph.labels.index(sensor) for sensor in plan.cut)
        yield "cut", (Partition(at=end / 4, lasts=end / 2, first=first),)


@contextmanager
def _all_readings(fleet: Path, found: Inventory) -> Iterator[Path]:
    """A table of all devices' readings, in their order, while this lasts."""
    if not found.readings:
        raise LocalError(f"{fleet}: its devices have no readings; gossipfl city init --data FILE.csv gives them theirs")
    columns: list[list[str]] = []
    for entry in found.devices:
        path = inventory.home_path(fleet, entry.sensor) / inventory.READINGS
        try:
            rows = [line for line in csv.reader(path.read_text().splitlines()) if line]
        except OSError as error:
            raise LocalError(f"{path}: can't be read: {error.strerror}") from error
        if columns and len(rows) != len(columns[0]):
            raise LocalError(f"{path}: {len(rows)} lines; {found.devices[0].sensor}'s table has {len(columns[0])}")
        if not columns and rows and rows[0][0].lower() in TIMES:
            columns.append([row[0] for row in rows])
        columns.append([row[-1] for row in rows])
    with tempfile.TemporaryDirectory(prefix="gossipfl-") as folder:
        table = Path(folder) / "readings.csv"
        with table.open("w", newline="") as file:
            csv.writer(file).writerows(zip(*columns, strict=True))
        yield table


def _looked(run: Run) -> list[Look]:
    """Finish `run`; the mesh at each look on the way."""
    found: list[Look] = []

    def look(now: float, _: float, world: World) -> None:
        metrics = pooled([machine for machine in world if machine.up])
        found.append(Look(now / DAY, metrics[error_name(metrics)], run.series.samples[-1].disagreement))

    run.finish(look)
    return found


def _each(world: World) -> list[dict[str, Mean]]:
    """The means of each sensor's served model; empty where it is down."""
    return [
        machine.task.means(machine.peer.replica.full_served())
        if machine.peer is not None and isinstance(machine.task, Pooled)
        else {}
        for machine in world
    ]


def _sensors(names: Sequence[str], run: Run, each: list[dict[str, Mean]]) -> list[Sensor]:
    days = run.end / DAY
    return [
        Sensor(
            name,
            means[error_name(means)].value if means else None,
            means[f"own_{error_name(means)}"].value if means else None,
            machine.bytes_sent / days,
        )
        for name, means, machine in zip(names, each, run.world, strict=True)
    ]


def _again(calm: list[dict[str, Mean]], each: list[dict[str, Mean]]) -> float | None:
    """The error in the calm run, of those sensors that are up in this one."""
    same = [before[error_name(means)] for before, means in zip(calm, each, strict=False) if means]
    return sum(same[1:], same[0]).value if same else None


def _outcome(
    what: str, topology: str, run: Run, looks: list[Look], sensors: list[Sensor], calm: float | None
) -> Outcome:
    ratios = [one.error / one.own for one in sensors if one.error is not None and one.own]
    return Outcome(
        what, topology, pooled([machine for machine in run.world if machine.up]), calm,
        helped=sum(ratio < 1 - SAME for ratio in ratios) / max(len(ratios), 1),
        hurt=sum(ratio > 1 + SAME for ratio in ratios) / max(len(ratios), 1),
        sent_per_day=sum(one.sent_per_day for one in sensors) / len(sensors),
        most_sent_per_day=max(one.sent_per_day for one in sensors),
        looks=looks, sensors=sensors,
    )  # fmt: skip
