"""What a device keeps of its mesh: it outlives the process, nobody else can read it, and an invitation is good once."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from gossipfl.errors import LocalError
from gossipfl.membership.charter import Charter
from gossipfl_nodes.disk import trust as trusts
from gossipfl_nodes.disk.trust import Trust, found, is_alone, load_key, settle
from tests.gossipfl.builders import Device

FOUNDER = Device(1)
ADMIN, MEMBER = FOUNDER.welcome(2, admin=True), FOUNDER.welcome(3)
MESH = FOUNDER.mesh
NOW, HOUR = 1.8e9, 3600.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of the founder."""
    found(tmp_path / "trust.json", tmp_path / "mesh.key", FOUNDER.id)
    return tmp_path / "trust.json"


def opened(file: Path, device: Device = FOUNDER) -> Trust:
    return Trust(file, device.id, MESH)


def test_a_mesh_that_was_founded_has_a_key_that_others_understand(file: Path) -> None:
    key = file.with_name("mesh.key")
    assert load_key(key).hex() in key.read_text()
    assert key.read_text().startswith("/key/swarm/psk/1.0.0/\n/base16/\n")
    assert {one.stat().st_mode & 0o777 for one in (key, file)} == {0o600}
    assert opened(file).charter == Charter(FOUNDER.id)
    assert is_alone(file)
    assert is_alone(file.with_name("none"))


def test_who_was_admitted_keeps_that_and_where_to_begin(tmp_path: Path) -> None:
    file, where = tmp_path / "trust.json", (f"/ip4/192.0.2.7/tcp/1/p2p/{FOUNDER.id}",)
    settle(file, tmp_path / "mesh.key", MEMBER.charter, bytes(32), where)
    assert opened(file, MEMBER).charter == MEMBER.charter
    assert opened(file, MEMBER).addresses == where
    assert load_key(tmp_path / "mesh.key") == bytes(32)
    assert not is_alone(file)
    with pytest.raises(LocalError, match="not of mesh"):
        opened(file, ADMIN)


def test_a_ban_is_on_disk_before_it_counts_elsewhere(file: Path) -> None:
    ban = FOUNDER.ban(MEMBER.id)
    opened(file).remember(ban)
    assert opened(file).charter.revocations == (ban,)


def test_an_invitation_is_good_for_one_device_which_may_ask_again(file: Path) -> None:
    secret = opened(file).invite(NOW, HOUR, admin=False)
    assert secret not in file.read_bytes()
    for _ in range(2):  # its first answer may have been lost
        charter = opened(file).redeem(secret, MEMBER.id, NOW + 1, FOUNDER.sign)
        assert Device(3, charter).members.objection(MEMBER.id, charter.credential) is None
    with pytest.raises(LocalError, match="used by another"):
        opened(file).redeem(secret, ADMIN.id, NOW + 1, FOUNDER.sign)


def test_an_invitation_of_an_admin_makes_one(file: Path) -> None:
    secret = opened(file).invite(NOW, HOUR, admin=True)
    assert opened(file).redeem(secret, ADMIN.id, NOW, FOUNDER.sign).credential[-1].admin


@pytest.mark.parametrize(("after", "secret"), [(HOUR, None), (HOUR + 1, None), (1, bytes(32)), (1, b"")])
def test_an_invitation_that_is_over_or_was_never_made_is_none(file: Path, after: float, secret: bytes | None) -> None:
    made = opened(file).invite(NOW, HOUR, admin=False)
    with pytest.raises(LocalError, match=r"no such invitation|has expired"):
        opened(file).redeem(made if secret is None else secret, MEMBER.id, NOW + after, FOUNDER.sign)


def test_who_was_banned_is_not_let_in_by_an_old_invitation(file: Path) -> None:
    trust = opened(file)
    secret = trust.invite(NOW, HOUR, admin=False)
    trust.redeem(secret, MEMBER.id, NOW, FOUNDER.sign)
    trust.remember(FOUNDER.ban(MEMBER.id))
    with pytest.raises(LocalError, match="was banned"):
        trust.redeem(secret, MEMBER.id, NOW, FOUNDER.sign)


def test_members_invite_nobody_and_invitations_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trusts, "MAX_INVITATIONS", 2)
    for device, ask in ((MEMBER, False), (ADMIN, True)):
        settle(tmp_path / "trust.json", tmp_path / "mesh.key", device.charter, bytes(32))
        with pytest.raises(LocalError, match="admin"):
            opened(tmp_path / "trust.json", device).invite(NOW, HOUR, admin=ask)
    trust = opened(tmp_path / "trust.json", ADMIN)
    for _ in range(2):
        trust.invite(NOW, HOUR, admin=False)
    with pytest.raises(LocalError, match="2 invitations are open"):
        trust.invite(NOW, HOUR, admin=False)
    trust.invite(NOW + HOUR, HOUR, admin=False)  # the old ones are over


def test_what_others_can_read_or_nobody_is_refused_by_name(file: Path) -> None:
    for path, read in (
        (file, lambda: opened(file)),
        (file.with_name("mesh.key"), lambda: load_key(file.with_name("mesh.key"))),
    ):
        content = path.read_bytes()
        path.chmod(0o644)
        with pytest.raises(LocalError, match=f"{path}: mode 0644 .* chmod 600"):
            read()
        path.chmod(0o600)
        for damaged in (b"", content[:-9], b"\xff\0", b"[]"):
            path.write_bytes(damaged)
            with pytest.raises(LocalError, match=str(path)):
                read()
        path.unlink()
        with pytest.raises(LocalError, match=f"{path}: not there.*gossipfl join"):
            read()
        path.write_bytes(content)
        path.chmod(0o600)


def test_a_newer_format_is_left_as_it_is(file: Path) -> None:
    kept = msgspec.json.decode(file.read_bytes()) | {"format": 2}
    file.write_bytes(content := msgspec.json.encode(kept))
    with pytest.raises(LocalError, match="format 2"):
        opened(file)
    assert file.read_bytes() == content


def test_a_full_disk_makes_no_invitation(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trust, before = opened(file), file.read_bytes()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(LocalError, match="No space left"):
        trust.invite(NOW, HOUR, admin=False)
    monkeypatch.undo()
    assert file.read_bytes() == before
