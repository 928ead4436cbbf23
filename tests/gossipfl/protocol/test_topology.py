"""A peer and its topology: who gets a publish, with whom links are kept, and whom a joining node asks."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise

import pytest

from gossipfl.protocol import events as ev
from gossipfl.protocol.contacts import CHOSEN, MAX_LINKS, SIZE, TURN
from gossipfl.protocol.joining import PATIENCE
from gossipfl.protocol.neighbourhood import MAX_KNOWN, MAX_NEWS
from gossipfl.protocol.peer import INTRODUCE_EVERY, JOIN, PUBLISH, Peer
from gossipfl.protocol.settings import Settings
from gossipfl.wire import messages as msg
from gossipfl_topology.live import Complete, Exponential, Fixed, Hierarchical, KOut, Regular, Ring, Topology
from tests.gossipfl.builders import (
    Room,
    a_learning_peer,
    a_peer,
    flat,
    full_of,
    hello,
    meet,
    only,
    snapshot,
    told,
    trained,
)

HUNDRED = tuple(f"p{i:02}" for i in range(100))
LINE = Fixed("line", {"me": ("a", "b"), "a": ("me",), "b": ("me",)})


def at(epoch: int) -> float:
    """A moment in that publish interval of one second, away from its borders."""
    return epoch + 0.5


def tick(peer: Peer, epoch: int) -> list[ev.Effect]:
    """The timer of the next publish is due."""
    return peer.handle(ev.TimerFired(PUBLISH), at(epoch))


def published(peer: Peer, epoch: int = 10) -> set[str]:
    """The recipients of the next publish."""
    if peer._training is None:
        tick(peer, epoch)
    effects = trained(peer, 0.0, now=at(epoch))
    return {to for report in only(ev.Published, effects) for to in report.to}


def hear_of(peer: Peer, names: Iterable[str], *, epoch: int = 4) -> list[ev.Effect]:
    """Its first friend tells of others, as many in a message as it may carry."""
    listed, effects = [msg.KnownPeer(name, (f"at {name}",)) for name in names], []
    friend = peer.neighbourhood.live()[0]
    for start in range(0, len(listed), msg.MAX_PEERS):
        body = msg.encode(msg.Peers(tuple(listed[start : start + msg.MAX_PEERS]), asks=False))
        effects += peer.handle(ev.Received(friend, body), at(epoch))
    return effects


def dialled(effects: list[ev.Effect]) -> list[str]:
    return [dial.peer for dial in only(ev.Dial, effects)]


def cut(effects: list[ev.Effect]) -> list[str]:
    """Whose link ends: the other end is told, and cuts it."""
    assert not only(ev.Disconnect, effects)
    return [to for to, goodbye in told(msg.Goodbye, effects) if not goodbye.leaves]


def carry_out_cuts(peer: Peer, effects: list[ev.Effect], epoch: int) -> None:
    for name in cut(effects):
        peer.handle(ev.Disconnected(name), at(epoch))


def carry_out_dials(peer: Peer, effects: list[ev.Effect], epoch: int) -> None:
    """Whoever is dialled answers."""
    meet(peer, *dialled(effects), now=at(epoch))


# --- who gets a publish


def test_a_new_topology_decides_about_the_next_publish() -> None:
    peer = a_learning_peer(topology="complete")
    meet(peer, "a", "b", "c", "d")
    assert published(peer) == set("abcd")
    assert not peer.handle(ev.Rewired(LINE), at(11)), "nothing happens until then"
    assert peer.contacts.topology is LINE
    assert published(peer, 11) == {"a", "b"}
    peer.handle(ev.Rewired(KOut(k=1)), at(12))
    assert len(published(peer, 12)) == 1
    peer.handle(ev.Rewired(Complete()), at(13))
    assert published(peer, 13) == set("abcd")


def test_a_new_topology_changes_the_rate_that_updates_tell() -> None:
    rates = []
    for rewired in (False, True):
        peer = a_learning_peer(topology="complete")
        meet(peer, "a", "b", "c", "d")
        if rewired:
            peer.handle(ev.Rewired(KOut(k=1)), at(9))
        rates += [message.rate for _, message in told(msg.Update, trained(peer, now=at(10)))]
    assert rates[1] == pytest.approx(rates[0] / 4)


def test_a_new_topology_has_links_made_with_neighbours_that_were_only_known() -> None:
    peer = a_learning_peer()
    meet(peer, *HUNDRED[:SIZE], now=at(4))
    hear_of(peer, HUNDRED[SIZE:])
    stranger = HUNDRED[-1]
    assert not dialled(tick(peer, 4)), "there are links enough"
    peer.handle(ev.Rewired(Fixed("pair", {"me": (stranger,)})), at(5))
    assert stranger in dialled(tick(peer, 5))
    meet(peer, stranger, now=at(6))
    assert published(peer, 6) == {stranger}


def test_a_new_topology_finds_its_neighbours_among_all_that_there_are_links_with_at_once() -> None:
    peer = a_learning_peer()
    meet(peer, *HUNDRED, now=at(4))
    other = HUNDRED[-1]
    assert peer._training is not None, "the publish comes before the next tick"
    peer.handle(ev.Rewired(Fixed("pair", {"me": (other,)})), at(5))
    assert published(peer, 5) == {other}


def test_a_drawn_graph_without_live_neighbours_publishes_to_nobody_and_training_goes_on() -> None:
    peer = a_learning_peer()
    meet(peer, "c", "d")
    peer.handle(ev.Rewired(LINE), at(10))
    assert not published(peer)
    assert peer.seq == 0
    assert only(ev.Train, tick(peer, 11))


def test_a_topology_given_as_an_object_wins_over_the_settings() -> None:
    peer = Peer(
        "me", flat(8), full_of(0.5), Settings(topology="complete"), random.Random(0), incarnation=1, topology=LINE
    )
    assert peer.contacts.topology is LINE
    peer.handle(ev.Started(), 0.0)
    peer.handle(ev.TimerFired(JOIN), PATIENCE)
    meet(peer, "a", "b", "c", "d")
    assert published(peer) == {"a", "b"}


@pytest.mark.parametrize(("text", "made"), [("ring", Ring()), ("k-out:k=2", KOut(k=2)), ("hierarchical", None)])
def test_without_one_the_settings_name_it(text: str, made: object) -> None:
    assert a_peer(topology=text).contacts.topology == (made or Hierarchical())


@pytest.mark.parametrize("topology", ["k-out:k=32", "complete"])
def test_a_publish_goes_only_to_those_who_are_there(topology: str) -> None:
    peer = a_learning_peer(topology=topology)
    meet(peer, "a", "b", "c")
    hear_of(peer, ["never linked"])
    peer.handle(ev.Connected("silent"), at(4))
    peer.handle(ev.Received("early", hello(peer)), at(4))
    assert published(peer, 5) == {"a", "b", "c"}
    peer.handle(ev.Disconnected("a"), at(6))
    peer.handle(ev.Received("b", msg.encode(msg.Goodbye(leaves=True))), at(6))
    assert published(peer, 6) == {"c"}
    peer.handle(ev.Received("silent", hello(peer)), at(7))
    assert published(peer, 7) == {"c", "silent"}


def test_fresh_recipients_are_drawn_anew_in_each_interval_from_links_that_change_over_time() -> None:
    peer = a_learning_peer(topology="k-out:k=2")
    meet(peer, "a", now=at(4))
    carry_out_dials(peer, hear_of(peer, HUNDRED), 4)
    seen: set[str] = set()
    for epoch in range(5, 5 + 60 * TURN):
        effects = tick(peer, epoch)
        carry_out_dials(peer, effects, epoch)
        carry_out_cuts(peer, effects, epoch)
        to = published(peer, epoch)
        assert to <= set(peer.neighbourhood.live())
        assert len(to) == 2
        seen |= to
    assert len(seen) > 2 * SIZE, "others join them over time"


@pytest.mark.parametrize("topology", [Ring(), Regular(k=4), Exponential()], ids=lambda topology: topology.name)
def test_when_a_neighbour_is_gone_the_next_one_takes_its_place_in_a_large_mesh_too(topology: Topology) -> None:
    """The two beside a gap must choose each other, or the ring stays torn."""
    for me in ("a", "b", "c", "d", "e", "f"):
        peer = a_learning_peer(me=me, topology=topology.name)
        meet(peer, *HUNDRED, now=at(4))
        gone = topology.neighbours(me, dict.fromkeys(HUNDRED, ""), 0)[0]
        peer.handle(ev.Disconnected(gone), at(5))
        for epoch in range(6, 4 * TURN):
            peer.handle(ev.DialFailed(gone), at(epoch))
            carry_out_cuts(peer, tick(peer, epoch), epoch)
        rest = dict.fromkeys(peer.neighbourhood.live(), "")
        assert published(peer, 4 * TURN) == set(topology.neighbours(me, rest, 0)), me
        meet(peer, gone, now=at(4 * TURN))
        assert gone in published(peer, 4 * TURN + 1), "it has its place back"


# --- roles


def test_the_role_travels_in_the_greeting() -> None:
    peer = a_peer(role="gateway")
    assert [message.role for _, message in told(msg.Hello, peer.handle(ev.Connected("a"), 0.0))] == ["gateway"]
    peer.handle(ev.Received("a", hello(peer, role="district")), 0.0)
    assert peer.neighbourhood.known["a"].role == "district"


def test_a_sensor_publishes_to_its_gateway_and_to_no_other_sensor() -> None:
    sensor = a_learning_peer(topology="hierarchical", role="sensor")
    meet(sensor, "s1", "s2", role="sensor")
    meet(sensor, "s3", role="")
    meet(sensor, "d", role="district")
    assert published(sensor, 10) == {"d"}, "no gateway lives"
    meet(sensor, "g", role="gateway")
    assert published(sensor, 11) == {"g"}
    sensor.handle(ev.Disconnected("g"), at(12))
    assert published(sensor, 12) == {"d"}, "when the gateway goes, the level above it"
    meet(sensor, "g", role="sensor")
    sensor.handle(ev.Received("s1", hello(sensor, incarnation=2, role="gateway")), at(13))
    assert published(sensor, 13) == {"s1"}, "another one has become a gateway"


def test_all_of_a_hierarchy_agree_on_who_talks_to_whom() -> None:
    roles = {"d": "district", "g1": "gateway", "g2": "gateway", **{f"s{i}": "sensor" for i in range(6)}}
    to = {}
    for me, role in roles.items():
        peer = a_learning_peer(me=me, topology="hierarchical", role=role)
        for other in roles.keys() - {me}:
            meet(peer, other, role=roles[other])
        to[me] = published(peer)
    assert to["d"] == {"g1", "g2"}
    for me, theirs in to.items():
        assert all(me in to[other] for other in theirs)
        if roles[me] == "sensor":
            assert len(theirs) == 1
            assert theirs <= {"g1", "g2"}


# --- whom to have links with


def test_in_a_small_mesh_everybody_is_dialled() -> None:
    peer = a_learning_peer()
    meet(peer, "a")
    assert sorted(dialled(hear_of(peer, HUNDRED[: SIZE - 1]))) == sorted(HUNDRED[: SIZE - 1])
    meet(peer, *HUNDRED[: SIZE - 1])
    for epoch in range(5, 5 + 3 * TURN):
        assert not cut(tick(peer, epoch)), "there is nobody else"


def test_of_a_hundred_at_most_as_many_are_dialled_as_links_are_wanted() -> None:
    """However many are heard of at once: a dial that is under way will be a link."""
    peer = a_learning_peer()
    meet(peer, "a")
    assert len(dialled(hear_of(peer, HUNDRED))) + len(peer.neighbourhood.links) == SIZE
    assert not dialled(tick(peer, 5))


def test_a_link_that_ends_is_replaced_by_any_of_those_heard_of() -> None:
    chosen = set()
    for seed in range(20):
        peer = a_learning_peer(seed=seed)
        meet(peer, *HUNDRED[:SIZE], now=at(4))
        assert not dialled(hear_of(peer, HUNDRED[SIZE:])), "there are links enough"
        peer.handle(ev.Disconnected(HUNDRED[0]), at(4))
        (one,) = dialled(tick(peer, 4))
        chosen.add(one)
    assert len(chosen) > 10


def test_a_link_ends_once_per_turn_so_that_others_get_theirs() -> None:
    peer = a_learning_peer()
    meet(peer, *HUNDRED[:SIZE], now=at(4))
    hear_of(peer, HUNDRED[SIZE:])
    ends = []
    for epoch in range(5, 5 + 20 * TURN):
        effects = tick(peer, epoch)
        carry_out_dials(peer, effects, epoch)
        carry_out_cuts(peer, effects, epoch)
        ends += [epoch] * len(cut(effects))
    assert len(ends) == 20
    assert {later - earlier for earlier, later in pairwise(ends)} == {TURN}
    assert len(peer.neighbourhood.links) >= SIZE - 1


def test_not_all_end_a_link_in_the_same_interval() -> None:
    when = set()
    for me in ("a", "b", "c", "d", "e", "f"):
        peer = a_learning_peer(me=me)
        meet(peer, *HUNDRED[:SIZE], now=at(4))
        hear_of(peer, HUNDRED[SIZE:])
        when.add(next(epoch for epoch in range(5, 5 + 2 * TURN) if cut(tick(peer, epoch))))
    assert len(when) > 2


def test_links_beyond_the_most_are_shed_but_never_one_that_the_topology_names() -> None:
    many = [f"q{i:03}" for i in range(MAX_LINKS + 40)]
    named = set(many[10:30])
    peer = a_learning_peer()
    peer.handle(ev.Rewired(Fixed("star", {"me": tuple(named)})), at(3))
    meet(peer, *many, now=at(4))
    shed = cut(tick(peer, 4))
    assert len(shed) == 40
    assert not named & set(shed)
    for name in shed:
        peer.handle(ev.Disconnected(name), at(4))
    assert len(peer.neighbourhood.links) == MAX_LINKS
    assert not cut(tick(peer, 5))


def test_those_who_dial_in_can_not_push_out_all_that_a_node_chose_itself() -> None:
    peer = a_learning_peer()
    meet(peer, "a")
    own = dialled(hear_of(peer, HUNDRED))
    meet(peer, *own, now=at(4))
    for turn in range(10):
        crowd = [f"crowd{turn}-{i}" for i in range(MAX_LINKS)]
        meet(peer, *crowd, now=at(5 + turn))
        carry_out_cuts(peer, tick(peer, 5 + turn), 5 + turn)
        assert len(peer.neighbourhood.links) == MAX_LINKS
    assert len(set(own) & set(peer.neighbourhood.links)) >= CHOSEN - 1, "one has had its turn"


def test_a_link_that_ends_because_there_are_enough_is_cut_by_the_other_end_and_redialled_by_none() -> None:
    peer = a_learning_peer()
    meet(peer, "a", "b", now=at(4))
    effects = peer.handle(ev.Received("a", msg.encode(msg.Goodbye(leaves=False))), at(5))
    assert [cut.peer for cut in only(ev.Disconnect, effects)] == ["a"]
    effects = peer.handle(ev.Disconnected("a"), at(5))
    assert not only(ev.SetTimer, effects)
    assert peer.contacts.wants("a")
    assert dialled(tick(peer, 6)) == ["a"], "where there is nobody else, it is one to have a link with again"


def test_who_does_not_cut_the_link_as_told_is_cut_off() -> None:
    peer = a_learning_peer()
    meet(peer, *[f"q{i:03}" for i in range(MAX_LINKS + 40)], now=at(4))
    told_so = cut(tick(peer, 4))
    effects = tick(peer, 5)
    assert sorted(cut.peer for cut in only(ev.Disconnect, effects)) == sorted(told_so)
    assert not told(msg.Goodbye, effects), "nobody else has to go instead"


def test_nobody_can_tell_which_spare_links_will_be_shed() -> None:
    """Else who comes first, or last, could push out whom it likes."""
    many, shed = [f"q{i:03}" for i in range(MAX_LINKS + 10)], set()
    for seed in range(8):
        peer = a_learning_peer(seed=seed)
        meet(peer, *many, now=at(4))
        shed.add(tuple(sorted(cut(tick(peer, 4)))))
    assert len(shed) == 8
    assert len({name for cuts in shed for name in cuts}) > 30


def test_as_many_links_as_allowed_are_left_alone() -> None:
    peer = a_learning_peer()
    meet(peer, *[f"q{i:03}" for i in range(MAX_LINKS)], now=at(4))
    assert not cut(tick(peer, 4))
    meet(peer, "one more", now=at(4))
    assert len(cut(tick(peer, 5))) == 1


def test_neighbours_of_a_lasting_topology_are_kept_however_many_they_are() -> None:
    many = [f"q{i:03}" for i in range(MAX_LINKS + 20)]
    peer = a_learning_peer(topology="complete")
    meet(peer, *many, now=at(4))
    assert not cut(tick(peer, 4))
    assert published(peer, 5) == set(many)


def test_who_was_shed_is_not_dialled_while_there_are_links_enough() -> None:
    peer = a_learning_peer()
    many = [f"q{i:03}" for i in range(MAX_LINKS + 40)]
    meet(peer, *many, now=at(4))
    timers: list[object] = []
    for name in cut(tick(peer, 4)):
        timers += [timer.timer for timer in only(ev.SetTimer, peer.handle(ev.Disconnected(name), at(4)))]
    for timer in timers:
        assert not dialled(peer.handle(ev.TimerFired(timer), at(5)))


def test_names_beyond_what_the_table_holds_replace_those_heard_of_first_and_few_at_a_time() -> None:
    peer = a_learning_peer()
    meet(peer, *HUNDRED[:SIZE], now=at(4))
    first = [f"first{i:03}" for i in range(MAX_KNOWN - SIZE)]
    hear_of(peer, first)
    assert len(peer.neighbourhood.known) == MAX_KNOWN
    hear_of(peer, [f"late{i:03}" for i in range(msg.MAX_PEERS)])
    known = set(peer.neighbourhood.known)
    assert len(known) == MAX_KNOWN
    assert {name for name in known if name.startswith("late")} == {f"late{i:03}" for i in range(MAX_NEWS)}
    assert not known & set(first[:MAX_NEWS])
    assert set(HUNDRED[:SIZE]) <= known


def test_a_peer_is_told_first_of_those_that_its_topology_names() -> None:
    ring = Ring()
    peer = a_learning_peer(topology="ring")
    many = HUNDRED
    meet(peer, *many, now=at(4))
    for one in many[:10]:
        ((_, said),) = told(msg.Peers, peer.handle(ev.Received(one, msg.encode(msg.Peers((), asks=True))), at(5)))
        names = {known.peer for known in said.peers}
        beside = set(ring.neighbours(one, dict.fromkeys(many, ""), 0))
        assert len(names) == msg.MAX_PEERS
        assert beside <= names


def test_the_same_events_have_the_same_effects() -> None:
    def life() -> list[str]:
        peer = a_learning_peer(seed=7, topology="k-out:k=2")
        effects = meet(peer, *HUNDRED[:80], now=at(4))
        effects += hear_of(peer, HUNDRED[80:])
        for epoch in range(5, 3 * TURN):
            made = tick(peer, epoch)
            for name in cut(made):
                made += peer.handle(ev.Disconnected(name), at(epoch))
            effects += [*made, *trained(peer, 0.0, now=at(epoch))]
        return [repr(effect) for effect in effects]

    assert life() == life()


# --- dialling


def test_a_dial_is_not_repeated_while_it_is_under_way_and_comes_again_by_the_timer() -> None:
    peer = a_learning_peer()
    meet(peer, "a")
    assert dialled(hear_of(peer, ["b"])) == ["b"]
    meet(peer, "c", now=at(4))
    assert peer.contacts.wants("b")
    assert not dialled(hear_of(peer, ["b"]))
    assert not dialled(tick(peer, 5))
    failed = peer.handle(ev.DialFailed("b"), at(6))
    (timer,) = only(ev.SetTimer, failed)
    assert timer.timer == ("redial", "b")
    assert not dialled(failed)
    assert not dialled(tick(peer, 6)), "its time has not come"
    assert only(ev.Dial, peer.handle(ev.TimerFired(timer.timer), at(7))) == [ev.Dial("b", ("at b",))]
    assert not dialled(tick(peer, 7))
    meet(peer, "b", now=at(8))
    assert not dialled(tick(peer, 8))
    (timer,) = only(ev.SetTimer, peer.handle(ev.Disconnected("b"), at(9)))
    assert not dialled(tick(peer, 9))
    assert dialled(peer.handle(ev.TimerFired(timer.timer), at(10))) == ["b"]


def test_a_link_that_came_the_other_way_ends_the_dialling() -> None:
    peer = a_learning_peer()
    meet(peer, "a")
    hear_of(peer, ["b"])
    meet(peer, "b", now=at(5))
    assert not peer.handle(ev.DialFailed("b"), at(5))
    assert not dialled(tick(peer, 6))
    (timer,) = only(ev.SetTimer, peer.handle(ev.Disconnected("b"), at(7)))
    assert dialled(peer.handle(ev.TimerFired(timer.timer), at(8))) == ["b"], "it may be dialled as ever"


# --- whom to ask for a snapshot


def asked(effects: list[ev.Effect]) -> list[str]:
    return sorted(to for to, _ in told(msg.NeedSnapshot, effects))


def test_snapshots_are_asked_only_of_those_who_are_ahead() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    effects = meet(peer, "old1", "old2", age=1000.0) + meet(peer, "new", age=0.0)
    assert not asked(effects), "perhaps there is a third"
    assert asked(peer.handle(ev.TimerFired(JOIN), PATIENCE)) == ["old1", "old2"]
    peer.handle(
        ev.Received("old1", msg.encode(msg.Goodbye(leaves=True))), PATIENCE
    )  # it is answered by the other alone
    effects = peer.handle(ev.Received("old2", snapshot(peer, full_of(0.6))), PATIENCE + 1)
    assert only(ev.Joined, effects) == [ev.Joined(("old2",))]


def test_three_who_are_ahead_are_asked_at_once_and_the_one_beside_them_is_not() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, "new", age=0.0)
    assert asked(meet(peer, "old1", "old2", "old3", age=1000.0)) == ["old1", "old2", "old3"]


def test_a_snapshot_of_one_who_was_not_asked_is_left_aside() -> None:
    peer = a_peer()
    peer.handle(ev.Started(), 0.0)
    meet(peer, "old1", "old2", age=1000.0)
    meet(peer, "new", age=0.0)
    peer.handle(ev.TimerFired(JOIN), PATIENCE)
    assert not peer.handle(ev.Received("new", snapshot(peer, full_of(9.0))), PATIENCE)
    peer.handle(ev.Received("old1", snapshot(peer, full_of(0.6))), PATIENCE)
    effects = peer.handle(ev.Received("old2", snapshot(peer, full_of(0.6))), PATIENCE)
    (joined,) = only(ev.Joined, effects)
    assert sorted(joined.sources) == ["old1", "old2"]


def test_two_that_restart_at_the_same_moment_do_not_wait_for_each_other() -> None:
    peers = [
        a_peer(me=name, seed=i, addresses=(name,), bootstrap={"old1": ("x",)})
        for i, name in enumerate(["old1", "old2", "new1", "new2"])
    ]
    old, new, room = peers[:2], peers[2:], Room(*peers)
    for peer in old:
        room.happen(peer.me, ev.Started())
    for peer in old:
        room.happen(peer.me, ev.TimerFired(JOIN), PATIENCE)
    for turn in range(30):
        for peer in old:
            assert peer._training is not None
            room.happen(peer.me, ev.Trained(peer._training, full_of(0.01), 20), 10.0 + turn)
            room.happen(peer.me, ev.TimerFired(PUBLISH), 10.5 + turn)
    for peer in new:
        room.happen(peer.me, ev.Started(), 50.0)
    assert [len(peer.neighbourhood.live()) for peer in peers] == [3] * 4
    for peer in new:
        room.happen(peer.me, ev.TimerFired(JOIN), 50.0 + PATIENCE)
    for peer in new:
        assert sorted(room.joined()[peer.me]) == ["old1", "old2"]
        assert peer.replica.age > 300


def test_invented_names_do_not_leave_a_node_with_few_recipients() -> None:
    """Names that nobody answers to may fill the sample of contacts; the publishes still go to all who live."""
    peer = a_learning_peer(topology="k-out:k=2")
    friends = [f"friend{i}" for i in range(20)]
    meet(peer, *friends, now=at(4))
    hear_of(peer, [f"nobody{i:03}" for i in range(200)])
    seen = set[str]()
    for epoch in range(5, 5 + 6 * TURN):
        tick(peer, epoch)
        seen |= published(peer, epoch)
    assert seen == set(friends)


def test_the_only_known_way_back_is_dialled_again_when_all_links_are_gone() -> None:
    peer = a_peer(bootstrap={"boot": ("at boot",)})
    peer.handle(ev.Started(), 0.0)
    peer.handle(ev.TimerFired(JOIN), PATIENCE)
    crowd = [f"crowd{i}" for i in range(SIZE)]
    for name in crowd:
        peer.handle(ev.Connected(name), at(4))
    peer.handle(ev.DialFailed("boot"), at(4))
    peer.handle(ev.TimerFired(("redial", "boot")), at(5))
    for name in crowd:
        peer.handle(ev.Disconnected(name), at(6))
    assert dialled(tick(peer, 7)) == ["boot"]


def test_peer_exchange_goes_to_any_live_peer_over_a_ring_as_well() -> None:
    peer = a_learning_peer(topology="ring")
    meet(peer, *(f"p{i}" for i in range(12)), now=at(4))
    told_to = set[str]()
    for epoch in range(5, 5 + 30 * INTRODUCE_EVERY):
        effects = tick(peer, epoch) + trained(peer, at(epoch))
        told_to |= {to for to, _ in told(msg.Peers, effects)}
    assert len(told_to) > 6
