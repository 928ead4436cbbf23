"""One of ten nodes is ten times slower: what that costs the others, and what staleness strategies change.

MNIST-10 on fresh random peers, simulated; 150 steps take the usual node .75 s of an interval of 1 s, and the slow one
7.5 s.
"""

from __future__ import annotations

import statistics

from bench.learning.simulated import simulate
from bench.learning.tasks import MNIST10

SEEDS = (0, 1, 2)
SECONDS = 60
ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("no slow node", ()),
    ("hinge (default)", ("slow=1",)),
    ("const: no weighting", ("slow=1", "staleness=const")),
    ("poly", ("slow=1", "staleness=poly")),
    ("drop", ("slow=1", "staleness=drop")),
    ("rate correction", ("slow=1", "rate_correction=true")),
)


def main() -> None:
    if not MNIST10.is_file():
        print(f"skipped: {MNIST10} is not there; MNIST10=FILE names the data")
        return
    print(f"ten nodes, one 10x slower, {SECONDS} intervals, medians of {len(SEEDS)} seeds\n")
    print("                       accuracy: mean   worst    intervals to .90   to .93")
    for title, changes in ROWS:
        common = [
            "nodes=10", "task.name=npz", f"task.data={MNIST10}", "seconds_per_step=0.005", f"time.faulty={SECONDS}",
        ]  # fmt: skip
        runs = [simulate("calm", [*common, *changes], seed, every=1.0) for seed in SEEDS]
        mean, worst = (statistics.median(getattr(looks[-1], key) for looks in runs) for key in ("mean", "worst"))
        times = [
            statistics.median(next((look.time for look in looks if look.mean >= mark), float("inf")) for looks in runs)
            for mark in (0.90, 0.93)
        ]
        print(f"{title:31}{mean:.3f}   {worst:.3f}{times[0]:17.0f}{times[1]:12.0f}", flush=True)


if __name__ == "__main__":
    main()
