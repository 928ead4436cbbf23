"""Simulated meshes: they learn together, and go on under loss, duplication, corruption, crashes and partitions."""

import math

import numpy as np
import pytest

from gossipfl.protocol import events as ev
from gossipfl.protocol.parts.exchange import SELDOM
from gossipfl.protocol.settings import Settings
from gossipfl.wire import messages as msg
from gossipfl_sims.engine.network import Link
from tests.sims.worlds import Watched, World, accuracies, blobs, boot, digit_tasks

needs_digits = pytest.mark.skipif(
    "not __import__('importlib.util').util.find_spec('sklearn')",
    reason="digits come with scikit-learn, extra gossipfl[demo]",
)
FAULTS = Link(loss=0.3, duplication=0.1, corruption=0.03)


@needs_digits
def test_eight_nodes_with_two_classes_each_learn_all_ten_digits() -> None:
    world = World(digit_tasks(8), Settings(interval=0.25), seed=0, seconds_per_step=0.0005)
    boot(world)
    world.run(52.0)
    assert float(np.mean(accuracies(world))) >= 0.93
    assert min(accuracies(world)) >= 0.85
    assert not any(world.reported(machine, ev.Refused) + world.reported(machine, ev.Failed) for machine in world)


@needs_digits
def test_two_crashed_nodes_come_back_and_take_up_the_meshs_model() -> None:
    world = World(digit_tasks(8), Settings(interval=0.25), seed=1, seconds_per_step=0.0005)
    boot(world)
    world.run(20.0)
    for name in ("n002", "n005"):
        world.crash(name)
    world.run(25.0)
    for name in ("n002", "n005"):
        world.start(name)
    world.run(27.0)
    for name in ("n002", "n005"):
        machine = world.machines[name]
        assert machine.peer is not None
        joined = world.reported(machine, ev.Joined)
        assert 2 <= len(joined) <= 3, "it may hear first of the other one, which is as far behind"
        assert isinstance(joined[-1], ev.Joined)
        assert len(joined[-1].sources) >= 3
        assert machine.peer.incarnation == 2
        assert machine.peer.replica.age > 500
    world.run(30.0)
    survivors = [machine.accuracy() for machine in world if machine.incarnation == 1]
    returned = [machine.accuracy() for machine in world if machine.incarnation == 2]
    assert min(returned) > min(survivors) - 0.1


@needs_digits
def test_under_every_fault_every_node_still_learns_and_no_refused_frame_changes_anything() -> None:
    world = Watched(digit_tasks(8), Settings(interval=0.25), link=FAULTS, seed=2)
    boot(world)
    world.run(12.0)
    world.crash("n004")
    world.run(16.0)
    world.start("n004")
    world.run(40.0)
    assert world.refused > 50
    assert min(accuracies(world)) > 0.6
    assert float(np.mean(accuracies(world))) > 0.8


def chaos(seed: int) -> Watched:
    """Six nodes, every fault, a crash of one, and a partition into halves."""
    world = Watched(blobs(6, seed=seed), Settings(interval=0.5), link=FAULTS, seed=seed)
    boot(world)
    world.run(8.0)
    world.crash("n001")
    world.run(12.0)
    world.start("n001")
    world.cut(lambda one, other: (one < "n003") != (other < "n003"))
    world.run(24.0)
    world.mend()
    world.run(45.0)
    return world


@pytest.mark.parametrize("seed", [0, 1])
def test_chaos_is_survived(seed: int) -> None:
    world = chaos(seed)
    assert world.refused > 0
    assert min(accuracies(world)) > 0.8


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(30))
def test_chaos_is_survived_with_every_seed(seed: int) -> None:
    test_chaos_is_survived(seed)


@needs_digits
@pytest.mark.soak
@pytest.mark.parametrize("seed", range(30))
def test_digits_are_learnt_under_every_fault_with_every_seed(seed: int) -> None:
    world = Watched(digit_tasks(8, seed), Settings(interval=0.25), link=FAULTS, seed=seed)
    boot(world)
    world.run(40.0)
    assert min(accuracies(world)) > 0.6
    assert float(np.mean(accuracies(world))) > 0.8


