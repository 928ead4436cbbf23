"""Joining: from one vector, from the mesh's model, or alone; and never by averaging in what is far behind."""

import itertools
from typing import Any

import numpy as np
import pytest

from gossipfl.model.bases import name_of
from gossipfl.model.replica import MAX_AGE
from gossipfl.model.schema import Schema, Tensor
from gossipfl.protocol import events as ev
from gossipfl.protocol.joining import PATIENCE, REBASE_GAP, ROUNDS, median
from gossipfl.protocol.peer import JOIN, PROBE, PUBLISH
from gossipfl.wire import messages as msg
from tests.gossipfl.builders import (
    Room,
    a_learning_peer,
    a_peer,
    base_message,
    flat,
    full_of,
    hello,
    int8,
    meet,
    noise,
    only,
    snapshot,
    state,
    told,
    trained,
    update,
)

FRIENDS = ("a", "b", "c")


# --- a cold start


def test_who_finds_nobody_begins_alone_after_its_patience() -> None:
    peer = a_peer()
    effects = peer.handle(ev.Started(), 0.0)
    assert [timer.timer for timer in only(ev.SetTimer, effects)] == [JOIN, PROBE]
    assert only(ev.SetTimer, effects)[0].delay == PATIENCE
    effects = peer.handle(ev.TimerFired(JOIN), PATIENCE)
    assert only(ev.Joined, effects) == [ev.Joined(())]
    (train,) = only(ev.Train, effects)
    assert (train.start == full_of(0.5)).all()
    assert [timer.timer for timer in only(ev.SetTimer, effects)] == [PUBLISH]


def test_bootstrap_peers_are_dialled_at_once() -> None:
    peer = a_peer(bootstrap={"a": ("x", "y"), "me": ("z",)})
    assert only(ev.Dial, peer.handle(ev.Started(), 0.0)) == [ev.Dial("a", ("x", "y"))]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_all_begin_from_one_vector_the_one_with_the_smallest_name(order: tuple[int, ...]) -> None:
    vectors = [noise(8, seed) for seed in range(4)]
    peers = [
        a_peer(vectors[i], me=f"n{i}", seed=i, addresses=(f"n{i}",), bootstrap={f"n{order[0]}": ("x",)}) for i in order
    ]
    room = Room(*peers)
    for peer in peers:
        room.happen(peer.me, ev.Started())
    for peer in peers:
        room.happen(peer.me, ev.TimerFired(JOIN), PATIENCE)
    smallest = min(vectors, key=name_of)
    assert room.joined().keys() == {peer.me for peer in peers}
    for peer in peers:
        assert (peer.replica.x == smallest).all()
        assert (peer.replica.served.x == smallest).all()
        assert peer.bases.own == name_of(smallest)


@pytest.mark.parametrize("count", [2, 3])
def test_a_mesh_of_two_or_three_begins_from_one_vector_too(count: int) -> None:
    peers = [
        a_peer(noise(8, i), me=f"n{i}", seed=i, addresses=(f"n{i}",), bootstrap={"n0": ("x",)}) for i in range(count)
    ]
    room = Room(*peers)
    for event, now in ((ev.Started(), 0.0), (ev.TimerFired(JOIN), PATIENCE), (ev.TimerFired(JOIN), 2 * PATIENCE)):
        for peer in peers:
            room.happen(peer.me, event, now)
    assert room.joined().keys() == {peer.me for peer in peers}
    smallest = min((noise(8, i) for i in range(count)), key=name_of)
    for peer in peers:
        assert (peer.replica.x == smallest).all()


def test_personal_values_stay_when_all_begin_from_one_vector() -> None:
    schema = Schema([Tensor("head", (2,), personal=True), Tensor("body", (3,))])
    peers = [a_peer(noise(5, i), me=f"n{i}", schema=schema, addresses=(f"n{i}",)) for i in range(4)]
    for peer in peers[1:]:
        peer.neighbourhood.configure("n0", ("x",))
    room = Room(*peers)
    for peer in peers:
        room.happen(peer.me, ev.Started())
    for peer in peers:
        room.happen(peer.me, ev.TimerFired(JOIN), PATIENCE)
    assert len(room.joined()) == 4
    assert len({peer.replica.x.tobytes() for peer in peers}) == 1
    for i, peer in enumerate(peers):
        assert (peer.replica.full()[:2] == noise(5, i)[:2]).all()


