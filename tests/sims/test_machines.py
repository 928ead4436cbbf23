"""Machines: they crash, freeze, leave and come back as devices do, and nothing reaches a life that is over."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.errors import LocalError
from gossipfl.model.schema import Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.saved import EVERY
from gossipfl.protocol.settings import Settings
from gossipfl.tasks.task import Node, Task
from gossipfl.wire import messages as msg
from gossipfl_sims.engine.machine import Machine
from gossipfl_sims.engine.network import Link
from gossipfl_sims.engine.world import FAREWELL, MOST_LINKS, RESET, SILENCE, UNANSWERED, UNREACHABLE
from gossipfl_sims.nemesis.walls import Groups
from gossipfl_sims.tasks.quadratic import quadratic
from tests.sims.worlds import World, blobs, boot

FIXED = Link(law="fixed")


class Diary:
    """Every event, with its time and whose it was; and every effect."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.events: list[tuple[float, str, int, ev.Event]] = []
        self.effects: list[tuple[float, str, ev.Effect]] = []
        self.asked: set[tuple[str, int, object]] = set()
        """Whose timers and trainings, in which life."""
        world.observers.append(self)

    def before(self, machine: Machine, event: ev.Event) -> None:
        self.events.append((self._world.now, machine.name, machine.life, event))

    def after(self, machine: Machine, _: ev.Event, effects: list[ev.Effect]) -> None:
        self.effects += [(self._world.now, machine.name, effect) for effect in effects]
        for effect in effects:
            if isinstance(effect, ev.SetTimer | ev.Train):
                asked = effect.timer if isinstance(effect, ev.SetTimer) else effect.training
                self.asked.add((machine.name, machine.life, asked))

    def of(self, name: str, *kinds: type[ev.Event]) -> list[tuple[float, ev.Event]]:
        return [(time, event) for time, whose, _, event in self.events if whose == name and isinstance(event, kinds)]

    def count(self, name: str, *kinds: type[ev.Event]) -> int:
        return len(self.of(name, *kinds))


def a_world(
    nodes: int = 3, link: Link = FIXED, *, until: float = 10.0, seed: int = 0, step: float = 0.001, bootstraps: int = 1
) -> tuple[World, Diary]:
    """A mesh that has run for a while, and what happens to it from then on."""
    tasks: list[Task] = [quadratic(Node(index, nodes, seed)) for index in range(nodes)]
    world = World(tasks, Settings(interval=0.5), link=link, seed=seed, seconds_per_step=step,
                  bootstraps=bootstraps)  # fmt: skip
    boot(world)
    world.run(until)
    return world, Diary(world)


def live(world: World) -> dict[str, int]:
    return {machine.name: len(machine.peer.neighbourhood.live()) for machine in world if machine.peer is not None}


def all_linked(world: World) -> bool:
    """Does everybody think that it is linked with everybody, and does the network agree?"""
    up = [machine.name for machine in world if machine.up]
    return live(world) == dict.fromkeys(up, len(up) - 1) and all(
        set(machine.links) == set(up) - {machine.name} for machine in world if machine.up
    )


# --- crashes


def test_who_crashes_comes_back_as_itself_a_generation_later() -> None:
    world, diary = a_world()
    machine = world.machines["n001"]
    before = machine.life
    world.crash("n001")
    assert not machine.up
    world.run(15.0)
    assert not [event for _, name, _, event in diary.events if name == "n001"]
    world.start("n001")
    world.run(30.0)
    assert (machine.name, machine.incarnation) == ("n001", 2)
    assert machine.life > before
    assert machine.peer is not None
    assert (machine.peer.me, machine.peer.incarnation) == ("n001", 2)
    assert diary.of("n001", ev.Started) == [(15.0, ev.Started())]
    assert all_linked(world)


def test_who_loses_its_disk_comes_back_as_somebody_else() -> None:
    world, _ = a_world()
    machine = world.machines["n002"]
    names = {machine.name}
    for _ in range(3):
        world.crash(machine.name, disk=False)
        assert machine.incarnation == 0
        names.add(machine.name)
        assert world.machines == {one.name: one for one in world}
        world.start(machine.name)
        world.run(world.now + 20.0)
        assert machine.peer is not None
        assert (machine.peer.me, machine.incarnation) == (machine.name, 1)
        assert machine.name in set(world.machines["n001"].links)
    assert len(names) == 4
    assert all(name.startswith("n002") for name in names)
    assert (machine.index, machine.identity) == (2, "n002")


