"""Simulated meshes draw recipients evenly, whether everybody knows everybody's link or only a sample of them."""

from __future__ import annotations

from collections import Counter

import pytest

from gossipfl.protocol import events as ev
from gossipfl.protocol.contacts import MAX_LINKS, SIZE
from gossipfl.protocol.settings import Settings
from tests.sims.worlds import World, blobs, boot

SETTLED = 20.0
"""Intervals until everybody has joined and is linked."""


def mesh(nodes: int, seed: int) -> World:
    """Two recipients per publish, an interval of a second, training that takes no time to speak of, no new bases."""
    settings = Settings(topology="k-out:k=2", interval=1.0, steps=1, codec="int8", momentum="none")
    world = World(blobs(nodes), settings, seed=seed, seconds_per_step=0.0005)
    boot(world)
    world.run(SETTLED)
    assert all(world.reported(machine, ev.Joined) for machine in world)
    return world


def received(world: World, intervals: float) -> Counter[str]:
    """The messages that each node gets in so many intervals from now on."""
    counts = Counter(dict.fromkeys(world.machines, 0))
    start = world.now
    world.run(start + intervals)
    for machine in world:
        for when, report in world.reports[machine.index]:
            if isinstance(report, ev.Published) and when > start:
                counts.update(report.to)
    return counts


def chi_square(counts: Counter[str]) -> float:
    """χ² over degrees of freedom: 1 for independent uniform draws, 0 where all get the same."""
    mean = counts.total() / len(counts)
    return sum((count - mean) ** 2 for count in counts.values()) / mean / (len(counts) - 1)


@pytest.mark.parametrize("seed", [0, 1])
def test_where_everybody_is_linked_all_get_nearly_the_same_number_of_messages(seed: int) -> None:
    """In each epoch everybody is sent two; that clocks tick between 0.9 and 1.1 intervals is all that differs."""
    world = mesh(30, seed)
    counts = received(world, 40.0)
    assert counts.total() == pytest.approx(30 * 40 * 2, rel=0.02)
    assert chi_square(counts) < 0.1, "independent draws have 1"


def test_where_only_a_sample_is_linked_nobody_is_sent_much_more_than_its_share() -> None:
    """The one that all bootstrapped from is no exception."""
    world = mesh(100, seed=0)
    for machine in world:
        assert machine.peer is not None
        assert len(machine.peer.neighbourhood.known) > 90
        assert SIZE - 4 <= len(machine.links) <= MAX_LINKS + 4
    counts = received(world, 50.0)
    mean = counts.total() / 100
    assert mean == pytest.approx(50 * 2, rel=0.02)
    assert chi_square(counts) <= 2
    assert max(counts.values()) <= 1.35 * mean
    assert min(counts.values()) >= 0.6 * mean
    assert counts["n000"] <= 1.2 * mean
