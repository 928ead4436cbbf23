"""Where peers are: those that the network comes across, and this node when it moves."""

from __future__ import annotations

from gossipfl.protocol import events as ev
from gossipfl.protocol.neighbourhood import MAX_KNOWN
from gossipfl.protocol.peer import Peer
from gossipfl.wire import messages as msg
from tests.gossipfl.builders import a_learning_peer, a_peer, hello, meet, only, told


def dials(effects: list[ev.Effect]) -> list[ev.Dial]:
    return only(ev.Dial, effects)


def lost(peer: Peer, other: str, now: float = 1.0) -> None:
    """There was a link to `other`, and it ended."""
    meet(peer, other, addresses=("old",))
    peer.handle(ev.Disconnected(other), now)


# --- found


def test_whom_the_network_comes_across_is_dialled_once() -> None:
    peer = a_learning_peer()
    found = ev.Found("a", ("near",))
    assert dials(peer.handle(found, 4.0)) == [ev.Dial("a", ("near",))]
    assert dials(peer.handle(found, 4.1)) == []


def test_who_is_linked_or_is_myself_or_is_nowhere_is_not_dialled() -> None:
    peer = a_learning_peer()
    meet(peer, "a", addresses=("its own word",))
    for found in (ev.Found("a", ("near",)), ev.Found("me", ("near",)), ev.Found("b", ())):
        assert dials(peer.handle(found, 4.0)) == []
    assert peer.neighbourhood.known["a"].addresses == ("its own word",)
    assert set(peer.neighbourhood.known) == {"a"}


def test_a_lost_peer_that_is_seen_elsewhere_is_dialled_there_at_once() -> None:
    peer = a_learning_peer()
    lost(peer, "a")
    assert dials(peer.handle(ev.Found("a", ("new",)), 2.0)) == [ev.Dial("a", ("new", "old"))]


def test_a_lost_peer_that_is_seen_where_it_was_is_dialled_at_once() -> None:
    peer = a_learning_peer()
    lost(peer, "a")
    assert dials(peer.handle(ev.Found("a", ("old",)), 2.0)) == [ev.Dial("a", ("old",))]


def test_who_is_being_dialled_is_tried_where_it_was_seen_the_next_time() -> None:
    peer = a_learning_peer(bootstrap={"a": ("configured",)})
    assert dials(peer.handle(ev.Found("a", ("near",)), 4.0)) == []
    peer.handle(ev.DialFailed("a"), 5.0)
    assert dials(peer.handle(ev.TimerFired(("redial", "a")), 6.0)) == [ev.Dial("a", ("configured", "near"))]


def test_a_liar_about_places_fills_neither_a_record_nor_the_table() -> None:
    peer = a_learning_peer()
    lost(peer, "a")
    for number in range(3 * MAX_KNOWN):
        places = tuple(f"{number}.{i}" for i in range(msg.MAX_ADDRESSES + 2))
        peer.handle(ev.Found("a", places), 2.0)
        peer.handle(ev.Found(f"p{number}", places), 2.0)
    assert all(len(known.addresses) <= msg.MAX_ADDRESSES for known in peer.neighbourhood.known.values())
    assert len(peer.neighbourhood.known) == MAX_KNOWN


# --- readdressed


def test_a_node_that_moved_tells_all_that_it_is_linked_with() -> None:
    peer = a_learning_peer(addresses=("here",))
    meet(peer, "a", "b")
    peer.handle(ev.Connected("silent"), 4.0)
    hellos = told(msg.Hello, peer.handle(ev.Readdressed(("there", "too")), 5.0))
    assert sorted((to, said.addresses) for to, said in hellos) == [
        (to, ("there", "too")) for to in ("a", "b", "silent")
    ]
    (later,) = told(msg.Hello, peer.handle(ev.Connected("c"), 6.0))
    assert later[1].addresses == ("there", "too")


def test_a_greeting_from_elsewhere_on_a_living_link_changes_where_its_sender_is_and_nothing_else() -> None:
    peer = a_learning_peer()
    meet(peer, "a", "b", addresses=("here",))
    effects = peer.handle(ev.Received("a", hello(peer, addresses=("there",))), 5.0)
    assert effects == []
    assert peer.neighbourhood.live() == ["a", "b"]
    ((_, peers),) = told(msg.Peers, meet(peer, "c", addresses=("c",)))
    assert {known.peer: known.addresses for known in peers.peers} == {"a": ("there",), "b": ("here",)}


def test_a_node_that_moved_tries_again_at_once_those_who_did_not_answer() -> None:
    peer = a_learning_peer()
    lost(peer, "a")
    assert dials(peer.handle(ev.Readdressed(("there",)), 2.0)) == [ev.Dial("a", ("old",))]


def test_more_addresses_than_a_hello_may_carry_are_not_told() -> None:
    peer = a_peer()
    meet(peer, "a")
    many = tuple(f"place {i}" for i in range(msg.MAX_ADDRESSES + 5))
    ((_, hello_again),) = told(msg.Hello, peer.handle(ev.Readdressed(many), 1.0))
    assert hello_again.addresses == many[: msg.MAX_ADDRESSES]
