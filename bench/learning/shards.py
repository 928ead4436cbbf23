"""MNIST in 2-class shards: what 16 and 64 nodes learn together with 10 MB sent by each.

Sixteen as real processes and in the simulator, 64 in the simulator; then 24 with 5 MB and no faults, and with twice
that on a network that loses 30 % of the frames while 30 % of the nodes are away at any time (scenario `churn`).
Central training reaches .966, a node alone .25, and .19 of 64. Real bytes are all that loopback sent in a network
namespace of the mesh's own; simulated ones are those of the frames. What is shown was served when no more than those
bytes were sent.
"""

from __future__ import annotations

import os
from pathlib import Path

from joblib import Parallel, delayed

from bench.learning.digits import run
from bench.learning.simulated import Look, simulate
from bench.learning.tasks import HORIZON, MNIST

SEEDS = (0, 1, 2)
MEGABYTES = 10.0
INTERVAL = 1.0
REAL_SECONDS = 315
"""For 10 MB at the demo's interval."""
TASKS = str(Path(__file__).with_name("tasks.py"))
GOSSIP = ("topology=k-out:k=2",)
ENDLESS = 1e5
"""Virtual seconds: bytes end a run."""
PUBLISHED = 0.7
"""Exchanges for as many bytes, in `churn`."""
RUNS = (
    ("16 simulated", 16, "calm", MEGABYTES),
    ("64 simulated", 64, "calm", MEGABYTES),
    ("24, no faults", 24, "calm", MEGABYTES / 2),
    ("24, faults", 24, "churn", MEGABYTES),
)


def main() -> None:
    if not MNIST.is_file():
        print(f"skipped: {MNIST} is not there; MNIST=FILE names the data")
        return
    print(f"{', '.join(GOSSIP)}; accuracy of the served models, mean and worst node\n")
    print("                      seed   at a quarter  at half      at the end   MB      exchanges")
    work = Parallel(n_jobs=-1, return_as="generator")
    for title, nodes, scenario, megabytes in RUNS:
        runs = work(delayed(learn)(nodes, scenario, megabytes, seed) for seed in SEEDS)
        for seed, looks in zip(SEEDS, runs, strict=True):
            show(title, seed, looks, megabytes)
    if os.geteuid() == 0:
        for seed in SEEDS:
            real(seed)


def learn(nodes: int, scenario: str, megabytes: float, seed: int) -> list[Look]:
    """Cool down as the bytes are spent; in `churn` part of them goes into joining again."""
    share = megabytes / MEGABYTES * (PUBLISHED if scenario == "churn" else 1.0)
    os.environ["HORIZON"] = str(HORIZON * share)
    return simulate(scenario, changes(nodes), seed, every=40, megabytes=megabytes)


def changes(nodes: int, task: str = "shards", gossip: tuple[str, ...] = GOSSIP) -> list[str]:
    """Of a shipped scenario, so that it is this benchmark's."""
    return [
        f"nodes={nodes}", f"task.name={TASKS}:{task}", f"task.data={MNIST}",
        f"gossip.interval={INTERVAL}", f"time.faulty={ENDLESS}", *gossip,
    ]  # fmt: skip


def show(title: str, seed: int, looks: list[Look], megabytes: float) -> None:
    """A line: at a quarter, at half, and at the end, with no more bytes than that."""
    cells = []
    for share in (0.25, 0.5, 1.0):
        look = max((look for look in looks if look.megabytes <= share * megabytes), default=looks[0])
        cells.append(f"{look.mean:.3f} {look.worst:.3f}")
    print(f"{title:21} {seed:4}   {'  '.join(cells)}  {megabytes:5.1f} {looks[-1].time / INTERVAL:9.0f}", flush=True)


def real(seed: int) -> None:
    """The same as real processes."""
    options = ["--nodes", "16", "--task", f"{TASKS}:shards", "--data", str(MNIST), "--seed", str(seed)]
    result = run([*options, "--topology", "k-out:k=2", "--seconds", str(REAL_SECONDS)], namespace=True)
    print(
        f"16 real processes     {seed:4}   {result['mean_accuracy']:.3f} {result['worst_accuracy']:.3f} after "
        f"{result['loopback_bytes_per_node'] / 1e6:.2f} MB sent per node",
        flush=True,
    )


if __name__ == "__main__":
    main()