@pytest.mark.parametrize(("name", "kept"), [("n000", True), ("n001", True), ("n002", False)])
def test_those_that_others_bootstrap_from_have_their_keys_backed_up(name: str, kept: bool) -> None:  # noqa: FBT001
    world, _ = a_world(bootstraps=2)
    machine = world.machines[name]
    world.crash(name, disk=False)
    assert (machine.name == name) == kept
    world.start(machine.name)
    assert machine.incarnation == (2 if kept else 1)


# --- what is on the disk


def model(machine: Machine) -> tuple[bytes, bytes, float]:
    assert machine.peer is not None
    replica = machine.peer.replica
    return replica.full().tobytes(), replica.full_served().tobytes(), replica.age


def saved_by(machine: Machine) -> tuple[bytes, bytes, float]:
    assert machine.saved is not None
    kept = machine.saved.model
    return kept.x.tobytes(), kept.served.tobytes(), kept.age


def test_a_machine_saves_when_it_has_joined_and_then_every_ten_seconds_at_the_begin_of_an_interval() -> None:
    world, diary = a_world()
    machine, saves = world.machines["n001"], list[tuple[float, tuple[bytes, bytes, float]]]()
    for tenth in range(101, 400):
        before = machine.saved
        world.run(tenth / 10)
        if machine.saved is not before:
            began = [(time, effect) for time, name, effect in diary.effects if name == "n001"]
            time, train = next((time, one) for time, one in reversed(began) if isinstance(one, ev.Train))
            assert train.age == saved_by(machine)[2]
            saves.append((time, saved_by(machine)))
    assert len(saves) == 3
    assert all(EVERY <= later[0] - one[0] <= EVERY + 0.6 for one, later in itertools.pairwise(saves))
    assert saves[0][1] != saves[1][1]


def test_who_crashes_with_its_disk_goes_on_from_what_it_saved_last() -> None:
    world, _ = a_world(until=14.0)
    machine = world.machines["n001"]
    kept = saved_by(machine)
    assert model(machine) != kept
    world.crash("n001")
    world.run(15.0)
    assert saved_by(machine) == kept
    world.start("n001")
    assert model(machine) == kept
    world.run(15.5)
    assert machine.peer is not None
    assert machine.peer.joining is None, "it waits for nobody"
    assert world.reported(machine, ev.Joined)[-1] == ev.Joined(())


def test_who_crashes_without_its_disk_has_nothing_to_go_on_from() -> None:
    world, _ = a_world(bootstraps=2)
    for name in ("n001", "n002"):
        machine = world.machines[name]
        world.crash(name, disk=False)
        assert machine.saved is None
        world.start(machine.name)
        assert model(machine)[2] == 0


def test_who_stops_saves_its_very_last_model() -> None:
    world, _ = a_world(until=17.3)
    machine = world.machines["n002"]
    last = model(machine)
    world.stop("n002")
    assert saved_by(machine) == last
    world.run(19.0)
    world.start("n002")
    assert model(machine) == last


def test_who_was_away_too_long_takes_up_the_mesh_s_model() -> None:
    world, _ = a_world(until=18.0)
    machine = world.machines["n001"]
    world.crash("n001")
    world.run(60.0)
    world.start("n001")
    world.run(70.0)
    assert world.reported(machine, ev.Joined)[-1] != ev.Joined(())
    assert machine.saved is not None
    assert saved_by(machine)[2] > 1000


def test_others_notice_a_crash_when_sockets_close() -> None:
    world, diary = a_world()
    world.crash("n001")
    world.run(11.0)
    for other in ("n000", "n002"):
        assert diary.of(other, ev.Disconnected) == [(10.0 + RESET, ev.Disconnected("n001"))]
        assert "n001" not in world.machines[other].links


