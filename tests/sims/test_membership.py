"""Membership in simulated meshes: how soon the dead are noticed, that the living aren't taken for dead, and views."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from gossipfl.protocol import events as ev
from gossipfl.protocol.contacts import MAX_LINKS, SIZE, TURN
from gossipfl.protocol.settings import Settings
from gossipfl_sims.engine.network import Link
from gossipfl_topology.live import Ring
from tests.sims.worlds import World, blobs, boot

SWIM = math.e / (math.e - 1)
"""Expected probe periods until the first of many members notices that one is gone (Das, Gupta, Motivala, 2002)."""
SETTLED = 30.0
FROZEN = 11.0
"""Seconds: less than it takes a link to fall silent, so that nobody but a probe can notice."""


def mesh(nodes: int, *, topology: str = "k-out:k=1", interval: float = 1.0, loss: float = 0.0, seed: int = 0) -> World:
    settings = Settings(topology=topology, interval=interval, steps=1, codec="int8", momentum="none")
    world = World(blobs(nodes), settings, seed=seed, link=Link(loss=loss), seconds_per_step=0.0005)
    boot(world)
    world.run(SETTLED)
    return world


def noticed_after(world: World, trials: int) -> list[float]:
    """Probe periods until somebody suspects a node that has frozen."""
    rng, found = random.Random(1), []
    for _ in range(trials):
        victim = rng.choice(list(world.machines))
        world.run(world.now + rng.random())
        start = world.now
        world.freeze(victim, FROZEN)
        world.run(start + FROZEN)
        times = [
            when
            for machine in world
            for when, report in world.reports[machine.index]
            if when > start and report == ev.Suspected(victim)
        ]
        found.append(min(times) - start)
        world.run(world.now + 8.0)
        for reports in world.reports.values():
            reports.clear()
    return found


@pytest.mark.parametrize(
    ("nodes", "trials"),
    [(10, 40), pytest.param(100, 150, marks=pytest.mark.soak), pytest.param(1000, 40, marks=pytest.mark.soak)],
)
def test_a_dead_peer_is_noticed_as_soon_as_swim_promises_whatever_the_size(nodes: int, trials: int) -> None:
    found = noticed_after(mesh(nodes), trials)
    mean, error = statistics.fmean(found), statistics.stdev(found) / math.sqrt(trials)
    print(f"{nodes} nodes: {mean:.2f} ± {error:.2f} probe periods, {SWIM:.2f} expected")
    assert abs(mean - SWIM) <= 0.1 * SWIM + 2 * error


@pytest.mark.parametrize(
    ("hours", "interval"), [(0.05, 1.0), pytest.param(24.0, 10.0, marks=pytest.mark.soak)], ids=["short", "a day"]
)
def test_on_a_lossy_network_nobody_who_lives_is_taken_for_dead(hours: float, interval: float) -> None:
    world = mesh(30 if hours < 1 else 100, interval=interval, loss=0.05)
    suspected = 0
    end = world.now + 3600 * hours
    while world.now < end:
        world.run(min(end, world.now + 600))
        for reports in world.reports.values():
            assert not [report for _, report in reports if isinstance(report, ev.Died)]
            suspected += sum(isinstance(report, ev.Suspected) for _, report in reports)
            reports.clear()
    print(f"{suspected} suspicions, all refuted")
    assert suspected or hours < 1


def test_who_is_frozen_for_long_is_dead_and_comes_back() -> None:
    world = mesh(10)
    world.freeze("n003", 60.0)
    world.run(world.now + 60.0)
    for machine in world:
        if machine.name != "n003":
            assert machine.peer is not None
            assert "n003" not in machine.peer.neighbourhood.live()
    world.run(world.now + 40.0)
    for machine in world:
        assert machine.peer is not None
        assert len(machine.peer.neighbourhood.live()) == 9


@pytest.mark.soak
def test_all_know_about_how_many_they_are() -> None:
    world = mesh(60)
    world.run(SETTLED + 250.0)
    for machine in world:
        assert machine.peer is not None
        assert machine.peer.census.size == pytest.approx(60, rel=0.01)
    for name in list(world.machines)[:20]:
        world.crash(name)
    world.run(world.now + 300.0)
    for machine in world:
        if machine.peer is not None:
            assert machine.peer.census.size == pytest.approx(40, rel=0.01)


def test_links_are_few_the_same_from_both_ends_and_change_little_by_little() -> None:
    world = mesh(80)
    seen: dict[str, set[str]] = {machine.name: set(machine.links) for machine in world}
    before = {machine.name: set(machine.links) for machine in world}
    for _ in range(12):
        world.run(world.now + TURN)
        for machine in world:
            assert SIZE - 6 <= len(machine.links) <= MAX_LINKS + 6
            assert all(machine.name in world.machines[other].links for other in machine.links)
            assert len(set(machine.links) - before[machine.name]) <= 12
            before[machine.name] = set(machine.links)
            seen[machine.name] |= before[machine.name]
    assert statistics.fmean(map(len, seen.values())) > 1.4 * SIZE, "others get their turn"


@pytest.mark.soak
def test_a_ring_of_more_than_anybody_knows_comes_together() -> None:
    world = mesh(200, topology="ring")
    ring, everybody = Ring(), dict.fromkeys(world.machines, "")
    world.run(SETTLED + 120.0)
    torn = [
        machine.name
        for machine in world
        if machine.peer is not None
        and set(machine.peer.contacts.recipients(0)) != set(ring.neighbours(machine.name, everybody, 0))
    ]
    assert not torn
