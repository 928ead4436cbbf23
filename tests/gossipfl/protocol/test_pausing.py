"""A peer whose training rests: it publishes, merges and joins as ever; and one that publishes when it is told to."""

from __future__ import annotations

import pytest

from gossipfl.protocol import events as ev
from gossipfl.protocol.peer import JOIN, PUBLISH, Peer
from tests.gossipfl.builders import a_learning_peer, a_peer, full_of, meet, only, trained, update


def tick(peer: Peer, now: float) -> list[ev.Effect]:
    return peer.handle(ev.TimerFired(PUBLISH), now)


def paused_peer() -> Peer:
    """It has a friend, and its first training is over."""
    peer = a_learning_peer(topology="complete")
    meet(peer, "a")
    trained(peer, 0.1)
    assert not peer.handle(ev.Paused(), 10.0)
    return peer


def test_a_paused_peer_publishes_each_interval_and_does_not_train() -> None:
    peer = paused_peer()
    for now in (11.0, 12.0, 13.0):
        effects = tick(peer, now)
        assert not only(ev.Train, effects)
        assert [report.to for report in only(ev.Published, effects)] == [("a",)]
        assert [timer.timer for timer in only(ev.SetTimer, effects)] == [PUBLISH]
    assert not peer.handle(ev.Resumed(), 13.5)
    assert len(only(ev.Train, tick(peer, 14.0))) == 1


def test_it_merges_what_comes() -> None:
    peer = paused_peer()
    before = peer.replica.x.copy()
    assert only(ev.Merged, peer.handle(ev.Received("a", update(peer, full_of(0.9))), 10.5))
    assert (peer.replica.x != before).any()


def test_a_training_that_has_begun_counts_and_is_published() -> None:
    peer = a_learning_peer(topology="complete")
    meet(peer, "a")
    peer.handle(ev.Paused(), 9.0)
    age = peer.replica.age
    assert only(ev.Published, trained(peer, 0.1))
    assert peer.replica.age > age
    assert not only(ev.Train, tick(peer, 11.0))


def test_one_that_ends_late_is_not_waited_for_twice() -> None:
    """It was paused while training; the next interval comes first, and publishes when that ends, once."""
    peer = a_learning_peer(topology="complete")
    meet(peer, "a")
    peer.handle(ev.Paused(), 9.0)
    assert not only(ev.Published, tick(peer, 9.5))
    assert len(only(ev.Published, trained(peer, 0.1))) == 1
    assert len(only(ev.Published, tick(peer, 11.0))) == 1


def test_a_peer_that_is_paused_while_it_joins_joins() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    peer.handle(ev.Paused(), 0.5)
    effects = peer.handle(ev.TimerFired(JOIN), 3.0)
    assert only(ev.Joined, effects)
    assert not only(ev.Train, effects)
    peer.handle(ev.Resumed(), 4.0)
    assert only(ev.Train, tick(peer, 5.0))


@pytest.mark.parametrize("event", [ev.Paused(), ev.Resumed()])
def test_an_order_that_is_given_again_changes_nothing(event: ev.Event) -> None:
    peer = paused_peer()
    peer.handle(event, 10.0)
    paused = peer.paused
    assert not peer.handle(event, 10.1)
    assert peer.paused == paused


def test_a_hurried_publish_is_one_more_with_a_version_of_its_own() -> None:
    peer = a_learning_peer(topology="complete")
    meet(peer, "a", "b")
    trained(peer, 0.1)
    seq = peer.seq
    (report,) = only(ev.Published, peer.handle(ev.Hurried(), 10.3))
    assert (report.seq, set(report.to)) == (seq + 1, {"a", "b"})
    (later,) = only(ev.Published, tick(peer, 11.0) + trained(peer, 0.1, now=11.0))
    assert later.seq == seq + 2


def test_a_hurried_publish_of_who_is_alone_or_joins_is_none() -> None:
    alone = a_learning_peer()
    assert not alone.handle(ev.Hurried(), 10.0)
    joins = a_peer()
    joins.handle(ev.Started(), 0.0)
    assert not joins.handle(ev.Hurried(), 0.1)
    assert (alone.seq, joins.seq) == (0, 0)


def test_who_can_t_weigh_more_is_not_hurried() -> None:
    """Its rate says that its interval is ten seconds."""
    peer = a_learning_peer(topology="complete")
    meet(peer, "a")
    trained(peer, 0.1)
    peer.handle(ev.Received("a", update(peer, full_of(0.6), rate=0.1)), 10.0)
    sent = sum(bool(only(ev.Published, peer.handle(ev.Hurried(), 10.0 + i / 100))) for i in range(100))
    assert sent <= 2
