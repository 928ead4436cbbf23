"""A mesh in the simulator, looked at until it has sent so many bytes: shared by the benchmarks of learning."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from gossipfl_sims.nemesis.nemesis import Nemesis
from gossipfl_sims.run import build, seldom_collected
from gossipfl_sims.scenario.files import load


class Look(NamedTuple):
    """At all that have joined: virtual seconds, MB of frames sent per node, and the accuracy of the served models."""

    time: float
    megabytes: float
    mean: float
    worst: float


def simulate(
    scenario: str,
    changes: list[str],
    seed: int,
    *,
    every: float,
    megabytes: float = float("inf"),
    accuracy: float = 1.0,
) -> list[Look]:
    """Run `scenario` with `changes`, and look `every` so many virtual seconds.

    Until so many `megabytes` are sent per node, the mean `accuracy` is reached, or time.faulty is over.
    """
    made = load(scenario, changes)
    world = build(made, seed)
    Nemesis(world, made.faults, made.time.faulty).start()
    looks: list[Look] = []
    with seldom_collected():
        while world.now < made.time.faulty:
            world.run(world.now + every)
            reached = [machine.accuracy() for machine in world if machine.peer and machine.peer.joining is None]
            if not reached:
                continue
            sent = statistics.fmean(machine.bytes_sent for machine in world) / 1e6
            looks.append(Look(world.now, sent, statistics.fmean(reached), min(reached)))
            if sent >= megabytes or looks[-1].mean >= accuracy:
                break
    return looks
