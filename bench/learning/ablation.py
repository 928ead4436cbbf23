"""Every mechanism off, one at a time: bytes to an accuracy on a mild skew, and accuracy for bytes on a harsh one.

`mild`: MNIST-10 (Dirichlet(0.5) label skew, ten nodes on a ring), MB of frames sent per node to a mean accuracy of .90
and .93. `faults`: the same data on k-out:k=2, of the nodes 30 % away at any time and of the frames 30 % lost; the same
figure. `harsh`: MNIST in 2-class shards, 16 nodes, k-out:k=2, accuracy after 5 MB sent per node, mean and worst, with a
horizon that suits the bits of the codec. All simulated, medians of three seeds; an infinite figure was not reached with
2 MB, or in 300 intervals.
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path

from joblib import Parallel, delayed

from bench.learning import shards
from bench.learning.simulated import Look, simulate
from bench.learning.tasks import HORIZON, MNIST, MNIST10
from gossipfl.codec.codec import codec
from gossipfl.protocol.settings import Settings

SEEDS = (0, 1, 2)
MOST = 2.0
"""MB until the search for .93 is given up."""
LONGEST = 300
"""Virtual seconds, which are intervals, likewise: ten times what the default takes."""
HARSH = 5.0
"""MB."""
DEFAULT = Settings().codec
MILD = (("calm", ("nodes=10", "topology=ring")), (str(Path(__file__).with_name("churn10.toml")), ()))
"""Scenarios and changes of them: without faults, and with."""
ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("the default", ()),
    ("quantiser off (float32)", ("codec=float32+round-robin:5",)),
    ("int8 instead of int4", ("codec=int8+round-robin:5",)),
    ("int2 instead of int4", ("codec=int2+round-robin:5",)),
    ("selection off (all)", ("codec=int4",)),
    ("fragments instead", ("codec=int4+fragments:5",)),
    ("random instead", ("codec=int4+random:0.2",)),
    ("top-k instead", ("codec=int4+top-k:0.1",)),
    ("calibration off", ("task=uncalibrated",)),
    ("cooling off", ("task=hot",)),
    ("momentum off", ("momentum=none",)),
    ("staleness off", ("staleness=const",)),
)


def main() -> None:
    for file, name in ((MNIST10, "MNIST10"), (MNIST, "MNIST")):
        if not file.is_file():
            print(f"skipped: {file} is not there; {name}=FILE names the data")
            return
    work = Parallel(n_jobs=-1)
    print(" " * 27 + "MB to .90, .93: mild         faults   harsh: mean   worst")
    for title, changes in ROWS:
        kind = next((one.partition("=")[2] for one in changes if one.startswith("task=")), "")
        gossip = [one for one in changes if not one.startswith("task=")]
        cells = ""
        for scenario, of_it in () if kind == "hot" else MILD:
            runs = work(delayed(mild)(scenario, kind, [*of_it, *gossip], seed) for seed in SEEDS)
            cells += "".join(f"{statistics.median(to(looks, mark) for looks in runs):7.3f}" for mark in (0.90, 0.93))
        ends = [looks[-1] for looks in work(delayed(harsh)(kind, gossip, seed) for seed in SEEDS)]
        mean, worst = (statistics.median(getattr(end, key) for end in ends) for key in ("mean", "worst"))
        print(f"{title:27}{cells or '      –' * 4:>39}{mean:14.3f}{worst:8.3f}", flush=True)


def mild(scenario: str, kind: str, gossip: list[str], seed: int) -> list[Look]:
    """MNIST-10 until .93."""
    task = shards.TASKS + ":dirichlet_uncalibrated" if kind == "uncalibrated" else "npz"
    changes = [f"task.name={task}", f"task.data={MNIST10}", f"time.faulty={LONGEST}"]
    return simulate(scenario, [*changes, *gossip], seed, every=1.0, megabytes=MOST, accuracy=0.93)


def harsh(kind: str, gossip: list[str], seed: int) -> list[Look]:
    """Two-class shards until the bytes are spent."""
    task = "_".join(filter(None, ("shards", kind)))
    made_by = next((one.partition("=")[2] for one in gossip if one.startswith("codec=")), DEFAULT)
    bits = codec(made_by).bits / codec(DEFAULT).bits
    os.environ["HORIZON"] = str(HORIZON * HARSH / shards.MEGABYTES / bits)
    changes = shards.changes(16, task, (*shards.GOSSIP, *gossip))
    return simulate("calm", changes, seed, every=40.0, megabytes=HARSH)


def to(looks: list[Look], accuracy: float) -> float:
    """MB until the mean is `accuracy`."""
    return next((look.megabytes for look in looks if look.mean >= accuracy), float("inf"))


if __name__ == "__main__":
    main()
