"""The neighbourhood: bounded, in order, and patient with those who don't answer."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.protocol.neighbour import MAX_SEQ_JUMP, Link, Neighbour
from gossipfl.protocol.neighbourhood import FORGET_AFTER, MAX_KNOWN, REDIAL_FIRST, REDIAL_LAST, Neighbourhood
from gossipfl.wire.messages import MAX_ADDRESSES, MAX_PEERS

RNG = random.Random(0)


def greeted(hood: Neighbourhood, peer: str) -> Neighbour:
    hood.set_link(peer, Link.UP)
    hood.set_greeted(peer, greeted=True)
    hood.locate(peer, (f"at {peer}",))
    neighbour = hood.meet(peer)
    neighbour.spoke = True
    return neighbour


@pytest.mark.parametrize(
    ("known", "version", "accepted"),
    [
        ((1, 5), (1, 6), True),
        ((1, 5), (1, 5), False),
        ((1, 5), (1, 4), False),
        ((1, 5), (2, 1), True),
        ((2, 1), (1, 6), False),
        ((1, 5), (1, 5 + MAX_SEQ_JUMP), True),
        ((1, 5), (1, 6 + MAX_SEQ_JUMP), False),
        ((1, 5000), (2, MAX_SEQ_JUMP), True),
        ((1, 5000), (2, MAX_SEQ_JUMP + 1), False),
        ((0, 0), (0, 0), False),
        ((0, 0), (0, 1), True),
    ],
)
def test_a_version_is_accepted_when_it_is_the_next(
    known: tuple[int, int], version: tuple[int, int], *, accepted: bool
) -> None:
    neighbour = Neighbour()
    neighbour.spoke = True
    neighbour.incarnation, neighbour.seq = known
    assert (neighbour.accepts(*version) is None) == accepted


def test_hearsay_can_not_fill_the_table_beyond_its_bound() -> None:
    hood = Neighbourhood("me")
    assert all(hood.hear_of(f"p{i}", ("x",)) for i in range(2 * MAX_KNOWN))
    assert list(hood.known) == [f"p{i}" for i in range(MAX_KNOWN, 2 * MAX_KNOWN)], "who was heard of first makes room"
    for i in range(MAX_KNOWN, 2 * MAX_KNOWN):
        hood.meet(f"p{i}")
    assert not hood.hear_of("one more", ("x",)), "hearsay replaces nobody that there was contact with"


def test_who_is_linked_or_configured_is_not_forgotten_for_strangers() -> None:
    hood = Neighbourhood("me")
    hood.configure("bootstrap", ("x",))
    greeted(hood, "friend")
    for i in range(3 * MAX_KNOWN):
        hood.meet(f"stranger {i}")
        assert len(hood.known) <= MAX_KNOWN
    assert {"bootstrap", "friend"} <= hood.known.keys()


@pytest.mark.parametrize(
    ("peer", "addresses", "news"),
    [("new", ("x",), True), ("new", (), False), ("me", ("x",), False), ("friend", ("x",), False)],
)
def test_only_news_is_worth_dialling(peer: str, addresses: tuple[str, ...], *, news: bool) -> None:
    hood = Neighbourhood("me")
    greeted(hood, "friend")
    assert hood.hear_of(peer, addresses) == news
    assert "me" not in hood.known
    assert hood.known["friend"].addresses == ("at friend",)


def test_addresses_are_bounded() -> None:
    hood = Neighbourhood("me")
    hood.hear_of("a", tuple("123456789abc"))
    assert len(hood.known["a"].reachable) == MAX_ADDRESSES


def test_configured_addresses_are_dialled_first_and_outlive_what_the_peer_says() -> None:
    hood = Neighbourhood("me")
    hood.configure("a", ("x", "y"))
    hood.locate("a", ("z", "x"))
    assert hood.known["a"].reachable == ("x", "y", "z")
    hood.locate("a", ())
    assert hood.wants_link("a")
    assert hood.redial_delay("a", RNG) is not None


def test_i_do_not_configure_myself() -> None:
    hood = Neighbourhood("me")
    hood.configure("me", ("x",))
    assert not hood.known


def test_only_the_live_are_introduced_and_not_to_themselves() -> None:
    hood = Neighbourhood("me")
    for peer in "abc":
        greeted(hood, peer)
    hood.meet("silent")
    greeted(hood, "nowhere")
    hood.locate("nowhere", ())
    assert {known.peer for known in hood.introduce("a", (), RNG)} == {"b", "c"}
    assert {known.peer for known in hood.introduce("silent", (), RNG)} == {"a", "b", "c"}


def test_an_introduction_fits_in_a_message() -> None:
    hood = Neighbourhood("me")
    for i in range(200):
        greeted(hood, f"p{i}")
    first = [f"p{i}" for i in range(MAX_KNOWN + 72 - 40, 200)]
    for _ in range(20):
        told = [known.peer for known in hood.introduce("p0", first, RNG)]
        assert len(told) == MAX_PEERS
        assert set(first) <= set(told)


def test_a_link_is_wanted_with_whom_there_is_none_nor_a_dial_under_way() -> None:
    hood = Neighbourhood("me")
    assert not hood.wants_link("nobody")
    hood.hear_of("p", ("x",))
    assert hood.wants_link("p")
    for link in (Link.WAITING, Link.DIALLING, Link.UP):
        hood.set_link("p", link)
        assert not hood.wants_link("p")
    assert list(hood.links) == ["p"]
    hood.set_link("p", Link.NONE)
    assert hood.wants_link("p")


def test_redials_come_ever_later_up_to_a_limit() -> None:
    hood = Neighbourhood("me")
    greeted(hood, "a")
    hood.set_link("a", Link.NONE)
    for attempt in range(40):
        delay = hood.redial_delay("a", RNG)
        assert delay is not None
        usual = min(REDIAL_LAST, REDIAL_FIRST * 2**attempt)
        assert 0.75 * usual <= delay <= 1.25 * usual


@pytest.mark.parametrize("kind", ["hearsay", "configured", "spoke"])
def test_hearsay_is_forgotten_after_enough_dials_and_nobody_else(kind: str) -> None:
    hood = Neighbourhood("me")
    if kind == "configured":
        hood.configure("a", ("x",))
    else:
        hood.hear_of("a", ("x",))
        hood.meet("a").spoke = kind == "spoke"
    delays = [hood.redial_delay("a", RNG) for _ in range(FORGET_AFTER + 1)]
    assert None not in delays[:-1]
    assert (delays[-1] is None) == (kind == "hearsay")
    assert ("a" not in hood.known) == (kind == "hearsay")


def test_who_is_linked_is_not_redialled() -> None:
    hood = Neighbourhood("me")
    greeted(hood, "a")
    assert hood.redial_delay("a", RNG) is None
    assert hood.meet("a").failed_dials == 0


def test_without_an_address_nobody_is_redialled() -> None:
    hood = Neighbourhood("me")
    hood.meet("a")
    assert hood.redial_delay("a", RNG) is None
    assert hood.redial_delay("nobody", RNG) is None


@given(st.lists(st.tuples(st.sampled_from(["meet", "hear", "configure", "redial"]), st.integers(0, 600)), max_size=600))
def test_whatever_happens_the_table_is_bounded(events: list[tuple[str, int]]) -> None:
    hood, rng = Neighbourhood("p0"), random.Random(0)
    for what, i in events:
        match what:
            case "meet":
                hood.meet(f"p{i}")
            case "hear":
                hood.hear_of(f"p{i}", ("x",))
            case "configure":
                hood.configure(f"p{i}", ("x",))
            case _:
                hood.redial_delay(f"p{i}", rng)
        assert len(hood.known) <= MAX_KNOWN