def test_three_greetings_are_enough_to_begin() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    assert not only(ev.Joined, meet(peer, "a", "b"))
    assert only(ev.Joined, meet(peer, "c")) == [ev.Joined(())]


def test_a_greeting_that_comes_before_our_own_stream_is_open_counts() -> None:
    """Over a real network it often does: the peer's stream is there first."""
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    effects = []
    for name in FRIENDS:
        peer.handle(ev.Received(name, hello(peer)), 1.0)
        assert name not in peer.neighbourhood.live()
        effects += peer.handle(ev.Connected(name), 1.0)
    assert peer.neighbourhood.live() == list(FRIENDS)
    assert only(ev.Joined, effects) == [ev.Joined(())]
    assert all(message.heard for _, message in told(msg.Hello, effects))


def test_a_smallest_base_that_never_comes_does_not_hold_up_the_start() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    effects = meet(peer, *FRIENDS, base=bytes(16))
    for turn in range(1, ROUNDS + 2):
        effects += peer.handle(ev.TimerFired(JOIN), turn * PATIENCE) if peer.joining else []
    assert ("a", msg.NeedBase(bytes(16), peer.bases.own)) in told(msg.NeedBase, effects)
    assert only(ev.Joined, effects) == [ev.Joined(())]
    assert (peer.replica.x == full_of(0.5)).all()


def test_who_has_learnt_alone_does_not_throw_it_away_for_a_smaller_name() -> None:
    peer = a_learning_peer(momentum="none")
    trained(peer, 1.0)
    before = peer.replica.x.copy()
    meet(peer, *FRIENDS, base=bytes(16))
    peer.handle(ev.TimerFired(PUBLISH), 4.0)
    assert (peer.replica.x == before).all()
    assert peer.joining is None


# --- a mesh that is ahead


def test_a_newcomer_takes_up_the_median_of_three_snapshots() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    effects = meet(peer, *FRIENDS, age=1000.0)
    assert sorted(to for to, _ in told(msg.NeedSnapshot, effects)) == list(FRIENDS)
    assert not only(ev.Joined, effects)
    served = {"a": full_of(1), "b": full_of(100), "c": full_of(2)}
    ages = {"a": 900.0, "b": 1e15, "c": 1000.0}
    joined: list[ev.Joined] = []
    for name, x in served.items():
        effects = peer.handle(ev.Received(name, snapshot(peer, x, age=ages[name])), 1.0)
        joined += only(ev.Joined, effects)
    assert joined == [ev.Joined(FRIENDS)]
    assert np.allclose(peer.replica.x, 2, atol=2 / 127)
    assert peer.replica.age == 1000
    assert (peer.replica.served.x == peer.replica.x).all()
    (train,) = only(ev.Train, effects)
    assert (train.start == peer.replica.x).all()


def test_a_newcomer_publishes_nothing_before_it_has_joined() -> None:
    peer = a_peer()
    effects = peer.handle(ev.Started(), 0.0) + meet(peer, *FRIENDS, age=1000.0)
    effects += peer.handle(ev.TimerFired(PUBLISH), 1.0) + peer.handle(ev.TimerFired(JOIN), 3.0)
    assert not told(msg.Update, effects)
    assert not only(ev.Train, effects)


def test_a_newcomer_mixes_nothing_before_it_has_joined() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, *FRIENDS, age=1000.0)
    before = state(peer)
    assert not peer.handle(ev.Received("a", update(peer, full_of(0.6))), 1.0)
    assert state(peer) == before


def test_a_newcomer_gives_no_snapshot() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, "a")
    assert not peer.handle(ev.Received("a", msg.encode(msg.NeedSnapshot())), 1.0)


