"""The peer, driven by hand: training, publishing, merging, links, greetings, bases, and reputation."""

import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from gossipfl.codec.codec import decode
from gossipfl.codec.quantisers import values
from gossipfl.errors import LocalError
from gossipfl.membership.reputation import GRAY, GROWTH, HALF_LIFE, MAX_OFFENDERS, MAX_STRIKES, Offenders
from gossipfl.model.bases import MAX_HELD, name_of
from gossipfl.model.schema import Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.joining import PATIENCE, REBASE_GAP
from gossipfl.protocol.neighbour import MAX_ALLOWANCE
from gossipfl.protocol.neighbourhood import FORGET_AFTER
from gossipfl.protocol.parts.admission import SHUNNED
from gossipfl.protocol.parts.exchange import GIVE_AGAIN
from gossipfl.protocol.parts.wanted import ASK_AGAIN
from gossipfl.protocol.peer import INTRODUCE_EVERY, JOIN, PUBLISH, Peer
from gossipfl.protocol.settings import Settings
from gossipfl.wire import messages as msg
from tests.gossipfl.builders import (
    Room,
    a_learning_peer,
    a_peer,
    base_message,
    distance,
    flat,
    frame,
    full_of,
    hello,
    meet,
    noise,
    only,
    quantised,
    said,
    snapshot,
    state,
    told,
    trained,
    update,
)


def with_friends(*friends: str, **options: Any) -> Peer:
    peer = a_learning_peer(**options)
    meet(peer, *(friends or ("a", "b", "c", "d")))
    return peer


# --- construction


@pytest.mark.parametrize("initial", [np.zeros(7, np.float32), np.zeros(8), np.full(8, np.nan, np.float32)])
def test_an_initial_vector_must_fit_the_schema(initial: Vector) -> None:
    with pytest.raises(LocalError, match="model vector"):
        Peer("me", flat(8), initial, Settings(), random.Random(0), incarnation=1)


def test_a_timer_of_somebody_else_is_our_drivers_mistake() -> None:
    with pytest.raises(LocalError, match="was not handed out"):
        a_peer().handle(ev.TimerFired("tick"), 0.0)


# --- training and publishing


def test_what_was_trained_is_published_at_once() -> None:
    peer = with_friends()
    effects = trained(peer, 1.0)
    ((to, message),) = said(effects)
    assert isinstance(message, msg.Update)
    assert (message.incarnation, message.seq, message.age) == (1, 1, 20)
    assert len(to) == 3
    assert set(to) < set("abcd")
    size = 3 * len(frame(only(ev.Send, effects)[0].body))
    assert only(ev.Published, effects) == [ev.Published(1, to, size)]
    assert only(ev.Send, effects)[0].supersedes
    decoded = peer.bases[message.base] + values(*decode(message.payload, 8)[1:])
    assert np.allclose(decoded, 1.5, atol=1 / 127)


def test_versions_are_numbered_upwards() -> None:
    peer, numbers = with_friends(), []
    for turn in range(5):
        numbers += [published.seq for published in only(ev.Published, trained(peer, 0.1, now=10.0 + turn))]
        peer.handle(ev.TimerFired(PUBLISH), 10.5 + turn)
    assert numbers == [1, 2, 3, 4, 5]


def test_with_nobody_there_nothing_is_published_and_training_goes_on() -> None:
    peer = a_learning_peer()
    assert not said(trained(peer, 1.0))
    assert (peer.replica.x == full_of(1.5)).all()
    assert peer.seq == 0
    effects = peer.handle(ev.TimerFired(PUBLISH), 11.0)
    assert len(only(ev.Train, effects)) == 1


def test_a_tick_trains_from_the_merged_model_and_takes_it_into_the_served_one() -> None:
    peer = with_friends(momentum="none")
    trained(peer, 1.0)
    effects = peer.handle(ev.TimerFired(PUBLISH), 11.0)
    (train,) = only(ev.Train, effects)
    assert (train.start == full_of(1.5)).all()
    assert (peer.replica.served.x == full_of(1.5)).all()
    (timer,) = only(ev.SetTimer, effects)
    assert timer.timer == PUBLISH
    assert 0.9 <= timer.delay <= 1.1


