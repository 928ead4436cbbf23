"""The store and files that are not its own: of another task, mesh or layout, of newer and of older versions."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gossipfl.errors import LocalError
from gossipfl.model.schema import Schema, Tensor
from gossipfl_nodes.disk import store as module
from gossipfl_nodes.disk.store import FORMAT, MAGIC, StoreError
from tests.gossipfl.builders import flat
from tests.nodes.disk.states import (
    HEAD,
    SCHEMA,
    a_state,
    a_store,
    damaged_saves,
    encoded,
    files,
    rebuilt,
    same,
    save,
)

# --- what belongs to something else

OTHERS: dict[str, dict[str, Any]] = {
    "another task": {"task": "cnn.py:make"},
    "another mesh": {"mesh": "elsewhere"},
    "another model": {"schema": flat(5)},
    "other personal values": {"schema": Schema([Tensor("body", (5,)), Tensor("head", (3,), personal=True)])},
    "other names": {"schema": Schema([Tensor("trunk", (5,)), Tensor("head", (2,), personal=True)])},
    "another order": {"schema": Schema([Tensor("head", (2,), personal=True), Tensor("body", (5,))])},
}


@pytest.mark.parametrize("other", OTHERS)
def test_what_belongs_to_something_else_is_set_aside_and_is_there_when_that_is_back(home: Path, other: str) -> None:
    save(a_store(home), a_state(1), a_state(2))
    kept = {name: (home / name).read_bytes() for name in "ab"}
    changed = a_store(home, **OTHERS[other])
    with capture_logs() as lines:
        assert changed.load() is None
    assert [line["event"] for line in lines] == ["saved state of something else is set aside"] * 2
    assert all("'t'" in line["reason"] and "'m'" in line["reason"] for line in lines)
    assert {Path(line["kept"]).name for line in lines} == files(home)
    assert sorted((home / name).read_bytes() for name in files(home)) == sorted(kept.values())

    theirs = a_state(9, schema=OTHERS[other].get("schema", SCHEMA))
    save(changed, theirs)
    assert same(a_store(home, **OTHERS[other]).load(), theirs)
    back = a_store(home)
    assert same(back.load(), a_state(2))
    save(back, a_state(3))
    assert same(a_store(home).load(), a_state(3))
    again = a_store(home, **OTHERS[other])
    assert same(again.load(), theirs)


def test_the_newest_life_of_all_is_known_whoever_s_it_was(home: Path) -> None:
    store = a_store(home, task="another")
    save(store, a_state(1, incarnation=70))
    save(store, a_state(1, incarnation=60))
    mine = a_store(home)
    assert mine.load() is None
    assert mine.incarnation == 70


def test_even_a_damaged_file_tells_of_which_life_it_was(home: Path) -> None:
    save(a_store(home), a_state(1, incarnation=70))
    (home / "a").write_bytes((home / "a").read_bytes()[:-1])
    store = a_store(home)
    assert store.load() is None
    assert store.incarnation == 70


# --- formats


def test_what_a_newer_version_wrote_is_refused_and_left_alone(home: Path) -> None:
    newer, _ = damaged_saves(home, lambda content: rebuilt(content, b"anything", version=FORMAT + 1))
    was = {name: (home / name).read_bytes() for name in files(home)}
    with pytest.raises(StoreError, match="upgrade gossipfl") as caught:
        a_store(home).load()
    assert str(home / newer) in str(caught.value)
    assert f"format {FORMAT + 1}" in str(caught.value)
    assert caught.value.exit_status == 65
    assert {name: (home / name).read_bytes() for name in files(home)} == was


def format_0(state: bytes) -> bytes:
    """As if an earlier version had known neither a served average nor personal values, and had the age in thousands."""
    (size,) = struct.unpack_from("<I", state, len(MAGIC) + 2)
    header = msgspec.msgpack.decode(state[HEAD + 4 : HEAD + 4 + size])
    del header["averaged"]
    header["age"] /= 1000
    header["sizes"] = header["sizes"][2:]
    vectors = state[HEAD + 4 + size + 4 * (5 + 2) :]
    shorter = rebuilt(state[: HEAD + 4 + size] + vectors, msgspec.msgpack.encode(header), version=0)
    assert len(shorter) < len(state)
    return shorter


def to_format_1(state: bytes) -> bytes:
    (size,) = struct.unpack_from("<I", state, len(MAGIC) + 2)
    header = msgspec.msgpack.decode(state[HEAD + 4 : HEAD + 4 + size])
    vectors = state[HEAD + 4 + size : -4]
    header |= {"averaged": 0, "age": 1000 * header["age"], "sizes": (5, 2, 5, 5)}
    x = vectors[-20:]
    whole = state[: HEAD + 4 + size] + x + bytes(8) + vectors + bytes(4)
    return rebuilt(whole, msgspec.msgpack.encode(header))


def test_what_an_older_version_wrote_is_read_and_a_copy_is_kept(home: Path) -> None:
    state = a_state(2)
    old = format_0(encoded(a_store(home), state))
    (home / "a").write_bytes(old)
    store = a_store(home, migrations={0: to_format_1})
    found = store.load()
    assert found is not None
    assert (found.model.x == state.model.x).all()
    assert (found.model.served == state.model.x).all()
    assert (found.model.personal == 0).all()
    assert (found.base == state.base).all()
    assert (found.notes, found.model.age) == (state.notes, state.model.age)
    assert (home / "a.format-0").read_bytes() == old
    assert stat.S_IMODE((home / "a.format-0").stat().st_mode) == 0o600
    assert (home / "a").read_bytes() == old, "until there is something newer"

    for number in (3, 4):
        save(store, a_state(number))
        assert same(a_store(home).load(), a_state(number))
    assert (home / "a.format-0").read_bytes() == old


def test_a_crash_before_the_first_save_of_the_new_version_costs_nothing(home: Path) -> None:
    (home / "b").write_bytes(format_0(encoded(a_store(home), a_state(2))))
    for _ in range(3):
        found = a_store(home, migrations={0: to_format_1}).load()
        assert found is not None
        assert found.notes.number == 2
    assert files(home) == {"b", "b.format-0"}


def test_several_versions_are_gone_through_one_after_the_other(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORMAT", 3)
    state = a_state(2)
    (home / "a").write_bytes(format_0(encoded(a_store(home), state)))

    def renumbered(version: int) -> Callable[[bytes], bytes]:
        def migrate(content: bytes) -> bytes:
            (size,) = struct.unpack_from("<I", content, len(MAGIC) + 2)
            return rebuilt(content, content[HEAD + 4 : HEAD + 4 + size], version=version)

        return migrate

    found = a_store(home, migrations={0: to_format_1, 1: renumbered(2), 2: renumbered(3)}).load()
    assert found is not None
    assert (found.model.x == state.model.x).all()
    with capture_logs() as lines:
        assert a_store(home, migrations={0: to_format_1, 2: renumbered(3)}).load() is None, "there is a gap"
    assert "format 0" in lines[0]["reason"]


def test_where_no_copy_can_be_kept_nothing_is_migrated(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = format_0(encoded(a_store(home), a_state(2)))
    (home / "a").write_bytes(old)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LocalError, match="No space left"):
        a_store(home, migrations={0: to_format_1}).load()
    assert (home / "a").read_bytes() == old


def test_a_damaged_file_of_an_older_version_is_set_aside_too(home: Path) -> None:
    save(a_store(home), a_state(1))
    old = format_0(encoded(a_store(home), a_state(2)))
    (home / "b").write_bytes(old[:-10] + bytes([old[-10] ^ 1]) + old[-9:])
    found = a_store(home, migrations={0: checked(to_format_1)}).load()
    assert same(found, a_state(1))


def checked(migration: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """As a migration should be: it does not make damage whole by writing a checksum of its own."""

    def migrate(content: bytes) -> bytes:
        if content[-4:] != struct.pack("<I", zlib.crc32(content[:-4])):
            raise module.Damaged("its checksum differs")
        return migration(content)

    return migrate