@pytest.mark.parametrize("friends", [("a",), ("a", "b")])
def test_fewer_snapshots_do_where_fewer_peers_live(friends: tuple[str, ...]) -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, *friends, age=1000.0)
    effects = peer.handle(ev.TimerFired(JOIN), PATIENCE)
    assert sorted(to for to, _ in told(msg.NeedSnapshot, effects)) == list(friends)
    for name in friends:
        effects = peer.handle(ev.Received(name, snapshot(peer, full_of(2))), 4.0)
    assert only(ev.Joined, effects) == [ev.Joined(friends)]
    assert np.allclose(peer.replica.x, 2, atol=2 / 127)


def test_who_was_asked_and_left_is_not_waited_for() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, *FRIENDS, age=1000.0)
    for name in "ab":
        assert not only(ev.Joined, peer.handle(ev.Received(name, snapshot(peer, full_of(2))), 1.0))
    assert only(ev.Joined, peer.handle(ev.Disconnected("c"), 2.0)) == [ev.Joined(("a", "b"))]


def test_who_gets_no_snapshot_asks_again_and_at_last_begins_alone() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, *FRIENDS, age=1000.0)
    for turn in range(1, ROUNDS):
        effects = peer.handle(ev.TimerFired(JOIN), turn * PATIENCE)
        assert len(told(msg.NeedSnapshot, effects)) == 3
        assert ev.SetTimer(JOIN, PATIENCE) in effects
    assert only(ev.Joined, peer.handle(ev.TimerFired(JOIN), ROUNDS * PATIENCE)) == [ev.Joined(())]


def test_a_snapshot_against_an_unknown_base_counts_once_the_base_is_here() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, "a", age=1000.0)
    peer.handle(ev.TimerFired(JOIN), PATIENCE)
    base = full_of(3)
    effects = peer.handle(ev.Received("a", snapshot(peer, full_of(4), base)), 4.0)
    assert told(msg.NeedBase, effects) == [("a", msg.NeedBase(name_of(base), peer.bases.own))]
    effects = peer.handle(ev.Received("a", base_message(peer, base)), 4.1)
    assert only(ev.Joined, effects) == [ev.Joined(("a",))]
    assert peer.bases.own == name_of(base)
    assert np.allclose(peer.replica.x, 4, atol=1 / 127)


@pytest.mark.parametrize("scales", [b"\0\0\xc0\x7f", b"\0\0\x80\xbf", b""], ids=["nan", "negative", "too short"])
def test_a_bad_snapshot_that_waits_for_its_base_is_not_blamed_on_who_brings_the_base(scales: bytes) -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, "liar", "honest", age=1000.0)
    peer.handle(ev.TimerFired(JOIN), PATIENCE)
    base = full_of(3)
    lie = snapshot(peer, full_of(4), base, payload=int8(scales, bytes(8)))
    effects = peer.handle(ev.Received("liar", lie), 4.0)
    effects += peer.handle(ev.Received("honest", snapshot(peer, full_of(4), base)), 4.0)
    effects += peer.handle(ev.Received("honest", base_message(peer, base)), 4.1)
    assert {refused.peer for refused in only(ev.Refused, effects)} == {"liar"}
    assert name_of(base) in peer.bases
    effects += peer.handle(ev.Disconnected("liar"), 5.0)
    assert only(ev.Joined, effects) == [ev.Joined(("honest",))]
    assert np.allclose(peer.replica.x, 4, atol=1 / 127)


def test_a_newcomer_with_another_base_joins_without_a_second_round_of_asking() -> None:
    old = [
        a_learning_peer(full_of(3), me=f"old{i}", seed=i, addresses=(f"old{i}",), bootstrap={"old0": ("x",)})
        for i in range(3)
    ]
    newcomer = a_peer(full_of(4), addresses=("me",), bootstrap={"old0": ("x",)})
    room = Room(*old, newcomer)
    for peer in old:
        trained(peer, 1.0, steps=1000)
    for i in (1, 2):
        room.happen(f"old{i}", ev.DialFailed("old0"), 11.0)
        room.happen(f"old{i}", ev.TimerFired(("redial", "old0")), 12.0)
    room.happen("me", ev.Started(), 20.0)
    assert room.joined().keys() == {"me"}
    assert newcomer.bases.own == name_of(full_of(3))
    assert np.allclose(newcomer.replica.x, old[0].replica.served.x, atol=0.02)


