"""Twenty daemons, of which one is killed every ten seconds, beside twenty that are left in peace.

`python -m tests.lab.soak --minutes 20`. Nobody may lose its identity or use a version twice, who was killed must train
again soon, and in the end the one mesh must be as good as the other. Two daemons of the first are never killed: with
all that comes and goes around them, they may grow neither in memory nor in open files, once they are warm.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
from msgspec import Struct, field

from tests.lab.lan import why_not
from tests.lab.mesh import Mesh, mesh

NODES, INTERVAL = 20, 4.0
"""Forty daemons leave two cores half their time, and a start needs two seconds of one."""
KILL_EVERY, BACK_WITHIN = 10.0, 10.0
"""Seconds."""
WITNESSES = 2
"""Never killed: the first, which all begin from, and another."""
SAMPLE_EVERY, TELL_EVERY = 5.0, 30.0
WARM_UP, WARM_UP_EVERY = 150, 3.0
"""So many kills, so many seconds apart, before anything is measured: a witness has its thousand lines of events and of
its log by then, 1.2 MiB, and keeps no more."""
MOST_GROWTH = 1.0
"""MiB an hour."""
MOST_LOST = 0.01
"""Of accuracy."""
PAGE = os.sysconf("SC_PAGE_SIZE")


class Sample(Struct, frozen=True):
    """What one process had at one time."""

    at: float
    mebibytes: float
    files: int


class Life(Struct):
    """A daemon since it was started again."""

    number: int
    begun: float
    after: int
    """The incarnation of the life before."""


class Found(Struct):
    """What there was to see."""

    restarts: list[float] = field(default_factory=list)
    """Seconds until each life trained."""
    wrong: list[str] = field(default_factory=list)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    """By process."""


def soak(disturbed: Mesh, calm: Mesh, seconds: float) -> Found:
    """Kill and watch for so long."""
    found, dice = Found(), random.Random(0)
    lives: dict[int, Life] = {}
    begun = time.monotonic()
    kill, sample, tell = (_every(pause, begun) for pause in (KILL_EVERY, SAMPLE_EVERY, TELL_EVERY))
    while (now := time.monotonic()) - begun < seconds or lives:
        if kill() and now - begun < seconds - BACK_WITHIN:
            victim = dice.choice([number for number in range(WITNESSES, NODES) if number not in lives])
            lives[victim] = _kill(disturbed, victim)
        for life in list(lives.values()):
            if _trains(disturbed, life, found):
                del lives[life.number]
        if sample():
            _sample(disturbed, calm, found)
        if tell():
            _tell(now - begun, disturbed, calm, found)
        time.sleep(0.25)
    return found


def warm_up(disturbed: Mesh) -> None:
    """Kill one after the other until a witness remembers as much as it ever will."""
    for kill in range(WARM_UP):
        _kill(disturbed, WITNESSES + kill % (NODES - WITNESSES))
        time.sleep(WARM_UP_EVERY)


def _every(pause: float, begun: float) -> Callable[[], bool]:
    due = begun + pause

    def is_due() -> bool:
        nonlocal due
        if time.monotonic() < due:
            return False
        due += pause
        return True

    return is_due


def _kill(disturbed: Mesh, victim: int) -> Life:
    daemon = disturbed.daemons[victim]
    before = daemon.status().get("incarnation", 0)
    daemon.kill()
    daemon.start()
    return Life(victim, time.monotonic(), before)


def _trains(disturbed: Mesh, life: Life, found: Found) -> bool:
    """Does a life train? Or has it no time left for that?"""
    daemon = disturbed.daemons[life.number]
    status, seconds = daemon.status(), time.monotonic() - life.begun
    if not status.get("steps"):
        if seconds > 6 * BACK_WITHIN:
            found.wrong.append(f"daemon {life.number} did not train again within {seconds:.0f} s")
        return seconds > 6 * BACK_WITHIN
    found.restarts.append(seconds)
    if status["id"] != daemon.id:
        found.wrong.append(f"daemon {life.number} was {daemon.id} and is {status['id']}")
    if status["incarnation"] <= life.after:
        found.wrong.append(f"daemon {life.number} had incarnation {life.after} and has {status['incarnation']}")
    return True


def _sample(disturbed: Mesh, calm: Mesh, found: Found) -> None:
    watched = [("witness", disturbed.daemons[number]) for number in range(WITNESSES)]
    watched += [("calm", daemon) for daemon in calm.daemons]
    for kind, daemon in watched:
        for what, pid in (("daemon", daemon.pid), *(("training", worker) for worker in daemon.workers())):
            with open(f"/proc/{pid}/statm") as file:
                resident = int(file.read().split()[1]) * PAGE / 2**20
            sample = Sample(time.monotonic(), resident, len(os.listdir(f"/proc/{pid}/fd")))
            found.samples.setdefault(f"{kind} {what} {pid}", []).append(sample)


def _accuracies(of: Mesh) -> Iterator[float]:
    for daemon in of.daemons:
        if (accuracy := daemon.status().get("metrics", {}).get("accuracy")) is not None:
            yield accuracy


def _tell(seconds: float, disturbed: Mesh, calm: Mesh, found: Found) -> None:
    mean = [statistics.fmean(_accuracies(one)) for one in (disturbed, calm)]
    print(
        f"{seconds / 60:5.1f} min  {len(found.restarts)} restarts, {max(found.restarts, default=0):.1f} s at most;"
        f" accuracy {mean[0]:.4f}, undisturbed {mean[1]:.4f}; {len(found.wrong)} wrong",
        file=sys.stderr,
        flush=True,
    )


def growth(samples: list[Sample]) -> tuple[float, int]:
    """MiB an hour, by least squares; and open files more in the last third than in the first."""
    hours = [(sample.at - samples[0].at) / 3600 for sample in samples]
    slope = float(np.polyfit(hours, [sample.mebibytes for sample in samples], 1)[0])
    third = max(1, len(samples) // 3)
    first, last = (min(sample.files for sample in some) for some in (samples[:third], samples[-third:]))
    return slope, last - first


def report(disturbed: Mesh, calm: Mesh, found: Found) -> bool:
    """Print the table; returns whether all is as it must be."""
    used_twice = sum(
        "is not newer than" in line["reason"] for daemon in disturbed.daemons for line in daemon.events("refused")
    )
    mean, undisturbed = (statistics.fmean(_accuracies(one)) for one in (disturbed, calm))
    rows = [
        ("identities or incarnations lost", f"{len(found.wrong)}", "0", not found.wrong),
        ("versions used twice, by who refused them", f"{used_twice}", "0", not used_twice),
        *_row_of_restarts(found.restarts),
        ("accuracy, undisturbed", f"{undisturbed:.4f}", "", True),
        ("accuracy", f"{mean:.4f}", f">= {undisturbed - MOST_LOST:.4f}", mean >= undisturbed - MOST_LOST),
    ]
    for kind in ("witness daemon", "witness training", "calm daemon", "calm training"):
        grown = [growth(samples) for process, samples in found.samples.items() if process.startswith(kind)]
        slope, files = statistics.fmean(slope for slope, _ in grown), max(files for _, files in grown)
        rows += [
            (f"{kind}: MiB an hour, mean of {len(grown)}", f"{slope:+.2f}", f"< {MOST_GROWTH:g}", slope < MOST_GROWTH),
            (f"{kind}: open files more", f"{files:+d}", "0", files <= 0),
        ]
    for what, seen, allowed, ok in rows:
        print(f"{what:44} {seen:>10}  {allowed:12} {'' if ok else 'NO'}")
    print("\n".join(found.wrong))
    return all(ok for *_, ok in rows)


def _row_of_restarts(restarts: list[float]) -> Iterator[tuple[str, str, str, bool]]:
    slowest = max(restarts, default=0.0)
    yield "restarts", f"{len(restarts)}", "", True
    yield "seconds to train again, median", f"{statistics.median(restarts or [0.0]):.1f}", "", True
    yield "seconds to train again, at most", f"{slowest:.1f}", f"<= {BACK_WITHIN:g}", slowest <= BACK_WITHIN


def main() -> int:
    parser = argparse.ArgumentParser("soak", description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=20, help="how long (default: 20)")
    given = parser.parse_args()
    if reason := why_not():
        print(f"skipped: {reason}")
        return 0
    with ExitStack() as stack:
        disturbed, calm = (stack.enter_context(mesh(NODES, INTERVAL)) for _ in range(2))
        for one in (disturbed, calm):
            one.start()
        for one in (disturbed, calm):
            one.wait_until_whole(300)
        warm_up(disturbed)
        disturbed.wait_until_whole(300)
        found = soak(disturbed, calm, 60 * given.minutes)
        disturbed.wait_until_whole()
        return 0 if report(disturbed, calm, found) else 1


if __name__ == "__main__":
    sys.exit(main())