@pytest.mark.parametrize("topology", ["k-out", "ring", "complete", "regular", "exponential"])
def test_alone_a_node_knows_half_and_together_all(topology: str) -> None:
    alone = blobs(8)[0]
    vector = alone.initial()
    alone.train(vector, 2000, np.random.default_rng(0))
    assert alone.evaluate(vector)["accuracy"] < 0.65
    world = World(blobs(8), Settings(interval=0.5, topology=topology), seed=3)
    boot(world)
    world.run(40.0)
    assert min(accuracies(world)) > 0.9


def test_the_two_halves_of_a_partition_merge_when_it_heals() -> None:
    world = World(blobs(8), Settings(interval=0.5), seed=4)
    world.cut(lambda one, other: (one < "n004") != (other < "n004"))
    boot(world)
    world.run(20.0)
    apart = spread(world)
    world.mend()
    world.run(60.0)
    for machine in world:
        assert machine.peer is not None
        assert len(machine.peer.neighbourhood.live()) == 7
    assert spread(world) < apart
    assert min(accuracies(world)) > 0.9


def spread(world: World) -> float:
    models = np.stack([machine.peer.replica.served.x for machine in world if machine.peer is not None])
    return math.sqrt(float(models.var(axis=0).sum()))


def test_nodes_that_began_alone_with_weights_of_their_own_come_together_once_there_is_a_network() -> None:
    """The power comes back before the network does: every daemon gives up waiting, and has a base of its own."""
    world = World(blobs(8, own_weights=True), Settings(interval=0.5), seed=5)
    world.cut(lambda _one, _other: True)
    boot(world)
    world.run(5.0)
    assert all(world.reported(machine, ev.Joined) for machine in world)
    apart = spread(world)
    world.mend()
    world.run(60.0)
    assert spread(world) < apart / 4
    assert min(accuracies(world)) > 0.9


def test_a_late_network_does_not_cost_updates_and_bases_for_ever() -> None:
    """Eight bases are more than anybody holds: the mesh has to agree on fewer."""
    world = World(blobs(8, own_weights=True), Settings(interval=0.5), seed=5)
    world.cut(lambda _one, _other: True)
    boot(world)
    world.run(5.0)
    world.mend()
    world.run(60.0)
    bases: list[bytes] = []
    world.on_frame = lambda _sender, _receiver, body: bases.append(body) if is_a_base(body) else None
    begun = sum(machine.bytes_sent for machine in world)
    before = sum(len(world.reported(machine, ev.Merged)) for machine in world)
    sent = sum(len(world.reported(machine, ev.Published)) for machine in world)
    world.run(90.0)
    merges = sum(len(world.reported(machine, ev.Merged)) for machine in world) - before
    updates = 3 * (sum(len(world.reported(machine, ev.Published)) for machine in world) - sent)
    assert merges > 0.9 * updates
    spent = sum(machine.bytes_sent for machine in world) - begun
    print(len(bases), sum(map(len, bases)), spent)
    assert sum(map(len, bases)) < spent / SELDOM


def is_a_base(body: bytes) -> bool:
    return isinstance(msg.decode(body), msg.Base)


def test_all_nodes_begin_from_one_vector_whatever_weights_they_brought() -> None:
    world = World(blobs(8, own_weights=True), Settings(interval=0.5), seed=6, seconds_per_step=100.0)
    boot(world)
    world.run(7.0)
    assert all(len(world.reported(machine, ev.Joined)) == 1 for machine in world)
    assert len({machine.peer.bases.own for machine in world if machine.peer is not None}) == 1


@pytest.mark.parametrize("away", [0.2, 0.5, 0.8, 1.1, 2.0, 3.5])
def test_a_dial_that_fails_late_does_not_hide_the_link_that_came_meanwhile(away: float) -> None:
    """Both ends redial after a restart; the one that dialled too early hears of its failure when they are linked."""
    world = World(blobs(2), Settings(interval=0.5), seed=8)
    boot(world)
    world.run(5.0)
    world.crash("n001")
    world.run(5.0 + away)
    world.start("n001")
    world.run(25.0)
    for machine in world:
        assert machine.peer is not None
        assert len(machine.peer.neighbourhood.live()) == 1


def test_everybody_finds_everybody_through_one_address() -> None:
    world = World(blobs(12), Settings(interval=0.5), seed=7)
    boot(world)
    world.run(20.0)
    for machine in world:
        assert machine.peer is not None
        assert len(machine.peer.neighbourhood.live()) == 11
