"""The exact simulator: deliveries a second, memory per peer, determinism, and what meshes do under partition and churn.

Each measurement runs in a process of its own, on one core. A delivery is a frame that a complete peer decodes, checks
and merges; nothing is left out but training, which the study tasks do without.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gossipfl.kernels import kernel
from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.protocol.settings import Settings
from gossipfl.tasks.task import Progress
from gossipfl_sims.engine.network import Link
from gossipfl_sims.engine.world import World
from gossipfl_sims.run import Run, seldom_collected
from gossipfl_sims.scenario.files import load

LINK = Link(latency=0.05, law="lognormal", loss=0.1, duplication=0.02)
SETTLED = 48.0
"""Seconds until everybody has joined and is linked, even of a thousand that start at once."""
TURN = 16
"""Intervals to measure: within so many, every node changes two of its links."""


class Idle:
    """A vector of `size` that nobody trains."""

    steps = 1

    def __init__(self, index: int, size: int) -> None:
        self.schema = Schema([Tensor("x", (size,))])
        self._index = index

    def initial(self) -> Vector:
        return np.zeros(self.schema.size, dtype=np.float32)

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:
        del rng
        vector += np.float32(1e-3 * (self._index % 7))
        return Progress(steps, 0, 0.0)

    def evaluate(self, vector: Vector) -> dict[str, float]:
        return {"error": float(np.abs(vector).max())}

    def predict(self, vector: Vector, inputs: Vector) -> Vector:
        del vector
        return inputs


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def speed(nodes: int, size: int) -> dict[str, float]:
    """Deliveries per CPU second once everybody is linked, and bytes per peer beside its vectors."""
    settings, compiled = Settings(topology="k-out:k=2", interval=1.0, codec="int8", momentum="none"), kernel("numba")
    small = World([Idle(index, size) for index in range(4)], settings, kernel=compiled)
    for name in list(small.machines):
        small.start(name)
    small.run(10)  # compiles the kernel, which is no part of the speed
    tasks = [Idle(index, size) for index in range(nodes)]
    before = resident()
    world = World(tasks, settings, link=LINK, bootstraps=3, kernel=compiled)
    for name in list(world.machines):
        world.start(name)
    begun = time.process_time()
    with seldom_collected():
        world.run(SETTLED)
    boot = time.process_time() - begun
    events, merges, begun = world.trace.events, sum(machine.merges for machine in world), time.process_time()
    with seldom_collected():
        world.run(SETTLED + TURN)
    seconds = time.process_time() - begun
    peers = [machine.peer for machine in world if machine.peer is not None]
    vectors = {
        id(vector): vector.nbytes
        for peer in peers
        for vector in (peer.replica.x, peer.replica.served.x, peer.bases[peer.bases.own])
    }
    return {
        "deliveries": (sum(machine.merges for machine in world) - merges) / seconds,
        "events": (world.trace.events - events) / seconds,
        "boot": boot,
        "bytes": (resident() - before - sum(vectors.values())) / nodes,
        "vectors": sum(vectors.values()) / nodes,
    }


def trace_cost(nodes: int, size: int, intervals: float) -> dict[str, float]:
    """CPU seconds of the same run with the trace hash and without, in turn, the least of three each."""
    found: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(3):
        for name, times in found.items():
            world = World([Idle(index, size) for index in range(nodes)], Settings(topology="k-out:k=2"), link=LINK)
            if name == "without":
                world.trace.note = lambda *_: None  # type: ignore[method-assign]
            for machine in list(world.machines):
                world.start(machine)
            world.run(SETTLED)
            begun = time.process_time()
            world.run(SETTLED + intervals)
            times.append(time.process_time() - begun)
    return {"cost": min(found["with"]) / min(found["without"]) - 1}


def scenario(name: str, seed: int, *changes: str) -> dict[str, Any]:
    """A run of a scenario without checks: its result, CPU seconds, and the most memory."""
    begun = time.process_time()
    result = Run(load(name, changes), seed, name=name, checks=False).finish().as_dict()
    result["cpu"] = time.process_time() - begun
    result["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for large in ("each", "graphs", "shaded"):
        del result[large]
    return result


def main() -> None:
    print("peers   floats   deliveries/s  events/s  boot      kB per peer beside vectors   vectors (marks: 60,000,")
    print("                                                                                 15,000 at 50,890; 25 kB)")
    for nodes, size in ((1000, 8), (1000, 650), (1000, 50_890)):
        it = apart("speed", nodes, size)
        print(
            f"{nodes:6,} {size:7,} {it['deliveries']:13,.0f} {it['events']:10,.0f} {it['boot']:6.1f} s"
            f" {it['bytes'] / 1e3:10.1f} {it['vectors'] / 1e3:26.1f} kB",
            flush=True,
        )
    print(f"\ntrace hash: {apart('trace_cost', 300, 650, 20)['cost']:+.1%} CPU (mark: 15 %)")
    _determinism()
    _large()
    _partition()
    _churn()


def _determinism() -> None:
    hashes = {
        apart("scenario", "chaos", 5, env={"PYTHONHASHSEED": str(number)})["trace_hash"] for number in range(4)
    } | {scenario("chaos", 5)["trace_hash"] for _ in range(96)}
    others = {scenario("chaos", seed)["trace_hash"] for seed in range(6, 16)}
    print(
        f"determinism: {len(hashes)} trace hash of 100 runs of one seed in 5 processes; {len(others)} of 10 other seeds"
    )


def _large() -> None:
    print("\nlarge meshes, 100 exchanges a node")
    churn = ("bootstraps=3", "time.faulty=100", "time.healed=2", "time.sample=20", "gossip.topology=k-out:k=2")
    it = apart("scenario", "churn", 0, "nodes=1000", "task.name=softmax", "gossip.steps=5", *churn)
    print(
        f"1,000 nodes, softmax on digits, churn 30 %, loss 30 %: {it['cpu']:.0f} s CPU (mark: 300), mean"
        f" {it['mean_accuracy']:.3f}, {it['rss'] / 1e9:.2f} GB",
        flush=True,
    )
    calm = ("time.faulty=0", "time.healed=105", "time.sample=50", "gossip.topology=k-out:k=2", "network.loss=0.1")
    it = apart("scenario", "calm", 0, "nodes=10000", "task.name=consensus", *calm)
    print(
        f"10,000 nodes, consensus: {it['cpu']:.0f} s CPU (mark: 300), {it['rss'] / 1e9:.2f} GB (mark: 4), error"
        f" {it['error']:.2g}, disagreement {it['disagreement']:.2g}",
        flush=True,
    )


def _partition() -> None:
    print(
        "\npartition-heal on digits, three seeds: worst accuracy of each half while apart, and intervals after repair"
    )
    print("until the worst node is within .01 of the same mesh without a partition (mark: 20); restarts")
    for seed in range(3):
        apart_, whole = (
            apart("scenario", "partition-heal", seed),
            apart("scenario", "calm", seed, "time.faulty=60", "time.healed=60", "time.sample=1"),
        )
        times, worst = apart_["series"]["time"], apart_["series"]["worst_accuracy"]
        wanted = dict(zip(whole["series"]["time"], whole["series"]["worst_accuracy"], strict=True))
        begin, late = (worst[times.index(t)] for t in (14.0, 60.0))
        back = next((t - 60 for t, w in zip(times, worst, strict=True) if t >= 60 and w >= wanted[t] - 0.01), None)
        starts = apart_["joins"].get("cold", 0) + apart_["joins"].get("rebase", 0) - 16
        print(
            f"seed {seed}: {begin:.3f} → {late:.3f} while apart; back after {back} intervals; {starts} rejoined",
            flush=True,
        )


def _churn() -> None:
    found = [apart("scenario", "churn", seed) for seed in range(3)]
    # While it lasts: over a minute, and over all that are up then, with those that have just come and know nothing yet.
    late = [
        [mean for t, mean in zip(it["series"]["time"], it["series"]["mean_accuracy"], strict=True) if 60 <= t < 120]
        for it in found
    ]
    at_end = [statistics.fmean(means) for means in late]
    print(
        f"\nchurn, 30 % absent, 30 % of frames lost: mean {statistics.fmean(at_end):.3f} while it lasts"
        f" ({', '.join(f'{one:.3f}' for one in at_end)}; mark .80)"
    )


MEASURES: dict[str, Callable[..., dict[str, Any]]] = {"speed": speed, "trace_cost": trace_cost, "scenario": scenario}


def apart(name: str, *arguments: Any, env: dict[str, str] | None = None) -> Any:
    """Measure in a fresh process, with one thread."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "bench.sims.simulator", name, json.dumps(arguments)]
    done = subprocess.run(command, env=os.environ | threads | (env or {}), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(MEASURES[sys.argv[1]](*json.loads(sys.argv[2]))))
    else:
        main()