@pytest.mark.parametrize("latency", [0.001, 0.02, 0.2, 2.0])
@pytest.mark.parametrize("away", [0.0, 0.01, 0.06, 3.0])
@pytest.mark.parametrize("graceful", [False, True])
def test_who_comes_back_at_once_or_later_is_linked_with_all_again(
    latency: float,
    away: float,
    graceful: bool,  # noqa: FBT001
) -> None:
    """Both ends must agree, however the news of the old link's end and of the new link's beginning fall."""
    world, _ = a_world(3, Link(law="fixed", latency=latency), until=25.0)
    assert all_linked(world)
    (world.stop if graceful else world.crash)("n001")
    world.run(25.0 + away)
    world.start("n001")
    world.run(70.0)
    assert all_linked(world)
    merges = {machine.name: machine.merges for machine in world}
    world.run(75.0)
    assert all(machine.merges > merges[machine.name] for machine in world)


@pytest.mark.parametrize("first", [True, False])
def test_two_can_crash_at_the_same_time_one_without_its_disk(first: bool) -> None:  # noqa: FBT001
    """One's link still bears the name that the other has no more."""
    world, _ = a_world()
    for name in ("n001", "n002") if first else ("n002", "n001"):
        world.crash(name, disk=name == "n002")
    world.run(12.0)
    for machine in world:
        if not machine.up:
            world.start(machine.name)
    world.run(60.0)
    assert all_linked(world)


def test_a_wall_can_cut_links_while_one_of_its_ends_is_lost() -> None:
    world, _ = a_world()
    world.raise_wall(Groups((0, 1, 1)))
    world.run(10.0 + SILENCE - RESET / 2)
    world.crash("n001", disk=False)
    world.run(30.0)
    assert not world.machines["n000"].links


# --- no event reaches another life


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("cdbsf"), st.floats(0.01, 2.0)), min_size=5, max_size=30))
def test_nothing_reaches_a_life_that_it_was_not_meant_for(deeds: list[tuple[int, str, float]]) -> None:
    """The first event of each life is that it started; no timer, training or dial of another life is told."""
    tasks: list[Task] = [quadratic(Node(index, 5, 1)) for index in range(5)]
    world = World(tasks, Settings(interval=0.5), link=Link(latency=0.1, duplication=0.2, bandwidth=1000.0), seed=1)
    diary = Diary(world)
    boot(world)
    world.run(3.0)
    for index, deed, pause in deeds:
        machine = list(world)[index]
        if not machine.up:
            world.start(machine.name)
        elif deed == "b":
            world.crash(machine.name)
            world.start(machine.name)
        elif deed == "s":
            world.stop(machine.name)
        elif deed == "f":
            world.freeze(machine.name, 10 * pause)
        else:
            world.crash(machine.name, disk=deed == "c")
        world.run(world.now + pause)
    lives: dict[tuple[str, int], list[ev.Event]] = {}
    for _, name, life, event in diary.events:
        lives.setdefault((name, life), []).append(event)
    for (name, life), events in lives.items():
        assert isinstance(events[0], ev.Started)
        assert sum(isinstance(event, ev.Started) for event in events) == 1
        assert not any(isinstance(event, ev.Stopping) for event in events[:-1])
        for event in events:
            if isinstance(event, ev.TimerFired):
                assert (name, life, event.timer) in diary.asked
            elif isinstance(event, ev.Trained):
                assert (name, life, event.training) in diary.asked


def test_training_that_a_crash_cut_off_does_not_end() -> None:
    world, diary = a_world(2, step=0.5)
    world.crash("n001")
    world.start("n001")
    world.run(11.0)
    assert not diary.of("n001", ev.Trained)


def test_a_timer_that_was_set_again_fires_once() -> None:
    """What is pending for each timer is its last setting: none fires before, and none twice."""
    world = World([quadratic(Node(i, 3, 0)) for i in range(3)], Settings(interval=0.5), link=FIXED)
    diary = Diary(world)
    boot(world)
    world.run(20.0)
    due: dict[tuple[str, object], list[float]] = {}
    happened = sorted(
        [(time, 1, name, effect) for time, name, effect in diary.effects if isinstance(effect, ev.SetTimer)]
        + [(time, 0, name, event) for time, name, _, event in diary.events if isinstance(event, ev.TimerFired)],
        key=lambda one: one[:2],
    )
    fired = 0
    for time, _, name, what in happened:
        if isinstance(what, ev.SetTimer):
            due[name, what.timer] = [time + what.delay]
        else:
            assert isinstance(what, ev.TimerFired)
            assert due.pop((name, what.timer)) == pytest.approx([time])
            fired += 1
    assert fired > 100