def test_a_tick_during_training_starts_no_second_one() -> None:
    peer = a_learning_peer()
    effects = peer.handle(ev.TimerFired(PUBLISH), 4.0)
    assert not only(ev.Train, effects)
    assert [timer.timer for timer in only(ev.SetTimer, effects)] == [PUBLISH]


def test_a_merge_during_training_is_not_overwritten() -> None:
    peer = with_friends()
    peer.handle(ev.Received("a", update(peer, full_of(0.9))), 4.0)
    merged = peer.replica.x.copy()
    assert distance(merged, full_of(0.5)) > 0.1
    trained(peer, 1.0)
    assert np.allclose(peer.replica.x, merged + 1, atol=1e-6)


def test_a_result_of_another_training_is_dropped() -> None:
    peer = with_friends()
    before = state(peer)
    assert not peer.handle(ev.Trained(99, full_of(1), 20), 10.0)
    assert not peer.handle(ev.TrainingFailed(99, "?"), 10.0)
    assert state(peer) == before


def test_a_result_that_comes_twice_counts_once() -> None:
    peer = with_friends()
    training = peer._training
    assert training is not None
    trained(peer, 1.0)
    before = state(peer)
    assert not peer.handle(ev.Trained(training, full_of(1), 20), 10.0)
    assert state(peer) == before


@pytest.mark.parametrize("delta", [full_of(np.nan), full_of(np.inf), full_of(1, 7), np.zeros(8)], ids=repr)
def test_a_diverged_or_misshapen_training_is_reported_and_the_node_goes_on(delta: Vector) -> None:
    peer = with_friends()
    effects = trained(peer, delta)
    assert len(only(ev.Failed, effects)) == 1
    assert (peer.replica.x == full_of(0.5)).all()
    assert peer.replica.age == 0
    assert only(ev.Train, peer.handle(ev.TimerFired(PUBLISH), 11.0))


def test_a_broken_training_is_reported_and_the_node_goes_on() -> None:
    peer = with_friends()
    assert peer._training is not None
    effects = peer.handle(ev.TrainingFailed(peer._training, "out of memory"), 10.0)
    assert only(ev.Failed, effects) == [ev.Failed("out of memory")]
    assert len(told(msg.Update, effects)) == 1
    assert only(ev.Train, peer.handle(ev.TimerFired(PUBLISH), 11.0))


def test_a_publish_carries_the_rate_at_which_one_neighbour_gets_it() -> None:
    peer = with_friends("a", "b", "c", "d", "e", "f", topology="k-out:k=3", interval=2.0)
    rates = []
    for turn in range(30):
        rates += [message.rate for _, message in told(msg.Update, trained(peer, now=4.0 + 2 * turn))]
        peer.handle(ev.TimerFired(PUBLISH), 5.0 + 2 * turn)
    assert rates[-1] == pytest.approx(3 / 6 / 2.0, rel=0.02)


# --- merging


def test_an_update_moves_the_model_half_way_between_equals() -> None:
    peer = with_friends("a")
    effects = peer.handle(ev.Received("a", update(peer, full_of(0.9), rate=1.0)), 4.0)
    assert only(ev.Merged, effects) == [ev.Merged("a", 0.0, 0.5)]
    assert np.allclose(peer.replica.x, 0.7, atol=0.01)


@pytest.mark.parametrize(
    ("rate", "weight"), [(0.5, 0.5), (1.0, 0.5), (1.5, 1 / 3), (2.0, 0.25), (4.0, 0.25), (1e6, 0.25)]
)
def test_a_peer_that_publishes_twice_as_often_counts_half_and_more_do_not_come(rate: float, weight: float) -> None:
    peer = with_friends("a")
    (merged,) = only(ev.Merged, peer.handle(ev.Received("a", update(peer, full_of(0.9), rate=rate)), 4.0))
    assert merged.weight == pytest.approx(weight)