def test_a_snapshot_that_nobody_asked_for_changes_nothing() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, "a", "b")
    before = state(peer)
    assert not peer.handle(ev.Received("a", snapshot(peer, full_of(9))), 1.0)
    learning = a_learning_peer()
    meet(learning, "a")
    assert not learning.handle(ev.Received("a", snapshot(learning, full_of(9))), 4.0)
    assert state(peer) == before


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_peers_with_more_bases_than_a_node_can_hold_do_not_break_its_joining(order: tuple[int, ...]) -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, *FRIENDS, age=1000.0)
    bases = sorted((full_of(value) for value in (3, 4, 5)), key=name_of)
    effects: list[ev.Effect] = []
    for name, turn in zip(FRIENDS, order, strict=True):
        theirs = snapshot(peer, bases[turn], bases[turn])
        for frame in (theirs, base_message(peer, bases[turn])):
            effects += peer.handle(ev.Received(name, frame), 1.0)
    assert only(ev.Joined, effects) == [ev.Joined(FRIENDS)]
    assert (peer.replica.x == full_of(4)).all()
    assert peer.bases.own in peer.bases


# --- coming back


def test_a_node_that_was_away_for_long_takes_up_the_meshs_model() -> None:
    peer = a_learning_peer()
    trained(peer, 4.0)
    gap = REBASE_GAP * peer.pace.progress
    meet(peer, *FRIENDS, age=peer.replica.age + 2 * gap, now=9_000.0)
    effects = peer.handle(ev.TimerFired(PUBLISH), 9_001.0)
    assert len(told(msg.NeedSnapshot, effects)) == 3
    for name in FRIENDS:
        effects = peer.handle(ev.Received(name, snapshot(peer, full_of(1), age=2 * gap)), 9_002.0)
    assert only(ev.Joined, effects) == [ev.Joined(FRIENDS)]
    assert peer.replica.age == 2 * gap
    assert np.allclose(peer.replica.x, 1, atol=0.02)


@pytest.mark.parametrize(("share", "rebases"), [(0.9, False), (1.1, True)])
def test_the_gap_decides_between_merging_and_rebasing(share: float, *, rebases: bool) -> None:
    peer = a_learning_peer()
    trained(peer)
    meet(peer, *FRIENDS, age=peer.replica.age + share * REBASE_GAP * peer.pace.progress)
    effects = peer.handle(ev.TimerFired(PUBLISH), 11.0)
    assert bool(told(msg.NeedSnapshot, effects)) == rebases
    assert bool(only(ev.Train, effects)) != rebases


@pytest.mark.parametrize("honest", [("a",), ("a", "b"), ("a", "b", "c")])
def test_a_liar_alone_among_others_triggers_no_rebase(honest: tuple[str, ...]) -> None:
    peer = a_learning_peer()
    trained(peer)
    meet(peer, *honest, age=peer.replica.age)
    meet(peer, "liar", age=1e15)
    peer.handle(ev.Received("liar", update(peer, peer.replica.x, age=1e15)), 11.0)
    assert not told(msg.NeedSnapshot, peer.handle(ev.TimerFired(PUBLISH), 12.0))
    assert peer.joining is None


def test_a_training_that_began_before_a_rebase_is_dropped() -> None:
    peer = a_learning_peer()
    overtaken = peer._training
    assert overtaken is not None
    meet(peer, *FRIENDS, age=1e6)
    peer.handle(ev.TimerFired(PUBLISH), 4.0)
    for name in FRIENDS:
        peer.handle(ev.Received(name, snapshot(peer, full_of(1), age=1e6)), 5.0)
    before = state(peer)
    assert not peer.handle(ev.Trained(overtaken, full_of(100), 20), 6.0)
    assert not peer.handle(ev.TrainingFailed(overtaken, "too late"), 6.0)
    assert state(peer) == before
    assert trained(peer, now=7.0)