# --- freezing


def test_nothing_happens_on_a_frozen_machine_and_then_everything_in_order() -> None:
    world, diary = a_world()
    world.freeze("n001", 5.0)
    world.run(14.999)
    assert not [name for _, name, _, _ in diary.events if name == "n001"]
    assert diary.count("n000", ev.TimerFired) > 5
    world.run(15.0)
    caught_up = diary.of("n001", ev.Received)
    assert {time for time, _ in caught_up} == {15.0}
    for sender in ("n000", "n002"):
        versions = [
            message.seq
            for _, event in caught_up
            if isinstance(event, ev.Received) and event.peer == sender
            and isinstance(message := msg.decode(event.body), msg.Update)
        ]  # fmt: skip
        assert len(versions) > 5
        assert versions == list(range(versions[0], versions[0] + len(versions)))
    world.run(30.0)
    assert not any(diary.count(name, ev.Disconnected, ev.Connected) for name in world.machines)


def test_a_frozen_machine_is_noticed_by_both_ends_once_it_is_silent_for_long() -> None:
    world, diary = a_world()
    world.freeze("n001", SILENCE + 8.0)
    world.run(10.0 + SILENCE - 0.01)
    assert not any(diary.count(name, ev.Disconnected) for name in world.machines)
    world.run(10.0 + SILENCE + 1.0)
    assert not world.machines["n001"].links
    for other in ("n000", "n002"):
        assert [event for _, event in diary.of(other, ev.Disconnected)] == [ev.Disconnected("n001")]
    assert not diary.count("n001", ev.Disconnected)
    world.run(60.0)
    assert {time for time, _ in diary.of("n001", ev.Disconnected)} == {10.0 + SILENCE + 8.0}
    assert all_linked(world)


@pytest.mark.parametrize(
    ("naps", "cut"),
    [
        ([(0.0, SILENCE)], False),
        ([(0.0, 5.0), (10.0, 5.0)], False),
        ([(0.0, 4.0), (8.0, 4.0), (16.0, 4.0)], False),
        ([(0.0, 8.0), (9.0, 11.0)], False),
        ([(0.0, 8.0), (4.0, 9.0)], True),
        ([(0.0, 20.0), (1.0, 1.0)], True),
    ],
)
def test_only_what_sleeps_for_long_without_waking_loses_its_links(
    naps: list[tuple[float, float]],
    cut: bool,  # noqa: FBT001
) -> None:
    world, diary = a_world()
    for at, lasts in naps:
        world.run(10.0 + at)
        world.freeze("n001", lasts)
    world.run(40.0)
    assert bool(diary.count("n000", ev.Disconnected)) == cut


def test_who_is_killed_in_its_sleep_is_awake_when_it_starts_again() -> None:
    world, diary = a_world()
    world.freeze("n001", 100.0)
    world.crash("n001")
    world.start("n001")
    world.run(25.0)
    assert diary.of("n001", ev.Started) == [(10.0, ev.Started())]
    assert world.machines["n001"].merges > 0
    assert all_linked(world)


# --- leaving


@pytest.mark.parametrize("link", [FIXED, Link(law="fixed", latency=0.5), Link(law="fixed", bandwidth=2000.0)])
def test_who_leaves_says_goodbye_before_its_links_close(link: Link) -> None:
    world, diary = a_world(link=link, until=20.0)
    world.stop("n001")
    world.run(20.0 + FAREWELL * link.latency + 10.0)
    assert diary.of("n001", ev.Stopping) == [(20.0, ev.Stopping())]
    for other in ("n000", "n002"):
        heard = [
            (time, isinstance(msg.decode(event.body), msg.Goodbye))
            for time, event in diary.of(other, ev.Received)
            if isinstance(event, ev.Received) and event.peer == "n001"
        ]
        assert heard[-1][1]
        assert sum(goodbye for _, goodbye in heard) == 1
        assert all(time >= heard[-1][0] for time, _ in diary.of(other, ev.Disconnected))
        assert "n001" not in world.machines[other].links
    assert not world.machines["n001"].links


