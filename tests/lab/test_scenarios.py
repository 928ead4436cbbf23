"""What may happen to a mesh of twelve daemons: who stays doesn't pause, and who was away trains on with the others.

They run one after the other on one mesh, which each finds whole and leaves to heal. `make lab` runs them, with the
figures; the small one in `make test` is `test_smoke`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator
from typing import TypeAlias

import pytest

from tests.lab.lan import Links
from tests.lab.mesh import LOOK, History, Mesh, mesh

pytestmark = pytest.mark.lab

NODES = 12
INTERVAL = 2.0
"""Seconds: so many daemons leave time to each other on two cores."""
PAUSE = 3 * INTERVAL + LOOK
"""Longest time without a merge."""
SPELL = 60.0
"""Seconds that a fault lasts."""
NOTICED = 15.0
"""Seconds until all know whom they can't reach: 12 without a byte. Until then one or two of three publishes go there,
and a single node may by chance be sent nothing for longer than PAUSE."""
RESTART = 10.0
"""Seconds until who comes back trains again."""
EVERYBODY = 10 * INTERVAL
"""Until everybody has merged from those whom it could not reach: a publish goes to three of eleven."""

ONE, OTHER = range(NODES // 2), range(NODES // 2, NODES)
Say: TypeAlias = Callable[[str], None]


@pytest.fixture(scope="module")
def running() -> Iterator[Mesh]:
    with mesh(NODES, INTERVAL) as made:
        made.start()
        yield made


@pytest.fixture
def whole(running: Mesh) -> Mesh:
    """The mesh, with all links."""
    running.net.heal()
    running.wait_until_whole()
    running.watch(3 * INTERVAL)
    return running


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Say:
    """Print figures whether or not the test passes."""

    def line(figures: str) -> None:
        with capfd.disabled():
            print(f"\n{request.node.name}: {figures}", end="", flush=True)

    return line


def _heals(whole: Mesh, say: Say, one: Collection[int], other: Collection[int]) -> None:
    """`one` and `other` reach each other again, and nobody has to do anything."""
    whole.net.heal()
    pids = [daemon.pid for daemon in whole.daemons]
    everybody = {*one, *other}
    history = whole.watch(
        EVERYBODY, lambda seen: {**seen.first(one, other), **seen.first(other, one)}.keys() == everybody
    )
    merged = history.first(one, other) | history.first(other, one)
    assert merged
    first, last, linked = min(merged.values()), max(merged.values()), history.linked(one, other)
    say(f"first link after {linked:.1f} s, first merge across after {first:.1f} s, everybody's after {last:.1f} s")
    assert first <= 2 * INTERVAL + LOOK
    assert merged.keys() == everybody
    assert history.gaps(everybody) <= PAUSE
    whole.wait_until_whole()
    assert [daemon.pid for daemon in whole.daemons] == pids
    assert not any(daemon.status()["partition"] for daemon in whole.daemons)


def test_two_halves(whole: Mesh, say: Say) -> None:
    whole.net.split(ONE, OTHER)
    history = whole.watch(SPELL)
    _go_on(history, say)
    assert not history.looks[-1].links[0] & {*OTHER}
    assert all(daemon.status()["partition"] for daemon in whole.daemons)
    _heals(whole, say, ONE, OTHER)


def test_two_halves_with_one_bridge(whole: Mesh, say: Say) -> None:
    bridge = ONE[0]
    whole.net.split(ONE, [bridge, *OTHER])
    history = whole.watch(SPELL)
    _go_on(history, say)
    last = history.looks[-1]
    assert last.links[bridge] == {*range(NODES)} - {bridge}
    assert all(last.links[number] == {bridge, *OTHER} - {number} for number in OTHER)
    _heals(whole, say, ONE[1:], OTHER)


def test_one_half_is_not_heard_by_the_other(whole: Mesh, say: Say) -> None:
    whole.net.mute(ONE, OTHER)
    history = whole.watch(SPELL)
    _go_on(history, say)
    assert not history.looks[-1].links[OTHER[0]] & {*ONE}
    _heals(whole, say, ONE, OTHER)


def test_rolling_restarts(whole: Mesh, say: Say) -> None:
    slowest = longest = 0.0
    for number, daemon in enumerate(whole.daemons):
        begun, incarnation = time.monotonic(), daemon.status()["incarnation"]
        assert daemon.stop() == 0
        daemon.start()
        others = [other for other in range(NODES) if other != number]
        history = whole.watch(RESTART, lambda _, daemon=daemon: daemon.status().get("steps"))  # type: ignore[misc]
        slowest, longest = max(slowest, time.monotonic() - begun), max(longest, history.gaps(others))
        assert daemon.status()["steps"] > 0
        assert daemon.status()["incarnation"] > incarnation
    say(f"the others paused {longest:.1f} s at most; training again after {slowest:.1f} s at most")
    assert longest <= PAUSE
    _trains_with_the_others(whole, range(NODES))


def test_a_storm_of_kills(whole: Mesh, say: Say) -> None:
    dice = random.Random(1)
    incarnations = [daemon.status()["incarnation"] for daemon in whole.daemons]
    survivors, longest, slowest = {*range(NODES)}, 0.0, 0.0
    for _ in range(3):
        victims = dice.sample(range(NODES), NODES // 3)
        stay = {*range(NODES)} - {*victims}
        survivors -= {*victims}
        for victim in victims:
            whole.daemons[victim].kill()
        longest = max(longest, whole.watch(2 * INTERVAL).gaps(stay))
        begun = time.monotonic()
        whole.start(*victims)

        def back(_: object, victims: list[int] = victims) -> bool:
            return all(whole.daemons[victim].status().get("steps") for victim in victims)

        longest = max(longest, whole.watch(2 * RESTART, back).gaps(stay))
        slowest = max(slowest, time.monotonic() - begun)
        assert back(None)
    say(f"who stayed paused {longest:.1f} s at most; four at a time train again after {slowest:.1f} s at most")
    assert longest <= PAUSE
    assert survivors
    after = [daemon.status()["incarnation"] for daemon in whole.daemons]
    assert all(
        (new > old) == (number not in survivors)
        for number, (old, new) in enumerate(zip(incarnations, after, strict=True))
    )
    _trains_with_the_others(whole, range(NODES))


def test_slow_links_that_lose(whole: Mesh, say: Say) -> None:
    whole.net.links = Links(delay=0.1, loss=0.05, rate=1e6)
    before = [len(daemon.events("peer is gone") + daemon.events("peer fell silent")) for daemon in whole.daemons]
    history = whole.watch(SPELL)
    after = [len(daemon.events("peer is gone") + daemon.events("peer fell silent")) for daemon in whole.daemons]
    links = [len(look.links[number]) for look in history.looks for number in look.links]
    say(f"longest time without a merge {history.gaps(range(NODES)):.1f} s, of {PAUSE:.1f} s")
    say(f"{sum(after) - sum(before)} links given up; {min(links)} to {max(links)} links each")
    assert history.gaps(range(NODES)) <= PAUSE
    assert min(links) >= NODES - 3


def test_a_device_that_moves(whole: Mesh, say: Say) -> None:
    mover, others = NODES - 3, [number for number in range(NODES) if number != NODES - 3]
    place = whole.net.places[mover]
    place.ip("address flush dev eth0")
    place.ip("address add 10.77.0.200/24 brd + dev eth0")
    history = whole.watch(EVERYBODY, lambda seen: seen.first([mover], others) and seen.first(others, [mover]))
    here, there = history.first([mover], others), history.first(others, [mover])
    say(f"it merges after {min(here.values()):.1f} s, and others from it after {min(there.values()):.1f} s")
    assert history.gaps(others) <= PAUSE
    assert history.gaps([mover]) <= PAUSE
    whole.wait_until_whole()
    assert all(
        "/10.77.0.200/" in whole.daemons[other].peers()[whole.daemons[mover].id]["addresses"][0] for other in others
    )


def test_a_device_that_freezes_and_thaws(whole: Mesh, say: Say) -> None:
    sleeper, others = NODES - 2, [number for number in range(NODES) if number != NODES - 2]
    pid = whole.daemons[sleeper].pid
    whole.freeze(sleeper)
    asleep = whole.watch(SPELL / 2)
    gone = all(sleeper not in asleep.looks[-1].links[other] for other in others)
    whole.thaw(sleeper)
    history = whole.watch(EVERYBODY, lambda seen: seen.first([sleeper], others) and seen.first(others, [sleeper]))
    here, there = history.first([sleeper], others), history.first(others, [sleeper])
    say(
        f"the others paused {asleep.gaps(others):.1f} s at most; thawed, it merges after {min(here.values()):.1f} s,"
        f" and others from it after {min(there.values()):.1f} s"
    )
    assert gone
    assert max(asleep.gaps(others), history.gaps(others)) <= PAUSE
    assert whole.daemons[sleeper].pid == pid
    _trains_with_the_others(whole, [sleeper])


def _go_on(history: History, say: Say) -> None:
    """Neither side stops merging."""
    sides = [history.gaps(side, together=True) for side in (ONE, OTHER)]
    longest, later = history.gaps(range(NODES)), history.since(NOTICED).gaps(range(NODES))
    say(
        f"longest time without a merge {max(sides):.1f} s on one side, {longest:.1f} s of one node,"
        f" {later:.1f} s after it was noticed; of {PAUSE:.1f} s"
    )
    assert max(sides) <= PAUSE
    assert later <= PAUSE


def _trains_with_the_others(whole: Mesh, numbers: Collection[int]) -> None:
    """They merge and are merged from, and are as good as the rest."""
    whole.wait_until_whole()
    steps = [whole.daemons[number].status()["steps"] for number in numbers]
    everybody = range(NODES)
    history = whole.watch(
        EVERYBODY,
        lambda seen: (
            len(seen.first(numbers, everybody)) == len(numbers)
            and all(seen.first(everybody, [number]) for number in numbers)
        ),
    )
    assert history.first(numbers, everybody).keys() == {*numbers}
    assert all(history.first(everybody, [number]) for number in numbers)
    assert all(whole.daemons[number].status()["steps"] > was for number, was in zip(numbers, steps, strict=True))
    accuracies = whole.accuracies()
    assert min(accuracies[number] for number in numbers) >= max(accuracies) - 0.05