def test_an_update_that_is_far_away_is_shortened_to_the_radius() -> None:
    peer = with_friends("a")
    radius = peer.replica.radius()
    (merged,) = only(ev.Merged, peer.handle(ev.Received("a", update(peer, full_of(3.5))), 4.0))
    assert merged.weight < 0.5
    assert distance(peer.replica.x, full_of(0.5)) == pytest.approx(radius / 2, rel=1e-3)


def test_an_update_of_a_less_advanced_model_counts_less() -> None:
    peer = with_friends("a", "b")
    trained(peer, 0.0, steps=100)
    tau = 100 / peer.pace.progress
    (merged,) = only(ev.Merged, peer.handle(ev.Received("a", update(peer, full_of(0.6), age=0.0)), 11.0))
    assert merged.staleness == pytest.approx(tau)
    assert merged.weight < only(ev.Merged, peer.handle(ev.Received("b", update(peer, full_of(0.6))), 11.0))[0].weight


def test_the_age_follows_the_same_map_as_the_model() -> None:
    peer = with_friends("a")
    peer.handle(ev.Received("a", update(peer, full_of(0.6), age=40.0)), 4.0)
    assert peer.replica.age == 20


def test_one_that_claims_a_great_age_again_and_again_adds_a_fixed_step_each_time() -> None:
    peer = with_friends("liar", "b", "c")
    for seq in range(1, 31):
        peer.handle(ev.Received("liar", update(peer, full_of(0.6), seq=seq, age=1e15)), 4.0 + seq)
        peer.handle(ev.TimerFired("publish"), 4.0 + seq)
        trained(peer, 0.0, now=4.5 + seq)
    assert peer.replica.age <= 30 * (1 + REBASE_GAP / 2) * peer.settings.steps


# --- links


def test_whoever_is_linked_is_greeted_first() -> None:
    peer = a_peer(me="x", addresses=("here", "there"), incarnation=7)
    ((to, message),) = said(peer.handle(ev.Connected("a"), 0.0))
    assert to == ("a",)
    base, codec = name_of(full_of(0.5)), Settings().codec
    assert message == msg.Hello(
        "gossipfl", flat(8).fingerprint, base, 7, 0, 0.0, ("here", "there"), "", codec, heard=False
    )


def test_a_greeting_that_was_lost_is_said_again() -> None:
    peer = a_peer()
    meet(peer, "a")
    answer = told(msg.Hello, peer.handle(ev.Received("a", hello(peer, heard=False)), 1.0))
    assert [(to, message.heard) for to, message in answer] == [("a", True)]
    assert not peer.handle(ev.Received("a", hello(peer, heard=True)), 1.0)


def test_who_stays_silent_is_greeted_again_at_each_tick() -> None:
    peer = with_friends("a")
    peer.handle(ev.Connected("silent"), 4.0)
    assert [to for to, _ in told(msg.Hello, peer.handle(ev.TimerFired(PUBLISH), 5.0))] == ["silent"]


def test_whoever_is_spoken_of_while_it_is_waited_for_is_dialled_at_once_and_once() -> None:
    """After a partition, the first link tells about all others: waiting for every timer could take 19 seconds."""
    peer = with_friends("a", "b")
    peer.handle(ev.Disconnected("b"), 4.0)
    spoken = ev.Received("a", msg.encode(msg.Peers((msg.KnownPeer("b", ("there",)),), asks=False)))
    assert only(ev.Dial, peer.handle(spoken, 5.0)) == [ev.Dial("b", ("there",))]
    assert not peer.handle(spoken, 5.0)
    assert not peer.handle(ev.TimerFired(("redial", "b")), 6.0)


def test_nobody_is_published_to_before_greeting_or_after_leaving() -> None:
    peer = with_friends("a", "b")
    peer.handle(ev.Connected("silent"), 4.0)
    peer.handle(ev.Disconnected("b"), 4.0)
    assert [to for to, _ in said(trained(peer))] == [("a",)]


def test_what_overtakes_its_hello_is_left_aside_without_blame() -> None:
    peer = a_learning_peer()
    peer.handle(ev.Connected("a"), 4.0)
    assert not peer.handle(ev.Received("a", update(peer, full_of(0.9))), 4.0)
    assert (peer.replica.x == full_of(0.5)).all()