def test_a_node_that_fell_behind_publishes_nothing_until_it_has_caught_up() -> None:
    """Its training runs longer than its interval, and ends while it waits for snapshots."""
    peer = a_learning_peer()
    meet(peer, *FRIENDS, age=1e6)
    assert told(msg.NeedSnapshot, peer.handle(ev.TimerFired(PUBLISH), 4.0))
    assert not told(msg.Update, trained(peer, now=5.0))


def test_a_node_whose_peers_claim_the_largest_age_still_speaks_the_protocol() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, "a", age=MAX_AGE)
    peer.handle(ev.TimerFired(JOIN), PATIENCE)
    peer.handle(ev.Received("a", snapshot(peer, full_of(1), age=MAX_AGE)), 4.0)
    (mine,) = told(msg.Update, trained(peer, now=5.0))  # `told` decodes as the receiver would
    assert mine[1].age <= MAX_AGE


# --- arithmetic


@pytest.mark.parametrize(
    ("values", "expected"), [([1.0], 1), ([2.0, 1.0], 1), ([3.0, 1.0, 2.0], 2), ([1e15, 1e15, 1.0, 2.0], 2)]
)
def test_the_median_is_the_lower_one(values: list[float], expected: float) -> None:
    assert median(values) == expected


# --- finite is not sane


def a_huge_base(sign: float) -> Any:
    return full_of(sign * 3.4e38)


def test_a_base_of_the_largest_floats_does_not_become_the_meshs_beginning() -> None:
    """One peer can grind a name smaller than all others; its content must still be a sane model."""
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    evil = next(
        candidate
        for candidate in (np.append(full_of(3.4e38, 7), np.float32(i)) for i in range(10_000))
        if name_of(candidate) < peer.bases.own
    )
    meet(peer, *FRIENDS, base=name_of(evil))
    peer.handle(ev.Received("a", base_message(peer, evil)), 1.0)
    peer.handle(ev.TimerFired(JOIN), PATIENCE)
    assert np.abs(peer.replica.x).max() < 1e30


def test_two_snapshots_near_the_largest_float_do_not_overflow_the_median() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, "a", "b", age=1000.0)
    peer.handle(ev.TimerFired(JOIN), PATIENCE)
    evil = a_huge_base(1)
    for name in "ab":
        theirs = msg.encode(msg.Snapshot(flat(8).fingerprint, name_of(evil), 1000.0, int8(b"\0\0\0\0", bytes(8))))
        peer.handle(ev.Received(name, theirs), 4.0)
        peer.handle(ev.Received(name, base_message(peer, evil)), 4.0)
        peer.handle(ev.Received(name, theirs), 4.0)
    assert np.isfinite(peer.replica.x).all()
    assert np.abs(peer.replica.x).max() < 1e30


def test_a_hello_heard_late_from_a_former_life_does_not_turn_back_time() -> None:
    peer = a_learning_peer()
    meet(peer, "a", incarnation=5, seq=40, age=100.0)
    peer.handle(ev.Received("a", hello(peer, incarnation=4, seq=900)), 1.0)
    known = peer.neighbourhood.known["a"]
    assert (known.incarnation, known.seq) == (5, 40)


def test_one_snapshot_does_not_speak_for_a_mesh_of_many() -> None:
    """Four honest peers can't be decoded, and the fifth offers a model of its own."""
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, "a", "b", "c", "d", "liar", age=1000.0)
    effects: list[ev.Effect] = []
    for turn in range(ROUNDS + 3):
        effects += peer.handle(ev.Received("liar", snapshot(peer, full_of(9), age=1000.0)), 3.0 * turn + 1)
        effects += peer.handle(ev.TimerFired(JOIN), 3.0 * turn + 3)
    assert not only(ev.Joined, effects)
    assert (peer.replica.x == full_of(0.5)).all()


def test_a_base_that_one_peer_does_not_give_is_asked_of_another() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, *FRIENDS, age=1000.0)
    asked = []
    for turn, name in enumerate(FRIENDS):
        effects = peer.handle(ev.Received(name, snapshot(peer, full_of(4), full_of(3))), 1.0 + 2 * turn)
        asked += [to for to, _ in told(msg.NeedBase, effects)]
    assert asked == list(FRIENDS)
