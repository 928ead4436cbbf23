"""Admission: a stranger hears nothing and changes nothing; members meet; who is banned is gone, and stays so."""

from __future__ import annotations

import random

import msgspec
import pytest

from gossipfl.errors import LocalError
from gossipfl.membership.charter import Charter
from gossipfl.protocol import events as ev
from gossipfl.protocol.peer import JOIN, Peer
from gossipfl.wire import messages as msg
from tests.gossipfl.builders import Device, Room, a_peer, hello, only, said, state, told, update

FOUNDER = Device(1)
ADMIN, MEMBER, OTHER = FOUNDER.welcome(2, admin=True), FOUNDER.welcome(3), FOUNDER.welcome(4)
STRANGER = Device(9)


def peer_of(device: Device, **options: object) -> Peer:
    return a_peer(me=device.id, charter=device.charter, **options)  # type: ignore[arg-type]


def credential(device: Device) -> bytes:
    return msg.encode(msg.Credential(device.charter.credential))


def alone(device: Device) -> Peer:
    peer = peer_of(device)
    peer.handle(ev.Started(), 0.0)
    assert only(ev.Joined, peer.handle(ev.TimerFired(JOIN), 3.0))
    return peer


def linked(peer: Peer, *devices: Device, now: float = 4.0) -> None:
    """`devices` dial `peer`."""
    for device in devices:
        peer.handle(ev.Connected(device.id), now)
        peer.handle(ev.Received(device.id, credential(device)), now)
        peer.handle(ev.Received(device.id, hello(peer)), now)
        assert device.id in peer.neighbourhood.live()


def test_a_stranger_that_dials_hears_nothing_and_changes_nothing() -> None:
    peer = alone(FOUNDER)
    before = state(peer)
    effects = peer.handle(ev.Connected(STRANGER.id), 4.0)
    for body in (
        hello(peer),
        update(peer, peer.replica.x),
        msg.encode(msg.NeedSnapshot()),
        msg.encode(msg.Peers((), True)),
    ):
        effects += peer.handle(ev.Received(STRANGER.id, body), 4.0)
    for timer in ("publish", "probe"):
        effects += peer.handle(ev.TimerFired(timer), 5.0)
    assert STRANGER.id not in [to for send in only(ev.Send, effects) for to in send.to]
    assert not only(ev.Merged, effects)
    after = state(peer)
    assert after["neighbours"] == before["neighbours"] == {}
    assert after["x"] == before["x"]


@pytest.mark.parametrize(
    "body",
    [credential(STRANGER), credential(MEMBER), b"", b"garbage", credential(FOUNDER.welcome(3))[:-1] + b"?"],
    ids=["its own mesh", "somebody else's", "empty", "garbage", "damaged"],
)
def test_a_stranger_that_shows_no_credential_of_its_own_is_cut(body: bytes) -> None:
    peer = alone(FOUNDER)
    peer.handle(ev.Connected(STRANGER.id), 4.0)
    effects = peer.handle(ev.Received(STRANGER.id, body), 4.0)
    assert [type(effect) for effect in effects] == [ev.Refused, ev.Disconnect]
    assert STRANGER.id not in peer.neighbourhood.known


def test_who_is_dialled_answers_only_after_it_has_seen_a_credential() -> None:
    peer = alone(FOUNDER)
    assert peer.handle(ev.Connected(MEMBER.id), 4.0) == []
    effects = peer.handle(ev.Received(MEMBER.id, credential(MEMBER)), 4.0)
    assert only(ev.Admitted, effects) == [ev.Admitted(MEMBER.id)]
    assert [type(message) for _, message in said(effects)] == [msg.Credential, msg.Hello]


def test_a_credential_may_be_there_before_the_link_is() -> None:
    peer = alone(FOUNDER)
    assert not said(peer.handle(ev.Received(MEMBER.id, credential(MEMBER)), 4.0))
    assert [type(message) for _, message in said(peer.handle(ev.Connected(MEMBER.id), 4.0))] == [
        msg.Credential,
        msg.Hello,
    ]


@pytest.mark.parametrize("dialled", [False, True])
def test_who_was_admitted_before_is_no_stranger_on_its_next_link(dialled: bool) -> None:  # noqa: FBT001
    peer = alone(FOUNDER)
    linked(peer, MEMBER)
    peer.handle(ev.Disconnected(MEMBER.id), 5.0)
    effects = peer.handle(ev.Connected(MEMBER.id, dialled), 6.0)
    assert only(ev.Admitted, effects) == [ev.Admitted(MEMBER.id)]
    assert [type(message) for _, message in said(effects)] == [msg.Credential, msg.Hello]


