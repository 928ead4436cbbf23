"""Admission in simulated meshes: members learn as in an open one, strangers hear nothing, and bans reach everybody."""

from __future__ import annotations

import pytest

from gossipfl.protocol import events as ev
from gossipfl.protocol.settings import Settings
from gossipfl_sims.engine.network import Link
from tests.sims.worlds import World, accuracies, blobs, boot

NODES, STRANGERS = 12, 3
LOSSES = pytest.mark.parametrize("loss", [0.0, 0.3])


def closed(loss: float, *, seed: int = 1, strangers: int = 0) -> World:
    """A closed mesh; the last machines are strangers, who know the first one's address."""
    world = World(
        blobs(NODES + strangers), Settings(topology="k-out:k=2"), link=Link(loss=loss), seed=seed, closed=True
    )  # fmt: skip
    assert world.authority is not None
    for machine in list(world)[NODES:]:
        machine.charter = world.authority.stranger()[1]
        del world.machines[machine.name]
        machine.name = machine.charter.founder
        world.machines[machine.name] = machine
    return world


@LOSSES
def test_members_find_each_other_and_learn_and_strangers_hear_nothing(loss: float) -> None:
    world = closed(loss, strangers=STRANGERS)
    names = [machine.name for machine in world]
    members, strangers = set(names[:NODES]), set(names[NODES:])
    told: set[str] = set()

    def on_frame(sender: str, receiver: str, _: bytes) -> None:
        if sender in members and receiver in strangers:
            told.add(receiver)

    world.on_frame = on_frame
    boot(world)
    world.run(60.0)
    assert told == set()
    for machine in list(world)[:NODES]:
        assert machine.peer is not None
        assert set(machine.peer.neighbourhood.live()) == members - {machine.name}
    assert min(accuracies(world)[:NODES]) > 0.9
    assert not any(world.reported(machine, ev.Merged) for machine in list(world)[NODES:])


@LOSSES
def test_a_banned_device_gets_nothing_after_an_interval_and_is_not_dialled_again(loss: float) -> None:
    world = closed(loss)
    boot(world)
    world.run(20.0)
    victim = list(world)[7]
    late: list[float] = []
    world.ban(victim.name)
    banned_at = world.now

    def on_frame(_: str, receiver: str, __: bytes) -> None:
        if receiver == victim.name and world.now > banned_at + world.settings.interval:
            late.append(world.now)

    world.on_frame = on_frame
    world.run(60.0)
    assert late == []
    for machine in world:
        assert machine.peer is not None
        live = set(machine.peer.neighbourhood.live())
        assert live == (set() if machine is victim else set(world.machines) - {machine.name, victim.name})
        assert len(world.reported(machine, ev.Revoked)) == (machine is not victim)


def test_who_was_down_when_somebody_was_banned_does_not_let_it_in_later() -> None:
    world = closed(0.0)
    boot(world)
    world.run(20.0)
    victim, sleeper = list(world)[7], list(world)[9]
    world.stop(sleeper.name)
    world.ban(victim.name)
    world.run(25.0)
    world.start(sleeper.name)
    world.run(60.0)
    assert sleeper.peer is not None
    assert victim.name not in sleeper.peer.neighbourhood.live()
    assert len(sleeper.peer.neighbourhood.live()) == NODES - 2


def test_a_device_that_loses_its_disk_needs_a_new_admission_and_learns_again() -> None:
    world = closed(0.0)
    boot(world)
    world.run(10.0)
    lost = list(world)[5]
    before = lost.name
    world.crash(before, disk=False)
    world.run(11.0)
    world.start(lost.name)
    world.run(40.0)
    assert lost.name != before
    assert lost.accuracy() > 0.9
