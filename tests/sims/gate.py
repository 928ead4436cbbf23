"""The gate: what the seed draws must break no rule. Runs seeds in parallel, one process for each core.

`python -m tests.sims.gate --seeds 10000`, or `--seconds 600`, runs as many as asked for.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from joblib import Parallel, delayed

from gossipfl_sims.run import Run
from gossipfl_sims.scenario.files import load

PATIENT = ("steps=1", "time.healed=120")
"""Who sends less of a model trains less in between, and has more time to come back from where chaos left it."""
VARIANTS: tuple[tuple[str, ...], ...] = (
    (),
    ("codec=int4+top-k:0.3", "momentum=none", *PATIENT),
    ("codec=int8+top-k:0.5", "momentum=none", *PATIENT),
    ("codec=int4+random:0.5", "steps=2"),
    ("codec=float16+fragments:2", "rate_correction=true", "momentum=none", "steps=2"),
    ("codec=int8", "momentum=none"),
    ("codec=bfloat16+layers", "budget=1 MB/minute"),
)
"""How nodes gossip, one after another from seed to seed."""
BATCH = 200
"""Seeds between two looks at the clock."""


@dataclass(frozen=True)
class Outcome:
    seed: int
    faults: int
    events: int
    broken: int
    first: str
    replay: str


def outcome(seed: int, scenario: str = "chaos", changes: tuple[str, ...] = ()) -> Outcome:
    changes += VARIANTS[seed % len(VARIANTS)]
    result = Run(
        load(scenario, changes), seed, name=" ".join([scenario, *(f"--set {one}" for one in changes)])
    ).finish()
    first = f"{result.violations[0]}" if result.violations else "; ".join(result.unmet)
    return Outcome(seed, result.faults, result.events, result.broken + len(result.unmet), first, result.replay)


def outcomes(seeds: Iterable[int], scenario: str = "chaos", changes: tuple[str, ...] = ()) -> Iterator[Outcome]:
    """As they come, in any order."""
    found: Iterator[Outcome] = Parallel(os.cpu_count() or 1, return_as="generator_unordered")(
        delayed(outcome)(seed, scenario, changes) for seed in seeds
    )
    yield from found


def gate(
    seeds: Iterable[int], scenario: str = "chaos", changes: tuple[str, ...] = ()
) -> tuple[int, int, list[Outcome]]:
    """Runs, faults, and the outcomes that broke a rule; prints what it comes to."""
    begun, runs, faults, events, bad = time.perf_counter(), 0, 0, 0, list[Outcome]()
    for one in outcomes(seeds, scenario, changes):
        runs, faults, events = runs + 1, faults + one.faults, events + one.events
        if one.broken:
            bad.append(one)
            print(f"{one.first}\n{one.replay}", flush=True)
    seconds = time.perf_counter() - begun
    print(
        f"{runs} seeds, {faults:,} faults, {events:,} events, {len(bad)} with violations, {seconds:.0f} s", flush=True
    )
    return runs, faults, bad


def main() -> int:
    parser = argparse.ArgumentParser("gate", description=__doc__, allow_abbrev=False)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many (default: 10000)")
    parser.add_argument("--first", type=int, default=0, help="the first (default: 0)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no more after so long")
    given = parser.parse_args()
    begun, at, faults, bad = time.perf_counter(), given.first, 0, 0
    while at < given.first + given.seeds and time.perf_counter() - begun < given.seconds:
        upto = min(at + BATCH, given.first + given.seeds)
        _, some, broken = gate(range(at, upto))
        at, faults, bad = upto, faults + some, bad + len(broken)
    print(f"{at - given.first:,} seeds, {faults:,} faults: {bad} broke a rule")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