def test_who_dials_shows_its_credential_and_says_no_more_until_it_has_seen_the_others() -> None:
    peer = alone(MEMBER)
    (sent,) = said(peer.handle(ev.Connected(FOUNDER.id, dialled=True), 4.0))
    assert sent == ((FOUNDER.id,), msg.Credential(MEMBER.charter.credential))
    assert not said(peer.handle(ev.Received(FOUNDER.id, hello(peer)), 4.0))
    effects = peer.handle(ev.Received(FOUNDER.id, credential(FOUNDER)), 4.0)
    assert [type(message) for _, message in said(effects)] == [msg.Hello]


def test_a_lost_credential_is_shown_again() -> None:
    peer = alone(MEMBER)
    peer.handle(ev.Connected(FOUNDER.id, dialled=True), 4.0)
    effects = peer.handle(ev.TimerFired("publish"), 5.0)
    assert told(msg.Credential, effects) == [(FOUNDER.id, msg.Credential(MEMBER.charter.credential))]
    assert not told(msg.Hello, effects)


def test_members_meet_and_strangers_stay_out() -> None:
    devices = [FOUNDER, ADMIN, MEMBER, ADMIN.welcome(7)]
    room = Room(
        *(peer_of(device, bootstrap={FOUNDER.id: ("there",)}, addresses=(device.id,)) for device in devices),
        peer_of(STRANGER, bootstrap={FOUNDER.id: ("there",)}),
    )
    for name in room.peers:
        room.happen(name, ev.Started())
    for device in devices:
        assert set(room.peers[device.id].neighbourhood.live()) == {one.id for one in devices} - {device.id}
    assert room.peers[STRANGER.id].neighbourhood.live() == []


@pytest.mark.parametrize("by", [FOUNDER, ADMIN], ids=["founder", "admin"])
def test_a_ban_cuts_at_once_is_reported_and_passed_on(by: Device) -> None:
    peer = alone(FOUNDER)
    linked(peer, ADMIN, MEMBER, OTHER)
    revocation = by.ban(MEMBER.id)
    event = ev.Revoke(revocation) if by is FOUNDER else ev.Received(
        ADMIN.id, msg.encode(msg.Revocations((revocation,)))
    )  # fmt: skip
    effects = peer.handle(event, 5.0)
    assert only(ev.Revoked, effects) == [ev.Revoked(revocation)]
    assert only(ev.Disconnect, effects) == [ev.Disconnect(MEMBER.id, "it was banned")]
    hearers = {OTHER.id} | ({ADMIN.id} if by is FOUNDER else set())
    assert dict(told(msg.Revocations, effects)) == dict.fromkeys(hearers, msg.Revocations((revocation,)))
    assert MEMBER.id not in peer.neighbourhood.known
    again = peer.handle(ev.Received(OTHER.id, msg.encode(msg.Revocations((revocation,)))), 5.0)
    assert not again


def test_who_is_banned_is_heard_of_no_more_and_does_not_come_back() -> None:
    peer = alone(FOUNDER)
    linked(peer, MEMBER, OTHER)
    peer.handle(ev.Revoke(FOUNDER.ban(MEMBER.id)), 5.0)
    assert not peer.handle(ev.Received(MEMBER.id, update(peer, peer.replica.x)), 5.0)
    peer.handle(ev.Disconnected(MEMBER.id), 5.0)
    gossip = msg.encode(msg.Peers((msg.KnownPeer(MEMBER.id, ("there",)),), asks=False))
    assert not only(ev.Dial, peer.handle(ev.Received(OTHER.id, gossip), 5.0))
    assert not peer.handle(ev.Found(MEMBER.id, ("there",)), 5.0)
    assert not peer.handle(ev.Connected(MEMBER.id), 6.0)
    effects = peer.handle(ev.Received(MEMBER.id, credential(MEMBER)), 6.0)
    assert [type(effect) for effect in effects] == [ev.Refused, ev.Disconnect]


def test_a_dial_that_was_under_way_ends_without_a_word() -> None:
    peer = alone(FOUNDER)
    assert only(ev.Dial, peer.handle(ev.Found(MEMBER.id, ("there",)), 4.0))
    peer.handle(ev.Revoke(FOUNDER.ban(MEMBER.id)), 4.1)
    assert peer.handle(ev.Connected(MEMBER.id, dialled=True), 4.2) == [ev.Disconnect(MEMBER.id, "it was banned")]