def test_a_lost_peer_is_dialled_again_sooner_then_later() -> None:
    peer = with_friends("a", interval=60.0)
    delays = []
    for turn in range(12):
        (timer,) = only(ev.SetTimer, peer.handle(ev.Disconnected("a"), 10.0 * turn))
        assert timer.timer == ("redial", "a")
        delays.append(timer.delay)
        assert only(ev.Dial, peer.handle(ev.TimerFired(timer.timer), 10.0 * turn + 1)) == [ev.Dial("a", ("there",))]
    assert delays[0] < 0.32
    assert 11 < delays[-1] < 19
    assert all(later > 0.59 * 2 * earlier for earlier, later in pairwise(delays[:6]))


def test_a_link_that_came_back_is_not_dialled_and_resets_the_wait() -> None:
    peer = with_friends("a")
    for _ in range(6):
        peer.handle(ev.Disconnected("a"), 4.0)
    meet(peer, "a")
    assert not peer.handle(ev.TimerFired(("redial", "a")), 5.0)
    (timer,) = only(ev.SetTimer, peer.handle(ev.Disconnected("a"), 6.0))
    assert timer.delay < 0.32


def test_a_dial_that_failed_after_the_peer_dialled_us_changes_nothing() -> None:
    peer = with_friends("a")
    before = state(peer)
    assert not peer.handle(ev.DialFailed("a"), 4.0)
    assert state(peer) == before
    assert peer.neighbourhood.live() == ["a"]


def test_hearsay_that_never_answers_is_forgotten() -> None:
    peer = with_friends("a")
    told_of = msg.encode(msg.Peers((msg.KnownPeer("ghost", ("nowhere",)),), asks=False))
    assert only(ev.Dial, peer.handle(ev.Received("a", told_of), 4.0)) == [ev.Dial("ghost", ("nowhere",))]
    for _ in range(FORGET_AFTER):
        assert only(ev.SetTimer, peer.handle(ev.DialFailed("ghost"), 5.0))
    assert not peer.handle(ev.DialFailed("ghost"), 6.0)
    assert "ghost" not in peer.neighbourhood.known


def test_a_bootstrap_peer_that_tells_no_address_is_still_dialled_where_the_configuration_says() -> None:
    peer = a_learning_peer(bootstrap={"seed": ("configured",)})
    meet(peer, "seed", addresses=())
    assert only(ev.SetTimer, peer.handle(ev.Disconnected("seed"), 9.0))
    assert only(ev.Dial, peer.handle(ev.TimerFired(("redial", "seed")), 10.0)) == [ev.Dial("seed", ("configured",))]


def test_more_addresses_than_a_hello_may_carry_are_not_sent() -> None:
    peer = a_peer(addresses=tuple(f"/ip4/10.0.0.{i}/tcp/4001" for i in range(12)))
    ((_, greeting),) = said(peer.handle(ev.Connected("a"), 0.0))  # `said` decodes as the receiver would
    assert isinstance(greeting, msg.Hello)
    assert len(greeting.addresses) == msg.MAX_ADDRESSES


# --- peer exchange


def test_a_newcomer_that_knows_one_peer_finds_all() -> None:
    names = [f"n{i}" for i in range(6)]
    room = Room(
        *(a_peer(me=name, seed=i, addresses=(name,), bootstrap={"n0": ("n0",)}) for i, name in enumerate(names))
    )
    for name in names:
        room.happen(name, ev.Started())
    for name, peer in room.peers.items():
        assert sorted(peer.neighbourhood.live()) == [other for other in names if other != name]


def test_introductions_go_on_while_the_mesh_lives() -> None:
    peer = with_friends("a", "b", "c")
    told_at = []
    for turn in range(1, 2 * INTRODUCE_EVERY + 1):
        if told(msg.Peers, trained(peer, now=4.0 + turn)):
            told_at.append(turn)
        peer.handle(ev.TimerFired(PUBLISH), 4.5 + turn)
    assert told_at == [INTRODUCE_EVERY, 2 * INTRODUCE_EVERY]


