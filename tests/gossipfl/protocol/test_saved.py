"""What is saved: who comes back goes on from it, with its model, its base and whom it knew; and when to save."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gossipfl.codec.codec import encode
from gossipfl.codec.coordinates import Strided
from gossipfl.codec.quantisers import quantiser
from gossipfl.errors import LocalError
from gossipfl.kernels import numpy as reference
from gossipfl.model.bases import name_of
from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.budget import Budget
from gossipfl.protocol.contacts import SIZE
from gossipfl.protocol.joining import PATIENCE, REBASE_GAP
from gossipfl.protocol.neighbourhood import FORGET_AFTER, MAX_KNOWN
from gossipfl.protocol.peer import JOIN, PUBLISH, Peer
from gossipfl.protocol.saved import EVERY, SHARE, Saved, Schedule
from gossipfl.wire import messages as msg
from tests.gossipfl.builders import (
    a_learning_peer,
    a_peer,
    base_message,
    content,
    full_of,
    meet,
    noise,
    only,
    snapshot,
    told,
    trained,
    update,
)

FRIENDS = ("a", "b", "c")
WITH_HEAD = Schema([Tensor("body", (6,)), Tensor("head", (2,), personal=True)])


def experienced(**options: Any) -> Peer:
    """A peer that has learnt, merged and published, and has another base than it began with."""
    peer = a_learning_peer(**options)
    meet(peer, *FRIENDS, now=4.0)
    size = peer.replica.x.size
    base = full_of(0.25, size)
    peer.handle(ev.Received("a", update(peer, base, base=name_of(base))), 5.0)
    peer.handle(ev.Received("a", base_message(peer, base)), 5.1)
    peer.bases.adopt(name_of(base))
    for turn in range(5):
        trained(peer, noise(peer.replica.schema.size, turn, 0.1), now=6.0 + turn)
        peer.handle(ev.Received("b", update(peer, noise(size, 9, 0.1), seq=turn + 1)), 6.5 + turn)
        peer.handle(ev.TimerFired(PUBLISH), 6.9 + turn)
    assert peer.replica.served.count == 5
    return peer


def back(saved: Saved, **options: Any) -> Peer:
    """The next life of who saved that, not yet started; its task would begin elsewhere."""
    size = saved.model.x.size + saved.model.personal.size
    return a_peer(full_of(-7.0, size), incarnation=saved.notes.incarnation + 1, saved=saved, **options)


# --- the model


@pytest.mark.parametrize("schema", [None, WITH_HEAD], ids=["all shared", "with personal values"])
def test_who_comes_back_has_every_bit_of_its_model(schema: Schema | None) -> None:
    before = experienced(schema=schema)
    after = back(before.save(), schema=schema)
    one, other = before.replica, after.replica
    assert other.full().tobytes() == one.full().tobytes()
    assert other.full_served().tobytes() == one.full_served().tobytes()
    assert (other.age, other.served.count) == (one.age, one.served.count)
    assert after.bases.own == before.bases.own != name_of(full_of(0.5, one.x.size))
    assert (after.bases[after.bases.own] == before.bases[before.bases.own]).all()
    assert (after.pace.progress, after.pace.period) == (before.pace.progress, before.pace.period)
    assert content(after.save())[1:] == content(before.save())[1:]


def test_saving_copies_nothing() -> None:
    peer = experienced(schema=WITH_HEAD)
    saved = peer.save()
    for mine, kept in ((peer.replica.x, saved.model.x), (peer.replica.served.x, saved.model.served)):
        assert np.shares_memory(mine, kept)
    assert np.shares_memory(peer.bases[peer.bases.own], saved.base)


SOME = encode(quantiser("int8"), Strided(0, 6, 2), full_of(0.3, 6), full_of(0.25, 6), random.Random(0), reference)[0]
CHANGES: dict[str, Callable[[Peer], ev.Event]] = {
    "training": lambda peer: ev.Trained(peer._training or 0, noise(8, 1), 20),
    "a merge": lambda peer: ev.Received("b", update(peer, full_of(0.1, 6), seq=50)),
    "a merge of some coordinates": lambda peer: ev.Received("b", update(peer, full_of(0.1, 6), seq=50, payload=SOME)),
    "the end of an interval": lambda _: ev.TimerFired(PUBLISH),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_saved_stays_as_it_was(change: str) -> None:
    peer = experienced(schema=WITH_HEAD)
    saved = peer.save()
    was = content(saved)
    peer.handle(CHANGES[change](peer), 20.0)
    assert content(peer.save())[1:] != was[1:], "the peer has changed"
    assert content(saved) == was


def test_a_peer_that_went_on_does_not_change_what_it_came_from() -> None:
    saved = experienced(schema=WITH_HEAD).save()
    was = content(saved)
    peer = back(saved, schema=WITH_HEAD)
    peer.handle(ev.Started(), 0.0)
    meet(peer, *FRIENDS, age=saved.model.age)
    for turn in range(3):
        trained(peer, noise(8, turn), now=1.0 + turn)
        peer.handle(ev.Received("a", update(peer, full_of(0.1, 6), seq=turn + 1)), 1.5 + turn)
        peer.handle(ev.TimerFired(PUBLISH), 1.9 + turn)
    assert content(saved) == was


def test_numbers_grow_from_life_to_life_and_from_save_to_save() -> None:
    peer, numbers = experienced(), []
    for _ in range(3):
        numbers += [(saved.notes.incarnation, saved.notes.number) for saved in (peer.save(), peer.save())]
        peer = back(peer.save())
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("x", full_of(1, 5)), ("x", full_of(np.nan, 6)), ("x", full_of(2e9, 6)), ("served", full_of(1, 5)),
        ("served", full_of(np.inf, 6)), ("personal", full_of(1, 1)), ("personal", full_of(np.nan, 2)),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_not_gone_on_from(field: str, wrong: Vector) -> None:
    saved = experienced(schema=WITH_HEAD).save()
    saved = structs.replace(saved, model=structs.replace(saved.model, **{field: wrong}))
    with pytest.raises(LocalError):
        back(saved, schema=WITH_HEAD)


# --- coming back


def test_who_comes_back_goes_on_at_the_first_greeting_of_who_is_not_ahead() -> None:
    saved = experienced().save()
    peer = back(saved)
    effects = peer.handle(ev.Started(), 0.0)
    assert not only(ev.Train, effects)
    effects = meet(peer, "a", age=saved.model.age + 0.9 * REBASE_GAP * peer.pace.progress)
    assert [hello.age for _, hello in told(msg.Hello, effects)] == [saved.model.age]
    assert only(ev.Joined, effects) == [ev.Joined(())]
    assert not told(msg.NeedSnapshot, effects)
    assert not told(msg.NeedBase, effects)
    (train,) = only(ev.Train, effects)
    assert (train.start.tobytes(), train.age) == (saved.model.x.tobytes(), saved.model.age)
    (_, first), *_ = told(msg.Update, trained(peer, 0.1))
    assert (first.incarnation, first.seq, first.base) == (2, 1, name_of(saved.base))


def test_it_merges_at_once_what_was_measured_against_its_old_base() -> None:
    saved = experienced().save()
    peer = back(saved)
    peer.handle(ev.Started(), 0.0)
    meet(peer, "a", age=saved.model.age)
    assert only(ev.Merged, peer.handle(ev.Received("a", update(peer, full_of(0.1))), 1.0))


def test_where_nobody_is_it_goes_on_alone_from_what_it_had() -> None:
    saved = experienced().save()
    peer = back(saved)
    assert ev.SetTimer(JOIN, PATIENCE) in peer.handle(ev.Started(), 0.0)
    effects = peer.handle(ev.TimerFired(JOIN), PATIENCE)
    assert only(ev.Joined, effects) == [ev.Joined(())]
    (train,) = only(ev.Train, effects)
    assert train.start.tobytes() == saved.model.x.tobytes()
    assert (peer.replica.served.x == saved.model.served).all()


def test_who_is_too_far_behind_rebases_and_asks_nobody_for_the_base_that_it_kept() -> None:
    saved = experienced().save()
    peer = back(saved)
    peer.handle(ev.Started(), 0.0)
    age = saved.model.age + 2 * REBASE_GAP * peer.pace.progress
    effects = meet(peer, *FRIENDS, age=age, base=name_of(saved.base))
    assert sorted(to for to, _ in told(msg.NeedSnapshot, effects)) == list(FRIENDS)
    for name in FRIENDS:
        effects += peer.handle(ev.Received(name, snapshot(peer, full_of(3), saved.base, age=age)), 1.0)
    assert only(ev.Joined, effects) == [ev.Joined(FRIENDS)]
    assert not told(msg.NeedBase, effects)
    assert peer.replica.age == age
    assert np.allclose(peer.replica.x, 3, atol=0.05)


def test_one_who_claims_to_be_far_ahead_is_not_believed_alone() -> None:
    saved = experienced().save()
    peer = back(saved)
    peer.handle(ev.Started(), 0.0)
    assert not told(msg.NeedSnapshot, meet(peer, "liar", age=1e15))
    assert peer.joining is not None
    assert only(ev.Joined, meet(peer, "honest", age=saved.model.age)) == [ev.Joined(())]


def test_who_saved_before_it_learnt_anything_is_a_newcomer() -> None:
    saved = a_learning_peer().save()
    peer = back(saved)
    peer.handle(ev.Started(), 0.0)
    assert not only(ev.Joined, meet(peer, "a", "b"))
    assert only(ev.Joined, meet(peer, "c")) == [ev.Joined(())]


def test_all_can_come_back_from_a_power_cut_at_once() -> None:
    """Each begins with the first other that it sees, and nobody asks anybody for a model."""
    lives = [experienced(me=name).save() for name in FRIENDS]
    for name, saved in zip(FRIENDS, lives, strict=True):
        peer = back(saved, me=name)
        peer.handle(ev.Started(), 0.0)
        other = next(other for other in lives if other is not saved)
        effects = meet(peer, "other", age=other.model.age)
        assert only(ev.Joined, effects)
        assert not told(msg.NeedSnapshot, effects)


# --- whom it knew


def test_peers_are_remembered_with_all_their_addresses_and_dialled() -> None:
    peer = experienced()
    meet(peer, "d", addresses=("one", "two", "three"))
    saved = peer.save()
    assert saved.notes.peers == dict.fromkeys(FRIENDS, ("there",)) | {"d": ("one", "two", "three")}
    dials = only(ev.Dial, back(saved).handle(ev.Started(), 0.0))
    assert {dial.peer: dial.addresses for dial in dials} == saved.notes.peers


def test_who_left_on_purpose_and_oneself_are_not_in_the_book() -> None:
    peer = experienced()
    peer.handle(ev.Received("b", msg.encode(msg.Goodbye(leaves=True))), 20.0)
    assert peer.save().notes.peers.keys() == {"a", "c"}
    saved = structs.replace(peer.save(), notes=structs.replace(peer.save().notes, peers={"me": ("x",), "a": ("y",)}))
    assert [dial.peer for dial in only(ev.Dial, back(saved).handle(ev.Started(), 0.0))] == ["a"]


def leave(peer: Peer, *names: str) -> None:
    for name in names:
        peer.handle(ev.Received(name, msg.encode(msg.Goodbye(leaves=True))), 20.0)
        peer.handle(ev.Disconnected(name), 20.1)


def test_who_is_the_last_to_leave_remembers_where_the_others_were() -> None:
    """All were switched off one after the other: whoever comes back first, two of them find each other."""
    peer = experienced()
    leave(peer, *FRIENDS)
    assert not only(ev.Dial, peer.handle(ev.TimerFired(PUBLISH), 60.0)), "who left is not dialled meanwhile"
    saved = peer.save()
    assert saved.notes.peers == dict.fromkeys(FRIENDS, ("there",))
    assert sorted(dial.peer for dial in only(ev.Dial, back(saved).handle(ev.Started(), 0.0))) == list(FRIENDS)


def test_a_new_address_counts_more_than_one_from_before_it_left() -> None:
    peer = experienced()
    leave(peer, *FRIENDS)
    meet(peer, "a", addresses=("elsewhere",))
    peer.handle(ev.Disconnected("a"), 21.0)
    assert peer.save().notes.peers == {"a": ("elsewhere",), "b": ("there",), "c": ("there",)}


def test_those_whom_there_were_links_with_come_first_in_the_book_and_are_dialled_first() -> None:
    peer = experienced()
    hearsay = [f"p{i}" for i in range(2 * SIZE)]
    for name in hearsay:
        peer.neighbourhood.hear_of(name, ("somewhere",))
    meet(peer, "d")
    peer.handle(ev.Disconnected("a"), 20.0)
    saved = peer.save()
    assert list(saved.notes.peers) == ["b", "c", "d", "a", *hearsay]
    dials = only(ev.Dial, back(saved, bootstrap={"z": ("configured",)}).handle(ev.Started(), 0.0))
    assert [dial.peer for dial in dials[:5]] == ["z", "b", "c", "d", "a"]
    assert len(dials) == SIZE


def test_configured_addresses_come_before_remembered_ones() -> None:
    peer = back(experienced().save(), bootstrap={"a": ("configured",)})
    dials = {dial.peer: dial.addresses for dial in only(ev.Dial, peer.handle(ev.Started(), 0.0))}
    assert dials["a"] == ("configured", "there")


def failing(peer: Peer, name: str, turns: int) -> int:
    """How often `name` is dialled, when no dial of it ever works; the first one is under way."""
    dials = 0
    for turn in range(turns):
        peer.handle(ev.DialFailed(name), 20.0 * turn)
        dials += len(only(ev.Dial, peer.handle(ev.TimerFired(("redial", name)), 20.0 * turn + 19)))
    return dials


def test_who_does_not_answer_any_more_is_forgotten_while_somebody_lives() -> None:
    peer = back(experienced().save())
    peer.handle(ev.Started(), 0.0)
    meet(peer, "b", age=peer.replica.age)
    assert failing(peer, "a", 2 * FORGET_AFTER) == FORGET_AFTER
    peer.handle(ev.TimerFired(PUBLISH), 1000.0)
    assert "a" not in peer.neighbourhood.known
    assert "a" not in peer.save().notes.peers


def test_where_nobody_answers_all_are_tried_again_and_stay_in_the_book() -> None:
    """A device that comes back before its router does."""
    saved = experienced().save()
    peer = back(saved)
    peer.handle(ev.Started(), 0.0)
    peer.handle(ev.TimerFired(JOIN), PATIENCE)
    for name in FRIENDS:
        failing(peer, name, 2 * FORGET_AFTER)
    assert not peer.neighbourhood.known
    assert peer.save().notes.peers == saved.notes.peers
    assert back(peer.save()).save().notes.peers == saved.notes.peers
    dials = only(ev.Dial, peer.handle(ev.TimerFired(PUBLISH), 1000.0))
    assert {dial.peer: dial.addresses for dial in dials} == saved.notes.peers


def test_the_book_is_bounded() -> None:
    peer = experienced()
    for start in range(0, 2 * MAX_KNOWN, 64):
        known = tuple(msg.KnownPeer(f"p{i}", ("somewhere",)) for i in range(start, start + 64))
        peer.handle(ev.Received("a", msg.encode(msg.Peers(known, asks=False))), 20.0)
    assert len(peer.save().notes.peers) == MAX_KNOWN
    leave(peer, *FRIENDS)
    for i in range(2 * MAX_KNOWN):
        meet(peer, f"guest {i}")
        leave(peer, f"guest {i}")
    assert len(peer._remembered) == MAX_KNOWN
    saved = peer.save()
    assert len(saved.notes.peers) == MAX_KNOWN
    for life in range(3):
        peer = back(saved)
        for i in range(100):
            peer.neighbourhood.hear_of(f"life {life} peer {i}", ("x",))
        saved = peer.save()
        assert len(saved.notes.peers) <= MAX_KNOWN


# --- the budget


def test_a_restart_does_not_fill_the_purse() -> None:
    peer = experienced(budget="8 kB/minute")
    peer.budget.left(100.0)
    peer.budget.spend(3000)
    left = peer.budget.left(100.0)
    assert left < 0
    again = back(peer.save(), budget="8 kB/minute")
    assert again.budget.left(100.0) == pytest.approx(left)
    assert again.budget.left(106.0) == pytest.approx(left + 0.1 * 7000)


def test_a_clock_that_was_set_back_stops_nobody_from_speaking() -> None:
    budget = Budget("8 kB/minute")
    budget.left(2e9)
    budget.spend(1000)
    again = Budget("8 kB/minute", budget.state)
    assert again.left(1e9) == pytest.approx(0)
    assert again.left(1e9 + 6) == pytest.approx(700)


@pytest.mark.parametrize(("before", "after"), [("", "8 kB/minute"), ("8 kB/minute", ""), ("8 MB/minute", "8 kB/day")])
def test_another_budget_begins_as_full_as_the_last_one_was(before: str, after: str) -> None:
    budget = Budget(before)
    budget.left(0.0)
    budget.spend(500)
    again = Budget(after, budget.state)
    full = again.capacity
    assert 0.4 * full <= again.left(0.0) <= full


# --- when


def test_a_schedule_saves_at_once_and_then_every_so_often() -> None:
    schedule, saved = Schedule(10.0), []
    for tenth in range(400):
        now = tenth / 10
        if schedule.due(now):
            saved.append(now)
            schedule.saved(now, now + 0.01)
    assert saved == [0.0, 10.0, 20.0, 30.0]


@given(
    st.floats(0.1, 100), st.lists(st.tuples(st.just(0.0) | st.floats(1e-3, 20), st.booleans()), min_size=1, max_size=60)
)
def test_no_more_than_a_fiftieth_of_the_time_is_spent_saving(every: float, saves: list[tuple[float, bool]]) -> None:
    schedule, now = Schedule(every), 0.0
    for seconds, joined in saves:
        while not schedule.due(now):
            now += 0.5
        begun, now = now, now + seconds
        schedule.saved(begun, now)
        assert schedule.seconds == now - begun
        assert not schedule.due(begun + 0.99 * max(every, seconds / SHARE))
        assert schedule.due(begun + 1.01 * max(every, seconds / SHARE))
        if joined:
            schedule.joined()
            assert not seconds or not schedule.due(begun + 0.99 * seconds / SHARE)
            assert schedule.due(begun + 1.01 * seconds / SHARE)


def test_joining_is_saved_soon() -> None:
    schedule = Schedule(EVERY)
    schedule.saved(0.0, 0.01)
    assert not schedule.due(5.0)
    schedule.joined()
    assert schedule.due(5.0)
