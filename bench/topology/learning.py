"""What a topology does to learning: digits with two classes a node, in the simulator, at the same publish interval.

Simulated, so that only the topology differs: the daemons' own protocol in virtual time, the same seeds for all, eight
bits and no momentum.
"""

import statistics

from gossipfl.protocol.settings import Settings
from gossipfl.tasks.digits import digits
from gossipfl.tasks.task import Node, Task
from gossipfl_sims.engine.world import World

NODES, SEEDS, INTERVAL = 8, 4, 0.25
TIMES = (5.0, 10.0, 20.0, 50.0)
TOPOLOGIES = ("k-out:k=1", "k-out:k=2", "k-out:k=3", "regular:k=4", "exponential", "ring", "complete")


def main() -> None:
    print(f"{NODES} nodes, mean/worst accuracy of the served models after virtual seconds, {SEEDS} seeds\n")
    print(
        f"{'topology':14}" + "".join(f"{f'{time:g} s':>14}" for time in TIMES) + f"{'kB per node':>14}{'at 500 kB':>12}"
    )
    for topology in TOPOLOGIES:
        rows = [_learn(topology, seed) for seed in range(SEEDS)]
        cells = [
            f"{statistics.fmean(row[0][i][0] for row in rows):.3f}/{statistics.fmean(row[0][i][1] for row in rows):.3f}"
            for i in range(len(TIMES))
        ]
        sent = statistics.fmean(row[1] for row in rows) / 1e3
        fixed = statistics.fmean(row[2] for row in rows)
        print(f"{topology:14}" + "".join(f"{cell:>14}" for cell in cells) + f"{sent:14.0f}{fixed:12.3f}", flush=True)


def _learn(topology: str, seed: int) -> tuple[list[tuple[float, float]], float, float]:
    """Mean and worst accuracy at each time, bytes sent per node, and the mean accuracy when these were 500 kB."""
    tasks: list[Task] = [digits(Node(index, NODES, seed)) for index in range(NODES)]
    settings = Settings(interval=INTERVAL, topology=topology, codec="int8", momentum="none")
    world = World(tasks, settings, seed=seed, seconds_per_step=0.0005)
    for name in world.machines:
        world.start(name)
    found, fixed, now = [], 0.0, 0.0
    for time in TIMES:
        while now < time:
            now += INTERVAL
            world.run(now)
            if not fixed and sum(machine.bytes_sent for machine in world) >= 500e3 * NODES:
                fixed = statistics.fmean(machine.accuracy() for machine in world)
        accuracies = [machine.accuracy() for machine in world]
        found.append((statistics.fmean(accuracies), min(accuracies)))
    return found, sum(machine.bytes_sent for machine in world) / NODES, fixed


if __name__ == "__main__":
    main()
