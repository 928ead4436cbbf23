"""Fleet mode: a million nodes with every fault, and how fast they train. Each measurement in a process of its own.

CPU seconds, since the machine may have other work; memory is all that the process had. Starting is importing, compiling
and drawing the contacts.
"""

import subprocess
import sys

NODES, EXCHANGES = 1_000_000, 100
MIXING = """
import resource, time
from gossipfl_sims.fleet.setting import Churn, Fleet, Partition
from gossipfl_sims.fleet.world import FleetWorld
fleet = Fleet(
    nodes={nodes}, floats={floats}, k={k}, slots={slots}, contacts={contacts}, loss=0.1,
    churn=Churn(present=50.0, absent=10.0), partitions=(Partition(start=10.0, end=20.0),),
)
FleetWorld(Fleet(nodes=100, contacts={contacts})).run(2.0)
world = FleetWorld(fleet)
begun = time.process_time()
world.run(float({exchanges}))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(begun, time.process_time() - begun, peak, world.sample().merged)
"""
CASES = (
    # floats, k, slots, contacts, exchanges; None for the contacts: everybody is everybody's.
    (8, 2, 10, 32, EXCHANGES),
    (8, 3, 10, 32, EXCHANGES),
    (8, 3, 20, 32, EXCHANGES),
    (8, 3, 10, None, EXCHANGES),
    (64, 3, 10, 32, 10),
)
TRAINING = """
import time
import numpy as np
from gossipfl_sims.fleet.learning import Shards
rng, n, rows = np.random.default_rng(0), 5000, 20
data = Shards(
    inputs=rng.random((n * rows, 64), dtype=np.float32), labels=rng.integers(10, size=n * rows),
    shares=np.arange(n * rows, dtype=np.int32).reshape(n, rows), classes=10, hidden={hidden},
    test_inputs=rng.random((10, 64), dtype=np.float32), test_labels=rng.integers(10, size=10),
)
x, nodes = np.tile(data.initial(), (n, 1)), np.arange(n, dtype=np.int32)
data.train(x, nodes[:1], 1)
taken = []
for _ in range(5):
    begun = time.process_time()
    data.train(x, nodes, {steps})
    taken.append(time.process_time() - begun)
print(n * {steps} / min(taken), data.floats)
"""
MARKS = {"seconds": 30.0, "MB": 1000.0, "node-steps": 150_000.0}


def main() -> None:
    print(f"{NODES:,} nodes, 10 % loss, churn, a partition: CPU seconds for {EXCHANGES} exchanges, one core")
    print(f"marks for 8 floats: {MARKS['seconds']:g} s, {MARKS['MB']:g} MB\n")
    heads = {"floats": 8, "k": 4, "slots": 7, "contacts": 10, "to start": 10, "seconds": 10, "peak MB": 10, "merged": 8}
    print("".join(f"{head:>{width}}" for head, width in heads.items()))
    for floats, k, slots, contacts, exchanges in CASES:
        start, seconds, memory, merged = _run(
            MIXING.format(nodes=NODES, floats=floats, k=k, slots=slots, contacts=contacts, exchanges=exchanges)
        )
        whole = "" if exchanges == EXCHANGES else f"   ({exchanges} exchanges)"
        print(f"{floats:8}{k:4}{slots:7}{contacts or 'all':>10}{start:10.1f}", end="")
        print(f"{seconds:10.1f}{memory:10.0f}{merged:8.1f}{whole}", flush=True)
    print(f"\ntraining, 20 rows of 64 features per node, one core; mark for 650 floats: {MARKS['node-steps']:,.0f}\n")
    print(f"{'floats':>8}{'steps at once':>15}{'node-steps/s':>14}")
    for hidden in (0, 32):
        for steps in (1, 20):
            rate, size = _run(TRAINING.format(hidden=hidden, steps=steps))
            print(f"{size:8.0f}{steps:15}{rate:14,.0f}", flush=True)


def _run(code: str) -> list[float]:
    """The numbers that `code` prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


if __name__ == "__main__":
    main()