def test_i_do_not_dial_myself_or_friends_on_hearsay() -> None:
    peer = with_friends("a", "b")
    who = (msg.KnownPeer("me", ("x",)), msg.KnownPeer("b", ("x",)), msg.KnownPeer("nobody", ()))
    told_of = msg.Peers(who, asks=False)
    assert not peer.handle(ev.Received("a", msg.encode(told_of)), 4.0)
    assert peer.neighbourhood.known["b"].addresses == ("there",)


# --- leaving


def test_who_leaves_hands_its_model_over_and_says_goodbye() -> None:
    peer = with_friends("a", "b")
    effects = peer.handle(ev.Stopping(), 10.0)
    assert len(told(msg.Update, effects)) == 1
    assert sorted(to for to, _ in told(msg.Goodbye, effects)) == ["a", "b"]


def test_who_leaves_before_it_joined_hands_nothing_over() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, "a")
    assert [type(message) for _, message in said(peer.handle(ev.Stopping(), 1.0))] == [msg.Goodbye]


def test_who_said_goodbye_is_neither_published_to_nor_dialled() -> None:
    peer = with_friends("a", "b")
    peer.handle(ev.Received("a", msg.encode(msg.Goodbye(leaves=True))), 4.0)
    assert [to for to, _ in said(trained(peer))] == [("b",)]
    assert not peer.handle(ev.Disconnected("a"), 11.0)
    meet(peer, "a")
    assert "a" in peer.neighbourhood.live()


# --- strangers


@pytest.mark.parametrize(
    ("fields", "theirs"),
    [({"mesh": "other"}, "it belongs to mesh 'other'"), ({"schema": bytes(16)}, "a model of another schema")],
)
def test_who_belongs_elsewhere_is_cut_off_and_not_dialled(fields: dict[str, Any], theirs: str) -> None:
    peer = a_learning_peer()
    effects = meet(peer, "a", **fields)
    (cut,) = only(ev.Disconnect, effects)
    assert cut.peer == "a"
    assert theirs in cut.reason
    assert len(only(ev.Refused, effects)) == 1
    assert not peer.neighbourhood.live()
    assert not peer.handle(ev.Received("a", update(peer, full_of(0.9))), 4.0)
    assert not peer.handle(ev.Disconnected("a"), 5.0)


# --- bases


def test_an_unknown_base_is_asked_for_and_then_updates_merge() -> None:
    peer = with_friends("a")
    base = noise(8, 7, 0.1)
    on_base = {"base": name_of(base), "payload": quantised(full_of(0.6), base)}
    effects = peer.handle(ev.Received("a", update(peer, full_of(0), seq=1, **on_base)), 4.0)
    assert said(effects) == [(("a",), msg.NeedBase(name_of(base), peer.bases.own))]
    assert not peer.handle(ev.Received("a", update(peer, full_of(0), seq=2, **on_base)), 4.5)
    assert not peer.handle(ev.Received("a", base_message(peer, base)), 5.0)
    effects = peer.handle(ev.Received("a", update(peer, full_of(0), seq=3, **on_base)), 5.5)
    assert len(only(ev.Merged, effects)) == 1
    assert np.allclose(peer.replica.x, 0.55, atol=0.01)


def test_a_base_that_got_lost_is_asked_for_again_after_a_while() -> None:
    peer = with_friends("a")
    asked = []
    for seq in range(1, 21):
        effects = peer.handle(ev.Received("a", update(peer, full_of(0), seq=seq, base=bytes(16))), float(seq))
        asked += [float(seq) for _ in told(msg.NeedBase, effects)]
    assert asked == [1.0, 1.0 + ASK_AGAIN, 1.0 + 2 * ASK_AGAIN, 1.0 + 3 * ASK_AGAIN]