def test_nobody_dials_who_left_on_purpose() -> None:
    world, diary = a_world(until=20.0)
    world.stop("n001")
    world.run(60.0)
    assert not any(isinstance(effect, ev.Dial) and effect.peer == "n001" for _, _, effect in diary.effects)
    crashed, told = a_world(until=20.0)
    crashed.crash("n001")
    crashed.run(60.0)
    assert any(isinstance(effect, ev.Dial) and effect.peer == "n001" for _, _, effect in told.effects)


# --- clocks


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 10)), max_size=20))
def test_a_clock_never_jumps_and_never_goes_back(changes: list[tuple[float, float]]) -> None:
    machine = Machine(0, "n000", blobs(1)[0], 0.001, "")
    now, shown = 0.0, machine.clock(0.0)
    for pause, rate in changes:
        before = machine.clock(now + pause)
        assert before >= shown - 1e-9 * (1 + abs(shown))
        now += pause
        machine.drift(now, rate)
        assert machine.clock(now) == pytest.approx(before, rel=1e-9, abs=1e-9)
        assert machine.clock(now + 1.0) - machine.clock(now) == pytest.approx(rate, rel=1e-6)
        shown = machine.clock(now)


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_a_fast_clock_makes_timers_fire_sooner(rate: float) -> None:
    world, diary = a_world()
    world.machines["n001"].drift(10.0, rate)
    world.run(50.0)
    published = Counter(name for _, name, effect in diary.effects if isinstance(effect, ev.Published))
    assert published["n001"] == pytest.approx(rate * published["n000"], rel=0.1)
    assert all_linked(world)


# --- training


@pytest.mark.parametrize(("seconds_per_step", "slowdown"), [(0.01, 1.0), (0.01, 50.0), (0.3, 1.0)])
def test_training_takes_as_long_as_the_device_needs(seconds_per_step: float, slowdown: float) -> None:
    world = World(blobs(2), Settings(interval=0.5), link=FIXED, seconds_per_step=[0.001, seconds_per_step])
    world.machines["n001"].slowdown = slowdown
    diary = Diary(world)
    boot(world)
    world.run(60.0)
    begun = {effect.training: time for time, name, effect in diary.effects
             if name == "n001" and isinstance(effect, ev.Train)}  # fmt: skip
    ended = [(time, event) for time, event in diary.of("n001", ev.Trained) if isinstance(event, ev.Trained)]
    assert ended
    for time, event in ended:
        assert time - begun[event.training] == pytest.approx(event.steps * seconds_per_step * slowdown)


class Broken:
    """A task whose training fails every other time."""

    def __init__(self, inner: Task) -> None:
        self._inner, self._count = inner, 0
        self.schema, self.initial = inner.schema, inner.initial
        self.evaluate, self.predict = inner.evaluate, inner.predict

    def train(self, vector: Vector, steps: int, rng: object) -> object:
        self._count += 1
        if self._count % 2:
            vector += 1e9
            raise LocalError("no data today")
        return self._inner.train(vector, steps, rng)  # type: ignore[arg-type]


def test_training_that_fails_is_told_and_changes_no_model() -> None:
    tasks = blobs(2)
    world = World([tasks[0], Broken(tasks[1])], Settings(interval=0.5), link=FIXED)  # type: ignore[list-item]
    diary = Diary(world)
    boot(world)
    world.run(20.0)
    failures = diary.of("n001", ev.TrainingFailed)
    assert len(failures) > 3
    assert all(isinstance(event, ev.TrainingFailed) and "no data today" in event.reason for _, event in failures)
    assert diary.of("n001", ev.Trained)
    assert all(abs(machine.peer.replica.x).max() < 100 for machine in world if machine.peer is not None)


# --- dials


def fails(setup: Callable[[World], None], nodes: int = 2) -> tuple[World, Diary]:
    """A dial of n001 by n000 after `setup`, and what comes of it in ten seconds."""
    world = World(blobs(nodes), Settings(interval=1000.0), link=FIXED, bootstraps=0)
    diary = Diary(world)
    world.start("n000")
    setup(world)
    world._perform(world.machines["n000"], ev.Dial("n001", ("n001",)))
    world.run(10.0)
    return world, diary


