"""The same eight-node digits mesh in the simulator and as real processes: accuracy at equal exchanges, and bytes.

What is compared: the mean accuracy once the nodes have merged as often on average, and bytes sent per merge.
"""

from __future__ import annotations

import statistics

from bench.learning.digits import run as demo
from gossipfl_sims.run import build
from gossipfl_sims.scenario.files import load

SEEDS = (0, 1, 2)
SECONDS = 40
INTERVAL = 0.25
"""The demo's."""
LOOKS = 5
"""At the simulated mesh from then on, an interval apart: a single one scatters by a point."""


def main() -> None:
    print("eight nodes, digits, k-out:k=3; merges per node, mean accuracy, bytes per merge (marks: .03 and 2 %)\n")
    print("seed   merges     real  simulated  difference    real B  simulated B   ratio")
    for seed in SEEDS:
        real = demo(["--seconds", str(SECONDS), "--seed", str(seed)])
        merges = statistics.fmean(node["merges"] for node in real["nodes"])
        weight = sum(node["bytes_sent"] for node in real["nodes"]) / sum(node["merges"] for node in real["nodes"])
        accuracy, simulated = simulate(seed, merges)
        apart = accuracy - real["mean_accuracy"]
        print(
            f"{seed:4} {merges:8.0f} {real['mean_accuracy']:8.3f} {accuracy:10.3f} {apart:+11.3f} {weight:9.0f}"
            f" {simulated:12.0f} {simulated / weight:7.3f}",
            flush=True,
        )


def simulate(seed: int, merges: float) -> tuple[float, float]:
    """Mean accuracy and bytes per merge, once each node has merged so often."""
    changes = ["nodes=8", f"gossip.interval={INTERVAL}", "bootstraps=1", "network.latency=0.002"]
    world = build(load("calm", changes), seed)
    for name in list(world.machines):
        world.start(name)
    while sum(machine.merges for machine in world) < merges * len(world.machines):
        world.run(world.now + INTERVAL)
    accuracies = []
    for _ in range(LOOKS):
        accuracies.append(statistics.fmean(machine.accuracy() for machine in world))
        world.run(world.now + INTERVAL)
    sent = sum(machine.bytes_sent for machine in world)
    return statistics.fmean(accuracies), sent / sum(machine.merges for machine in world)


if __name__ == "__main__":
    main()
