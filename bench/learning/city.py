"""Road sensors of Los Angeles, each with its own readings: what a virtual day of gossip is worth.

Los-loop (L. Zhao et al., T-GCN, 2019): 207 sensors, a week of five-minute speeds; the last fifth tests, of the rest all
trains, or only the first hours. RMSE of the next 15 minutes in mph, over all test rows of all nodes together; medians
over seeds. `central` is one model trained on everybody's windows; `own` is each sensor's own ridge regression, `alone`
the MLP trained by each sensor for itself, as many steps as in the mesh; `shared` is what gossip learned, and `served`
what a sensor forecasts with: shared and own together.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from msgspec import structs

from gossipfl.tasks.load import load as load_task
from gossipfl.tasks.sensors.forecaster import Forecaster
from gossipfl.tasks.task import Mean, Node
from gossipfl_sims.nemesis.faults import Leave
from gossipfl_sims.run import Run
from gossipfl_sims.scenario.files import load

DATA = Path(os.environ.get("LOS_LOOP", "../shared/data/los-loop"))
TOPOLOGIES = ("k-out", "road", "hierarchical", "faults")
"""`road`: neighbours on the road graph, isolated ones joined. `faults`: k-out, a tenth of them gone, loss 10 %."""
CENTRAL_STEPS, CHUNK = 9000, 100
EXCHANGES = 144
"""Publishes of a virtual day in the scenario."""

Judged = dict[int, dict[str, Mean]]
"""By node: metrics that can be pooled."""


class Outcome(NamedTuple):
    """Of one run of a mesh."""

    judged: Judged
    bytes_per_node: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, nargs="+", default=[12, 24, 0], help="0: all")
    parser.add_argument("--nodes", type=int, default=207)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--topologies", nargs="+", choices=TOPOLOGIES, default=list(TOPOLOGIES))
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: {DATA} is not there; LOS_LOOP=DIR names the data")
        return
    with tempfile.TemporaryDirectory() as folder:
        city = _part(Path(folder), given.nodes)
        for hours in given.hours:
            _regime(city, hours, given)


def _regime(city: Path, hours: float, given: argparse.Namespace) -> None:
    seeds = range(given.seeds)
    wanted = [(topology, seed) for topology in given.topologies for seed in seeds]
    jobs = Parallel(n_jobs=given.jobs, return_as="generator")
    central = list(jobs(delayed(_central)(city, hours, given.nodes, seed) for seed in seeds))
    alone = list(jobs(delayed(_alone)(city, hours, given.nodes, seed) for seed in seeds))
    print(f"\n{given.nodes} sensors, {f'{hours:g} h' if hours else 'all data'}, {given.seeds} seeds, medians")
    for name, found in (("central", central), ("alone", alone)):
        print(f"{name:12} {_median([pooled(one, 'shared') for one in found]):.3f}")
    print(f"{'own':12} {pooled(alone[0], 'own'):.3f}", flush=True)
    outcomes: dict[str, list[Outcome]] = {}
    for (topology, seed), outcome in zip(
        wanted, jobs(delayed(_gossip)(city, hours, given.nodes, *one) for one in wanted), strict=True
    ):
        outcomes.setdefault(topology, []).append(outcome)
        print(f"  {topology}, seed {seed}: served {pooled(outcome.judged):.3f}", flush=True)
    for topology, meshes in outcomes.items():
        print(_row(topology, meshes, alone))
    if "faults" in outcomes and "k-out" in outcomes:
        costs = [
            pooled(faulty.judged) - pooled({node: calm.judged[node] for node in faulty.judged})
            for faulty, calm in zip(outcomes["faults"], outcomes["k-out"], strict=True)
        ]
        print(f"faults cost those who stay {_median(costs):+.3f} mph")


def _row(topology: str, found: list[Outcome], alone: list[Judged]) -> str:
    served, shared = (_median([pooled(one.judged, which) for one in found]) for which in ("", "shared"))
    gains = {
        node: _median(gained)
        for node in alone[0]
        if (gained := [_gain(one.judged[node]) for one in found if node in one.judged])
    }
    against = [
        one.judged[node]["rmse_15min"].value / other[node]["shared_rmse_15min"].value
        for one, other in zip(found, alone, strict=True)
        for node in one.judged
    ]
    own = [1 - _gain(judged) for one in found for judged in one.judged.values()]
    lonely = _lonely(len(alone[0]))
    return (
        f"{topology:12} served {served:.3f}  shared {shared:.3f}"
        f"  against own: {_told(own)}  against alone: {_told(against)}"
        f"  gain: median {_median(list(gains.values())):.1%}"
        + (f", isolated sensor {gains[lonely]:.1%}" if lonely in gains else "")
        + f"  {_median([one.bytes_per_node for one in found]) / 1e6:.2f} MB a sensor and day"
    )


def pooled(judged: Judged, which: str = "") -> float:
    """RMSE of the next 15 minutes over all test rows of all nodes."""
    total, *others = (metrics[f"{which}_rmse_15min".lstrip("_")] for metrics in judged.values())
    for mean in others:
        total += mean
    return total.value


def _gain(judged: dict[str, Mean]) -> float:
    return 1 - judged["rmse_15min"].value / judged["own_rmse_15min"].value


def _told(ratios: list[float]) -> str:
    """Who has more than 1 % less error, and who more."""
    helped, hurt = (statistics.fmean(sign * (ratio - 1) > 0.01 for ratio in ratios) for sign in (-1, 1))
    return f"{helped:.1%} helped, {hurt:.1%} hurt, worst {max(ratios) - 1:+.1%}"


def _median(values: list[float]) -> float:
    return statistics.median(values)


# --- the contestants


def _tasks(city: Path, hours: float, nodes: int, seed: int) -> list[Forecaster]:
    make = load_task("sensors", {"train_hours": hours})
    return [_forecaster(make(Node(index, nodes, seed, city / "speed.csv"))) for index in range(nodes)]


def _forecaster(task: object) -> Forecaster:
    assert isinstance(task, Forecaster)
    return task


def _central(city: Path, hours: float, nodes: int, seed: int) -> Judged:
    """One model, trained on all windows: the mean of the second half of its way."""
    task = load_task("sensors", {"train_hours": hours})(Node(0, 1, seed, city / "speed.csv"))
    vector, rng = task.initial(), np.random.default_rng(seed)
    mean, count = np.zeros_like(vector), 0
    for step in range(0, CENTRAL_STEPS, CHUNK):
        task.train(vector, CHUNK, rng)
        if step >= CENTRAL_STEPS // 2:
            count += 1
            mean += (vector - mean) / count
    return {index: task.means(mean) for index, task in enumerate(_tasks(city, hours, nodes, seed))}


def _alone(city: Path, hours: float, nodes: int, seed: int) -> Judged:
    found = {}
    for index, task in enumerate(_tasks(city, hours, nodes, seed)):
        vector = task.initial()
        task.train(vector, EXCHANGES * task.steps, np.random.default_rng((seed, index)))
        found[index] = task.means(vector)
    return found


def _gossip(city: Path, hours: float, nodes: int, topology: str, seed: int) -> Outcome:
    changes = [f"data={city / 'speed.csv'}", f"train_hours={hours}", f"nodes={nodes}"]
    if topology == "road":
        changes.append(f"topology={city / 'adjacency.csv'}")
    elif topology == "hierarchical":
        changes.append("topology=hierarchical")
    scenario = load("los-loop", changes)
    if topology == "faults":
        gone = Leave(at=scenario.time.faulty / 4, nodes=nodes // 10)
        scenario = structs.replace(scenario, faults=(gone,), network=structs.replace(scenario.network, loss=0.1))
    run = Run(scenario, seed, checks=False)
    sent = run.finish().bytes_per_node
    judged = {
        machine.index: _forecaster(machine.task).means(machine.peer.replica.full_served())
        for machine in run.world
        if machine.peer is not None
    }
    return Outcome(judged, sent)


# --- the data


def _columns(nodes: int) -> list[int]:
    """A fixed subset of the sensors, from everywhere."""
    return [index * 207 // nodes for index in range(nodes)]


def _part(folder: Path, nodes: int) -> Path:
    """The readings and the road graph of `nodes` sensors."""
    chosen = _columns(nodes)
    for name, source in (("speed.csv", "los_speed.csv"), ("adjacency.csv", "los_adj.csv")):
        with (DATA / source).open(newline="") as file:
            rows = list(csv.reader(file))
        if name == "adjacency.csv":
            rows = [rows[row] for row in chosen]
        lines = [",".join(row[column] for column in chosen) for row in rows]
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def _lonely(nodes: int) -> int | None:
    """The sensor without an edge in the road graph, if it is among them."""
    with (DATA / "los_adj.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    links = [sum(float(cell) > 0 for at, cell in enumerate(cells) if at != row) for row, cells in enumerate(rows)]
    alone = [row for row, count in enumerate(links) if not count]
    return next((at for at, column in enumerate(_columns(nodes)) if column in alone), None)


if __name__ == "__main__":
    main()