@pytest.mark.parametrize(
    ("setup", "after"),
    [
        (lambda _: None, UNREACHABLE),
        (lambda world: (world.start("n001"), world.raise_wall(Groups((0, 1)))), UNANSWERED),
        (lambda world: (world.start("n001"), world.raise_wall(Groups((0, 1), one_way=True))), UNANSWERED),
        (lambda world: (world.start("n001"), world.raise_wall(Groups((1, 0), one_way=True))), UNANSWERED),
        (lambda world: (world.start("n001"), world.raise_wall(Groups((0, 1)), hold=True)), UNANSWERED),
        (lambda world: (world.start("n001"), world.freeze("n001", 50.0)), UNANSWERED),
        (
            lambda world: (
                world.start("n001"),
                world.machines["n001"].links.update({f"x{i}": -i for i in range(MOST_LINKS)}),
            ),
            UNREACHABLE,
        ),
        (lambda world: (world.start("n001"), world.crash("n001")), UNREACHABLE),
    ],
    ids=["down", "wall", "one way", "other way", "dam", "asleep", "full", "crashed"],
)
def test_a_dial_fails_for_a_reason_and_after_its_time(setup: Callable[[World], None], after: float) -> None:
    world, diary = fails(setup)
    failed = [(time, event) for time, event in diary.of("n000", ev.DialFailed)]
    assert (after, ev.DialFailed("n001")) in failed
    assert "n001" not in world.machines["n000"].links
    assert not diary.of("n000", ev.Connected)


def test_a_dial_of_nobody_fails() -> None:
    world, diary = fails(lambda world: world._perform(world.machines["n000"], ev.Dial("stranger", ())))
    assert (UNREACHABLE, ev.DialFailed("stranger")) in diary.of("n000", ev.DialFailed)
    assert not world.machines["n000"].links


@pytest.mark.parametrize("both", [False, True])
def test_a_dial_links_both_ends_once(both: bool) -> None:  # noqa: FBT001
    world = World(blobs(2), Settings(interval=1000.0), link=FIXED, bootstraps=0)
    diary = Diary(world)
    boot(world)
    world._perform(world.machines["n000"], ev.Dial("n001", ()))
    if both:
        world._perform(world.machines["n001"], ev.Dial("n000", ()))
    world.run(1.0)
    assert [(name, event) for _, name, _, event in diary.events if isinstance(event, ev.Connected)] == [
        ("n000", ev.Connected("n001", dialled=True)),
        ("n001", ev.Connected("n000")),
    ]
    assert not any(isinstance(event, ev.DialFailed) for *_, event in diary.events)


def test_no_machine_has_more_links_than_a_daemon_keeps() -> None:
    """A flash crowd of more than that."""
    world = World(blobs(3), Settings(interval=1000.0), link=FIXED, bootstraps=0)
    boot(world)
    machine = world.machines["n000"]
    machine.links.update({f"x{i}": -i for i in range(MOST_LINKS - 1)})
    for name in ("n001", "n002"):
        world._perform(world.machines[name], ev.Dial("n000", ()))
    assert len(machine.links) == MOST_LINKS
    assert "n002" not in machine.links


def test_events_at_one_time_run_in_the_order_in_which_they_were_made() -> None:
    world = World(blobs(1), Settings())
    order: list[int] = []
    for number in range(50):
        world.at(1.0 if number % 3 else 0.5, lambda number=number: order.append(number))  # type: ignore[misc]
    world.run(1.0)
    assert order == [number for number in range(50) if number % 3 == 0] + [n for n in range(50) if n % 3]


def test_time_stands_where_it_was_told_to() -> None:
    world = World(blobs(1), Settings())
    seen: list[float] = []
    for moment in (0.5, 1.0, 1.5):
        world.at(moment, lambda: seen.append(world.now))
    for until, expected in itertools.pairwise((0.0, 0.25, 1.0, 2.0)):
        del until
        world.run(expected)
        assert world.now == expected
    assert seen == [0.5, 1.0, 1.5]
