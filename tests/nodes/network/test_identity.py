"""The device's key: libp2p's own format and id, for its owner's eyes only, and never overwritten."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.identity_utils import load_identity, save_identity
from libp2p.peer.id import ID

from gossipfl.errors import LocalError
from gossipfl_nodes.network import identity


def test_a_new_key_is_libp2p_s_own_file_and_its_id_is_libp2p_s_own_id(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    made = identity.create(path)
    theirs = load_identity(str(path))
    assert made == str(ID.from_pubkey(theirs.public_key)) == identity.id_of(path)
    assert made.startswith("12D3KooW")
    assert identity.load(path) == theirs.private_key.to_bytes()


@pytest.mark.parametrize("seed", [bytes(32), bytes(range(32)), b"\xff" * 32])
def test_a_key_that_libp2p_saved_is_read_and_named_as_libp2p_does(tmp_path: Path, seed: bytes) -> None:
    path = tmp_path / "identity.key"
    pair = create_new_key_pair(seed)
    save_identity(pair, str(path))
    assert identity.load(path) == seed
    assert identity.id_of(path) == str(ID.from_pubkey(pair.public_key))


def test_two_keys_are_never_the_same(tmp_path: Path) -> None:
    assert len({identity.create(tmp_path / str(number)) for number in range(20)}) == 20


def test_only_the_owner_can_read_a_new_key_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        identity.create(tmp_path / "identity.key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "identity.key").stat().st_mode) == 0o600


def test_a_key_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    identity.create(path)
    content = path.read_bytes()
    with pytest.raises(LocalError, match="never overwritten") as caught:
        identity.create(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
def test_a_key_that_others_can_get_at_is_refused_with_the_command_that_mends_it(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "identity.key"
    identity.create(path)
    path.chmod(mode)
    with pytest.raises(LocalError) as caught:
        identity.load(path)
    assert f"{mode:04o}" in str(caught.value)
    assert f"chmod 600 {path}" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"\x08\x01\x12\x20",
        b"\x08\x01\x12\x20" + bytes(31),
        b"\x08\x01\x12\x20" + bytes(33),
        b"\x08\x02\x12\x20" + bytes(32),
    ],
)
def test_a_file_that_is_no_key_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    path.chmod(0o600)
    for read in (identity.load, identity.id_of):
        with pytest.raises(LocalError, match="not an Ed25519 key") as caught:
            read(path)
        assert str(path) in str(caught.value)


def test_a_missing_key_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="gossipfl init") as caught:
        identity.load(tmp_path / "identity.key")
    assert str(tmp_path / "identity.key") in str(caught.value)


def test_a_folder_in_the_key_s_place_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    path.mkdir(mode=0o700)
    with pytest.raises(LocalError, match=str(path)):
        identity.load(path)
