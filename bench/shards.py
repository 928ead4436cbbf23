"""MNIST in 2-class shards: what 16 and 64 nodes learn together with 10 MB sent by each.

Sixteen as real processes and in the simulator, 64 in the simulator; then 24 without faults, and with twice the bytes on
a network that loses 30 % of the frames while 30 % of the nodes are away at any time (scenario `churn`). Central
training reaches .966, a node alone .25, and .19 of 64. Real bytes are all that loopback sent in a network namespace of
the mesh's own; simulated ones are those of the frames.
"""

from __future__ import annotations

import os
from pathlib import Path

from bench.digits import run
from bench.simulated import Look, simulate
from bench.tasks import MNIST

SEEDS = (0, 1, 2)
MEGABYTES = 10.0
INTERVAL = 1.0
REAL_SECONDS = 360
"""For 10 MB at the demo's interval."""
TASKS = str(Path(__file__).with_name("tasks.py"))
GOSSIP = ("topology=k-out:k=2",)
ENDLESS = 1e5
"""Virtual seconds: bytes end a run."""


def main() -> None:
    if not MNIST.is_file():
        print(f"skipped: {MNIST} is not there; MNIST=FILE names the data")
        return
    print(f"{', '.join(GOSSIP)}; accuracy of the served models, mean and worst node\n")
    print("                      seed   2.5 MB        5 MB         10 MB        exchanges")
    for nodes in (16, 64):
        for seed in SEEDS:
            show(f"{nodes} simulated", seed, simulate("calm", changes(nodes), seed, every=40, megabytes=MEGABYTES))
    for title, scenario, megabytes in (("24, no faults", "calm", MEGABYTES), ("24, faults", "churn", 2 * MEGABYTES)):
        for seed in SEEDS:
            show(title, seed, simulate(scenario, changes(24), seed, every=40, megabytes=megabytes), megabytes)
    if os.geteuid() == 0:
        for seed in SEEDS:
            real(seed)


def changes(nodes: int, task: str = "shards", gossip: tuple[str, ...] = GOSSIP) -> list[str]:
    """Of a shipped scenario, so that it is this benchmark's."""
    return [
        f"nodes={nodes}", f"task.name={TASKS}:{task}", f"task.data={MNIST}",
        f"gossip.interval={INTERVAL}", f"time.faulty={ENDLESS}", *gossip,
    ]  # fmt: skip


def show(title: str, seed: int, looks: list[Look], megabytes: float = MEGABYTES) -> None:
    """A line: at a quarter, at half, and at the end, with no more bytes than that."""
    cells = []
    for share in (0.25, 0.5, 1.0):
        look = max((look for look in looks if look.megabytes <= share * megabytes), default=looks[0])
        cells.append(f"{look.mean:.3f} {look.worst:.3f}")
    print(f"{title:21} {seed:4}   {'  '.join(cells)}  {looks[-1].time / INTERVAL:6.0f}", flush=True)


def real(seed: int) -> None:
    """The same as real processes."""
    options = [
        "--nodes",
        "16",
        "--task",
        f"{TASKS}:shards",
        "--data",
        str(MNIST),
        "--topology",
        "k-out:k=2",
        "--seed",
        str(seed),
    ]
    result = run([*options, "--seconds", str(REAL_SECONDS)], namespace=True)
    print(
        f"16 real processes     {seed:4}   {result['mean_accuracy']:.3f} {result['worst_accuracy']:.3f} after "
        f"{result['loopback_bytes_per_node'] / 1e6:.2f} MB sent per node",
        flush=True,
    )


if __name__ == "__main__":
    main()
