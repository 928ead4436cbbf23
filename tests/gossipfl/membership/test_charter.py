"""Charters: who signed what for whom decides who is of a mesh; nobody else's word counts, and no bit may differ."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import LocalError, RemoteError
from gossipfl.membership import charter as charters
from gossipfl.membership.charter import Admission, Charter, Credential, Members, Revocation
from gossipfl.membership.ids import is_id, signed_by
from gossipfl.protocol.settings import Settings
from tests.gossipfl.builders import Device

FOUNDER = Device(1)
ADMIN, OTHER_ADMIN = FOUNDER.welcome(2, admin=True), FOUNDER.welcome(3, admin=True)
MEMBER, OF_ADMIN = FOUNDER.welcome(4), ADMIN.welcome(5)
STRANGER = Device(6)
MESH = Settings().mesh


def members(*revocations: Revocation) -> Members:
    return Members(FOUNDER.id, MESH, Charter(FOUNDER.id, (), revocations))


@pytest.mark.parametrize("device", [FOUNDER, ADMIN, MEMBER, OF_ADMIN], ids=["founder", "admin", "member", "of admin"])
def test_who_was_admitted_is_a_member_everywhere(device: Device) -> None:
    for at in (FOUNDER, ADMIN, MEMBER, OF_ADMIN):
        assert at.members.objection(device.id, device.charter.credential) is None


_BY_MEMBER = Admission(STRANGER.id, MEMBER.id, admin=False, signature=MEMBER.sign(b""))
_SELF_MADE = STRANGER.admit(Device(7).id)
_OF_ADMIN, _ELSEWHERE = ADMIN.admit(OF_ADMIN.id), Device(1, mesh="another").admit(MEMBER.id)


@pytest.mark.parametrize(
    ("device", "credential", "reason"),
    [
        (STRANGER, (), "it shows no admission"),
        (STRANGER, MEMBER.charter.credential, "it shows an admission of"),
        (FOUNDER, MEMBER.charter.credential, "it shows an admission of"),
        (Device(7), _SELF_MADE, "can't admit"),
        (STRANGER, (*MEMBER.charter.credential, _BY_MEMBER), "can't admit"),
        (OF_ADMIN, _OF_ADMIN[1:], "can't admit"),
        (OF_ADMIN, _OF_ADMIN[::-1], "can't admit"),
        (ADMIN, _OF_ADMIN[:1] * 2, "can't admit"),
        (MEMBER, _ELSEWHERE, "has not signed"),
        (MEMBER, (msgspec.structs.replace(MEMBER.charter.credential[0], admin=True),), "has not signed"),
        (OF_ADMIN, (_OF_ADMIN[0], msgspec.structs.replace(_OF_ADMIN[1], admin=True)), "has not signed"),
    ],
)
def test_whoever_else_is_none(device: Device, credential: Credential, reason: str) -> None:
    objection = members().objection(device.id, credential)
    assert objection is not None
    assert reason in objection


def test_an_admin_makes_no_admins_even_if_it_signs_that() -> None:
    statement = ADMIN.members._statement("admission", STRANGER.id, admin=True)
    forged = (*ADMIN.charter.credential, Admission(STRANGER.id, ADMIN.id, admin=True, signature=ADMIN.sign(statement)))
    assert members().objection(STRANGER.id, forged) == "only the founder of a mesh makes admins"


@given(st.integers(0, 63), st.integers(0, 7), st.sampled_from([MEMBER, OF_ADMIN]), st.integers(0, 1))
def test_a_signature_with_another_bit_is_none(byte: int, bit: int, device: Device, of: int) -> None:
    credential = list(device.charter.credential)
    which = min(of, len(credential) - 1)
    changed = bytearray(credential[which].signature)
    changed[byte] ^= 1 << bit
    credential[which] = msgspec.structs.replace(credential[which], signature=bytes(changed))
    assert members().objection(device.id, tuple(credential)) is not None


# --- bans


@pytest.mark.parametrize("by", [FOUNDER, ADMIN], ids=["founder", "admin"])
@pytest.mark.parametrize("device", [MEMBER, OF_ADMIN], ids=["member", "of admin"])
def test_who_is_banned_is_none_any_more(by: Device, device: Device) -> None:
    here = members()
    news = here.news([by.ban(device.id)])
    assert here.objection(device.id, device.charter.credential) is None  # not yet
    here.add(news)
    assert here.objection(device.id, device.charter.credential) == f"{device.id} was banned by {by.id}"
    assert here.news([by.ban(device.id)]) == []
    assert here.revocations == tuple(news)


def test_a_banned_admin_takes_along_whom_it_admitted_and_what_it_said() -> None:
    here = members(ADMIN.ban(MEMBER.id))
    assert here.objection(MEMBER.id, MEMBER.charter.credential) is not None
    here.add(here.news([FOUNDER.ban(ADMIN.id)]))
    assert here.objection(ADMIN.id, ADMIN.charter.credential) is not None
    assert here.objection(OF_ADMIN.id, OF_ADMIN.charter.credential) == f"{ADMIN.id} was banned by {FOUNDER.id}"
    assert here.objection(MEMBER.id, MEMBER.charter.credential) is None
    with pytest.raises(RemoteError, match="can't ban"):
        here.news([ADMIN.ban(MEMBER.id)])
    assert here.objection(OF_ADMIN.id, FOUNDER.admit(OF_ADMIN.id)) is None  # somebody else's word still counts


def test_an_admin_can_ban_neither_an_admin_nor_the_founder() -> None:
    here = members(ADMIN.ban(OTHER_ADMIN.id))
    assert here.objection(OTHER_ADMIN.id, OTHER_ADMIN.charter.credential) is None
    assert here.objection(OTHER_ADMIN.id, ADMIN.admit(OTHER_ADMIN.id)) is not None  # as a plain member it is banned
    signature = ADMIN.sign(ADMIN.members._statement("ban", FOUNDER.id, admin=False))
    with pytest.raises(RemoteError, match="founder of a mesh can't be banned"):
        here.news([Revocation(FOUNDER.id, ADMIN.id, ADMIN.charter.credential, signature)])


def test_the_founders_ban_replaces_that_of_an_admin() -> None:
    here = members(ADMIN.ban(MEMBER.id))
    here.add(here.news([FOUNDER.ban(MEMBER.id)]))
    assert [one.by for one in here.revocations] == [FOUNDER.id]
    assert here.news([ADMIN.ban(MEMBER.id)]) == []


def _by_member() -> Revocation:
    signature = MEMBER.sign(MEMBER.members._statement("ban", OF_ADMIN.id, admin=False))
    return Revocation(OF_ADMIN.id, MEMBER.id, MEMBER.charter.credential, signature)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (_by_member, "no admin"),
        (lambda: STRANGER.ban(MEMBER.id), "can't ban"),
        (lambda: msgspec.structs.replace(FOUNDER.ban(MEMBER.id), device=OF_ADMIN.id), "has not signed"),
        (lambda: msgspec.structs.replace(ADMIN.ban(MEMBER.id), by=FOUNDER.id), "can't ban"),
        (lambda: Device(1, mesh="another").ban(MEMBER.id), "has not signed"),
    ],
)
def test_a_ban_by_whoever_may_not_is_refused(made: Callable[[], Revocation], reason: str) -> None:
    with pytest.raises(RemoteError, match=reason):
        members().news([FOUNDER.ban(STRANGER.id), made()])


def test_bans_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charters, "MAX_REVOCATIONS", 2)
    here = members(FOUNDER.ban("one"), FOUNDER.ban("two"))
    with pytest.raises(RemoteError, match="has banned 2 devices already"):
        here.news([FOUNDER.ban("three")])
    with pytest.raises(LocalError, match="has banned 2 devices already"):
        here.revoke("three", FOUNDER.id, FOUNDER.sign)


# --- what users ask for


def test_a_charter_must_admit_its_own_device() -> None:
    with pytest.raises(LocalError, match=f"not of mesh '{MESH}': it shows no admission"):
        Members(STRANGER.id, MESH, Charter(FOUNDER.id))
    with pytest.raises(LocalError, match="a ban that was kept does not count"):
        members(STRANGER.ban(MEMBER.id))


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda: MEMBER.admit(STRANGER.id), "no admin"),
        (lambda: OF_ADMIN.ban(STRANGER.id), "no admin"),
        (lambda: ADMIN.admit(STRANGER.id, admin=True), "only the founder"),
        (lambda: ADMIN.admit(FOUNDER.id), "founded the mesh"),
        (lambda: ADMIN.ban(FOUNDER.id), "can't be banned"),
        (lambda: ADMIN.ban(ADMIN.id), "this device"),
        (
            lambda: ADMIN.members.revoke(OTHER_ADMIN.id, ADMIN.id, ADMIN.sign, OTHER_ADMIN.charter.credential),
            "only the founder can ban",
        ),
        (lambda: members(FOUNDER.ban(MEMBER.id)).admit(MEMBER.id, FOUNDER.id, FOUNDER.sign), "was banned by"),
    ],
)
def test_what_can_not_be_said_is_refused_to_the_user(ask: Callable[[], object], reason: str) -> None:
    with pytest.raises(LocalError, match=reason):
        ask()


# --- ids


@pytest.mark.parametrize(
    "text", ["", "me", "0" * 52, FOUNDER.id[:-1], FOUNDER.id + "1", "1" + FOUNDER.id, "ü", "1" * 500]
)
def test_what_is_no_id_signs_nothing(text: str) -> None:
    assert not is_id(text)
    assert not signed_by(text, b"x", FOUNDER.sign(b"x"))
    assert is_id(FOUNDER.id)
    assert signed_by(FOUNDER.id, b"x", FOUNDER.sign(b"x"))