def test_a_banned_admin_takes_along_whom_it_admitted() -> None:
    peer, of_admin = alone(FOUNDER), ADMIN.welcome(7)
    linked(peer, ADMIN, of_admin, OTHER)
    effects = peer.handle(ev.Revoke(FOUNDER.ban(ADMIN.id)), 5.0)
    assert {cut.peer for cut in only(ev.Disconnect, effects)} == {ADMIN.id, of_admin.id}
    peer.handle(ev.Disconnected(of_admin.id), 5.0)
    again = FOUNDER.admit(of_admin.id)  # and the founder may take it in again
    peer.handle(ev.Connected(of_admin.id), 6.0)
    assert only(ev.Admitted, peer.handle(ev.Received(of_admin.id, msg.encode(msg.Credential(again))), 6.0))


def test_an_admin_that_another_admin_bans_stays_and_can_come_back() -> None:
    peer, rogue = alone(FOUNDER), FOUNDER.welcome(8, admin=True)
    linked(peer, ADMIN, rogue)
    ban = msg.encode(msg.Revocations((rogue.ban(ADMIN.id),)))
    assert not only(ev.Disconnect, peer.handle(ev.Received(rogue.id, ban), 5.0))
    fresh = alone(FOUNDER)
    linked(fresh, rogue)
    fresh.handle(ev.Received(rogue.id, ban), 5.0)  # before it has ever heard of the other
    linked(fresh, ADMIN, now=6.0)


def test_false_bans_change_nothing_and_cost_their_sender() -> None:
    peer = alone(FOUNDER)
    linked(peer, MEMBER, OTHER)
    before = state(peer)
    forged = msgspec.structs.replace(FOUNDER.ban(STRANGER.id), device=OTHER.id)
    for sender, bans in ((MEMBER, (FOUNDER.ban(STRANGER.id), forged)), (MEMBER, (STRANGER.ban(OTHER.id),))):
        effects = peer.handle(ev.Received(sender.id, msg.encode(msg.Revocations(bans))), 5.0)
        assert [type(effect) for effect in effects] == [ev.Refused]
    assert state(peer) == before
    assert peer.neighbourhood.meet(MEMBER.id).strikes == 2


def test_a_ban_that_nobody_would_believe_is_the_callers_fault_and_changes_nothing() -> None:
    peer = alone(FOUNDER)
    linked(peer, MEMBER)
    before = state(peer)
    for one, ban in ((peer, STRANGER.ban(MEMBER.id)), (a_peer(), FOUNDER.ban(MEMBER.id))):
        with pytest.raises(LocalError):
            one.handle(ev.Revoke(ban), 5.0)
    assert state(peer) == before


def test_who_was_away_hears_of_bans_with_its_next_link() -> None:
    peer = alone(FOUNDER)
    peer.handle(ev.Revoke(revocation := FOUNDER.ban(MEMBER.id)), 3.5)
    peer.handle(ev.Connected(OTHER.id), 4.0)
    peer.handle(ev.Received(OTHER.id, credential(OTHER)), 4.0)
    effects = peer.handle(ev.Received(OTHER.id, hello(peer)), 4.0)
    assert told(msg.Revocations, effects) == [(OTHER.id, msg.Revocations((revocation,)))]


def test_bans_outlive_the_process() -> None:
    charter = Charter(FOUNDER.id, (), (FOUNDER.ban(MEMBER.id),))
    peer = a_peer(me=FOUNDER.id, charter=charter, bootstrap={MEMBER.id: ("there",)})
    assert not only(ev.Dial, peer.handle(ev.Started(), 0.0))
    peer.handle(ev.Connected(MEMBER.id), 1.0)
    assert only(ev.Disconnect, peer.handle(ev.Received(MEMBER.id, credential(MEMBER)), 1.0))


def test_a_peer_whose_charter_has_no_place_for_it_is_not_made() -> None:
    with pytest.raises(LocalError, match="this device is not of mesh"):
        a_peer(me=STRANGER.id, charter=Charter(FOUNDER.id, MEMBER.charter.credential))


def test_whatever_strangers_say_a_peer_survives_and_tells_them_nothing() -> None:
    rng = random.Random(5)
    peer = alone(FOUNDER)
    linked(peer, OTHER)
    bodies = [hello(peer), update(peer, peer.replica.x), credential(MEMBER), credential(STRANGER), b"", bytes(5000)]
    for _ in range(2000):
        body = bytearray(rng.choice(bodies))
        for _ in range(rng.randrange(3)):
            if body:
                body[rng.randrange(len(body))] = rng.randrange(256)
        name = rng.choice([STRANGER.id, "me", "", "ü", MEMBER.id + "x"])
        events: list[ev.Event] = [ev.Connected(name), ev.Disconnected(name), ev.Received(name, bytes(body))]
        event = rng.choice(events)
        for effect in peer.handle(event, 6.0):
            assert isinstance(effect, ev.Refused | ev.Disconnect)
    assert list(peer.neighbourhood.known) == [OTHER.id]