def test_a_base_is_given_to_who_needs_it_but_not_too_often() -> None:
    peer = with_friends("a", "b")
    need = msg.encode(msg.NeedBase(peer.bases.own, bytes(16)))

    def given(who: str, now: float) -> list[tuple[str, list[float]]]:
        answers = told(msg.Base, peer.handle(ev.Received(who, need), now))
        return [(to, [float(value) for value in decode(base.payload, 8)[2]]) for to, base in answers]

    assert given("a", 4.0) == [("a", [0.5] * 8)]
    assert not given("a", 4.0 + GIVE_AGAIN / 2)
    assert given("b", 4.0 + GIVE_AGAIN / 2) == [("b", [0.5] * 8)]
    assert given("a", 4.0 + GIVE_AGAIN) == [("a", [0.5] * 8)]


def test_a_snapshot_is_given_to_who_asks_but_not_too_often() -> None:
    peer = with_friends("a", "b")
    ask = msg.encode(msg.NeedSnapshot())
    answers = [
        [to for to, _ in told(msg.Snapshot, peer.handle(ev.Received(who, ask), now))]
        for who, now in (("a", 4.0), ("a", 4.0 + GIVE_AGAIN / 2), ("b", 4.0 + GIVE_AGAIN / 2), ("a", 4.0 + GIVE_AGAIN))
    ]
    assert answers == [["a"], [], ["b"], ["a"]]


def test_a_base_that_i_lack_is_not_given() -> None:
    peer = with_friends("a")
    assert not peer.handle(ev.Received("a", msg.encode(msg.NeedBase(bytes(16), bytes(16)))), 4.0)


def test_a_base_that_nobody_asked_for_is_refused() -> None:
    peer = with_friends("a", "b")
    peer.handle(ev.Received("b", update(peer, full_of(0), base=bytes(16))), 4.0)
    (refused,) = only(ev.Refused, peer.handle(ev.Received("a", base_message(peer, full_of(1))), 4.0))
    assert "nobody asked for" in refused.reason
    assert len(peer.bases._held) == 1


def test_another_base_than_the_one_asked_for_is_refused() -> None:
    peer = with_friends("a")
    peer.handle(ev.Received("a", update(peer, full_of(0), base=name_of(full_of(1)))), 4.0)
    effects = peer.handle(ev.Received("a", base_message(peer, full_of(2))), 4.0)
    assert len(only(ev.Refused, effects)) == 1
    assert name_of(full_of(2)) not in peer.bases


def test_bases_are_bounded_however_many_there_are() -> None:
    peer = with_friends("a")
    own = peer.bases.own
    for i in range(1, 20):
        base = full_of(i)
        peer.handle(ev.Received("a", update(peer, base, seq=i, base=name_of(base))), 10.0 * i)
        peer.handle(ev.Received("a", base_message(peer, base)), 10.0 * i)
        assert len(peer.bases._held) <= MAX_HELD
        assert own in peer.bases


# --- snapshots and reputation


def test_the_served_model_is_given_to_who_joins() -> None:
    peer = with_friends("a")
    trained(peer, 1.0)
    peer.handle(ev.TimerFired(PUBLISH), 11.0)
    ((to, given),) = told(msg.Snapshot, peer.handle(ev.Received("a", msg.encode(msg.NeedSnapshot())), 12.0))
    assert (to, given.age, given.base) == ("a", 20, peer.bases.own)
    newcomer = a_peer(seed=1)
    newcomer.handle(ev.Started(), 0.0)
    meet(newcomer, "x", age=1000.0)
    newcomer.handle(ev.TimerFired(JOIN), PATIENCE)
    newcomer.handle(ev.Received("x", msg.encode(given)), 4.0)
    assert np.allclose(newcomer.replica.x, peer.replica.served.x, atol=1 / 127)


def test_ten_refused_frames_cut_the_link_and_it_is_not_dialled() -> None:
    peer = with_friends("a", "b")
    for turn in range(1, MAX_STRIKES + 1):
        effects = peer.handle(ev.Received("a", b"junk"), 4.0)
        assert len(only(ev.Refused, effects)) == 1
        assert [cut.peer for cut in only(ev.Disconnect, effects)] == (["a"] if turn == MAX_STRIKES else [])
    assert not peer.handle(ev.Disconnected("a"), 5.0)
    assert peer.neighbourhood.live() == ["b"]
    gossip = msg.encode(msg.Peers((msg.KnownPeer("a", ("there",)),), asks=False))
    assert not peer.handle(ev.Received("b", gossip), 6.0)


