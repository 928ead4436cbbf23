"""Reach: a partition is noticed and reported once, and so is its end; those who leave or are let go are not missed."""

import pytest

from gossipfl.protocol import events as ev
from gossipfl.protocol.neighbourhood import REDIAL_LAST
from gossipfl.protocol.parts.reach import LONG
from gossipfl.protocol.peer import PUBLISH, Peer
from gossipfl.wire import messages as msg
from tests.gossipfl.builders import a_learning_peer, meet, only

NINE = tuple("abcdefghi")


def mesh() -> Peer:
    peer = a_learning_peer()
    meet(peer, *NINE, now=4.0)
    return peer


def lose(peer: Peer, *gone: str, now: float = 5.0) -> None:
    for name in gone:
        peer.handle(ev.Disconnected(name), now)


def reports(peer: Peer, now: float) -> list[ev.Effect]:
    effects = peer.handle(ev.TimerFired(PUBLISH), now)
    return [*only(ev.Partitioned, effects), *only(ev.Healed, effects)]


def test_a_third_that_is_gone_looks_like_a_partition_and_is_reported_once() -> None:
    peer = mesh()
    lose(peer, "a", "b")
    assert not reports(peer, 6.0)
    lose(peer, "c")
    assert reports(peer, 7.0) == [ev.Partitioned(3, 6)]
    assert peer.reach.partition
    assert sorted(peer.reach.missing) == ["a", "b", "c"]
    lose(peer, "d")
    assert not reports(peer, 8.0)
    meet(peer, "a", "b", now=9.0)
    assert reports(peer, 10.0) == [ev.Healed(2, 7)]
    assert not peer.reach.partition


def test_one_of_two_that_is_gone_is_no_partition() -> None:
    peer = a_learning_peer()
    meet(peer, "a", "b", now=4.0)
    lose(peer, "a")
    assert not reports(peer, 6.0)


@pytest.mark.parametrize("leaves", [True, False])
def test_who_says_goodbye_is_not_missed(leaves: bool) -> None:  # noqa: FBT001
    peer = mesh()
    for name in NINE[:6]:
        peer.handle(ev.Received(name, msg.encode(msg.Goodbye(leaves=leaves))), 5.0)
    lose(peer, *NINE[:6])
    assert not reports(peer, 6.0)
    assert not peer.reach.missing


def test_who_is_gone_for_long_is_not_missed_any_longer() -> None:
    peer = mesh()
    lose(peer, *NINE[:6])
    assert reports(peer, 6.0)
    assert reports(peer, 5.0 + LONG + 1) == [ev.Healed(0, 3)]


@pytest.mark.parametrize(
    ("interval", "missing", "last"),
    [(1.0, 1, 1.0), (0.2, 1, 1.0), (4.0, 1, 4.0), (4.0, 6, 6.0), (1.0, 9, 9.0), (60.0, 1, REDIAL_LAST)],
)
def test_who_is_missing_is_dialled_about_every_interval_if_they_are_few(
    interval: float, missing: int, last: float
) -> None:
    peer = a_learning_peer(interval=interval)
    meet(peer, *NINE, now=4.0)
    lose(peer, *NINE[:missing])
    for _ in range(10):
        peer.handle(ev.TimerFired(("redial", "a")), 6.0)
        (timer,) = only(ev.SetTimer, peer.handle(ev.DialFailed("a"), 11.0))
    assert 0.75 * last <= timer.delay <= 1.25 * last


def test_who_is_missing_for_long_is_dialled_seldom() -> None:
    peer = mesh()
    lose(peer, "a")
    reports(peer, 5.0 + LONG)
    for _ in range(10):
        peer.handle(ev.TimerFired(("redial", "a")), 6.0 + LONG)
        (timer,) = only(ev.SetTimer, peer.handle(ev.DialFailed("a"), 11.0 + LONG))
    assert timer.delay >= 0.75 * REDIAL_LAST