def test_who_was_refused_too_often_is_shunned_ever_longer_and_then_for_good() -> None:
    peer = a_learning_peer(bootstrap={"a": ("where it is",)})
    meet(peer, "b")
    for turn, seconds in enumerate((GRAY, GRAY * GROWTH, GRAY * GROWTH**2, None)):
        now = 1000.0 * turn
        meet(peer, "a", now=now)
        effects = []
        for _ in range(MAX_STRIKES):
            effects = peer.handle(ev.Received("a", b"junk"), now)
        assert [cut.peer for cut in only(ev.Disconnect, effects)] == ["a"]
        timers = [effect for effect in only(ev.SetTimer, effects) if effect.timer == ("pardon", "a")]
        assert timers == ([] if seconds is None else [ev.SetTimer(("pardon", "a"), seconds)])
        peer.handle(ev.Disconnected("a"), now)
        assert peer.handle(ev.Connected("a"), now + 1) == [ev.Disconnect("a", SHUNNED)]
        assert not peer.handle(ev.Received("a", hello(peer)), now + 1)
        assert not peer.handle(ev.Found("a", ("there",)), now + 1)
        if seconds is not None:  # the configuration is not forgotten
            (dial,) = only(ev.Dial, peer.handle(ev.TimerFired(("pardon", "a")), now + seconds))
            assert dial == ev.Dial("a", ("where it is",))


def test_strikes_are_forgotten_by_half() -> None:
    peer = with_friends("a")
    for turn in range(5 * MAX_STRIKES):
        effects = peer.handle(ev.Received("a", b"junk"), 100.0 + turn * HALF_LIFE / 3)
        assert not only(ev.Disconnect, effects)
    record = peer.neighbourhood.known["a"]
    assert 0 < record.strikes < MAX_STRIKES


def test_nobody_remembers_more_offenders_than_its_share() -> None:
    offenders = Offenders()
    for number in range(2 * MAX_OFFENDERS):
        _, forgotten = offenders.offend(f"peer {number}", float(number))
        assert forgotten == ([f"peer {number - MAX_OFFENDERS}"] if number >= MAX_OFFENDERS else [])
    assert len(offenders.shunned) == MAX_OFFENDERS


def test_an_accepted_update_wins_a_strike_back() -> None:
    peer = with_friends("a")
    for seq in range(1, 3 * MAX_STRIKES):
        assert not only(ev.Disconnect, peer.handle(ev.Received("a", b"junk"), 4.0))
        assert only(ev.Merged, peer.handle(ev.Received("a", update(peer, full_of(0.5), seq=seq)), 4.0))
    assert peer.neighbourhood.known["a"].strikes == 0


def test_anothers_frames_do_not_count_against_me() -> None:
    peer = with_friends("a", "b")
    for _ in range(MAX_STRIKES - 1):
        peer.handle(ev.Received("a", b"junk"), 4.0)
    assert not only(ev.Disconnect, peer.handle(ev.Received("b", b"junk"), 4.0))


def test_a_late_snapshot_is_nobodys_fault() -> None:
    peer = with_friends("a")
    before = state(peer)
    assert not peer.handle(ev.Received("a", snapshot(peer, full_of(9))), 4.0)
    assert state(peer) == before


def test_a_flood_of_updates_moves_no_more_than_an_allowance() -> None:
    """Rates are self-reported: who claims to send seldom gets α = ½ for each of as many as it likes."""
    peer = a_learning_peer()
    meet(peer, "flood")
    weights = []
    for seq in range(1, 61):
        effects = peer.handle(ev.Received("flood", update(peer, full_of(5.0), seq, rate=1e-9)), 10.0 + seq / 1000)
        weights += [merged.weight for merged in only(ev.Merged, effects)]
    assert len(weights) == 60
    assert sum(weights) <= MAX_ALLOWANCE * (1 + 0.06 / peer.pace.period)
    later = peer.handle(ev.Received("flood", update(peer, full_of(0.6), 61)), 10.0 + 2 * peer.pace.period)
    assert only(ev.Merged, later)[0].weight > 0.4
