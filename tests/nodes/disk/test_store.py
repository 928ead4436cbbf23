"""The store: what was saved comes back to the last bit, or else the save before it; no file is taken for another."""

from __future__ import annotations

import builtins
import itertools
import os
import re
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gossipfl.errors import LocalError
from gossipfl.kernels.numpy import PIECE
from gossipfl.model.schema import Schema
from gossipfl_nodes.disk.store import MAGIC, StoreError
from tests.gossipfl.builders import flat, full_of
from tests.nodes.disk.states import (
    HEAD,
    PEERS,
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

# --- round trips


@pytest.mark.parametrize(
    "schema", [SCHEMA, flat(1), flat(2 * PIECE + 1)], ids=["with personal values", "one parameter", "many"]
)
def test_what_was_saved_comes_back_to_the_last_bit(home: Path, schema: Schema) -> None:
    state = a_state(schema=schema)
    save(a_store(home, schema=schema), state)
    found = a_store(home, schema=schema).load()
    assert same(found, state)
    assert found is not None
    assert found.notes.peers == PEERS
    assert not found.base.flags.writeable, "so that it needs no copy"


def test_where_nothing_was_saved_nothing_is_found_and_nothing_is_wrong(home: Path) -> None:
    with capture_logs() as lines:
        assert a_store(home).load() is None
        assert a_store(home / "nowhere").load() is None
    assert not lines


def test_two_files_are_written_in_turn_and_the_newer_one_counts(home: Path) -> None:
    store, times = a_store(home), []
    assert store.load() is None
    for number in range(1, 8):
        save(store, a_state(number))
        assert same(a_store(home).load(), a_state(number))
        times.append({name: (home / name).read_bytes() for name in files(home)})
    assert all(len(one) == min(2, number) for number, one in enumerate(times, 1))
    changes = (sum(one[name] != other[name] for name in "ab") for one, other in itertools.pairwise(times[1:]))
    assert set(changes) == {1}


def test_the_next_life_writes_over_the_older_one(home: Path) -> None:
    for life in range(1, 6):
        store = a_store(home)
        store.load()
        save(store, a_state(1, incarnation=life))
        assert same(a_store(home).load(), a_state(1, incarnation=life))
    survivor = next(name for name in "ab" if encoded(store, a_state(1, incarnation=4)) == (home / name).read_bytes())
    (home / ("b" if survivor == "a" else "a")).unlink()
    assert same(a_store(home).load(), a_state(1, incarnation=4))


def test_a_later_life_counts_more_than_a_larger_number(home: Path) -> None:
    save(a_store(home), a_state(900, incarnation=1), a_state(1, incarnation=2))
    assert same(a_store(home).load(), a_state(1, incarnation=2))


def test_what_is_saved_is_for_this_user_only(home: Path) -> None:
    mask = os.umask(0)
    try:
        save(a_store(home), a_state(1), a_state(2))
    finally:
        os.umask(mask)
    assert {stat.S_IMODE((home / name).stat().st_mode) for name in "ab"} == {0o600}


def test_an_encoded_vector_is_let_go_of_when_the_next_one_is_asked_for() -> None:
    """Else a large model would be held, and so copied by the peer, as long as the disk takes."""
    import weakref

    state = a_state(schema=flat(10_000))
    held = [weakref.ref(vector) for vector in (state.model.served, state.base, state.model.x)]
    store = a_store(Path("/nonexistent"), schema=flat(10_000))
    chunks = store.encode(state)
    del state
    seen = []
    for chunk in chunks:
        seen.append((len(chunk), [one() is not None for one in held]))
        del chunk
    assert [alive for size, alive in seen if size == 40_000] == [
        [True, True, True], [False, True, True], [False, False, True],
    ]  # fmt: skip
    assert not any(one() is not None for one in held)


# --- damage

LENGTH = len(encoded(a_store(Path()), a_state(2)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 8 * LENGTH - 1), min_size=1, max_size=4, unique=True))
def test_flipped_bits_are_seen_and_the_other_file_wins(home: Path, bits: list[int]) -> None:
    def flip(content: bytes) -> bytes:
        changed = bytearray(content)
        for bit in bits:
            changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    newer, _ = damaged_saves(home, flip)
    assert same(a_store(home).load(), a_state(1))
    assert (home / f"{newer}.bad").read_bytes() == flip(encoded(a_store(home), a_state(2))), "kept as it was"


def test_every_flipped_bit_of_what_comes_first_is_seen(home: Path) -> None:
    for bit in range(8 * (HEAD + 4)):
        damaged_saves(home, lambda content, bit=bit: bytes(  # type: ignore[misc]
            byte ^ (1 << bit % 8) if i == bit // 8 else byte for i, byte in enumerate(content)))  # fmt: skip
        assert same(a_store(home).load(), a_state(1)), bit


def test_a_file_of_any_wrong_length_is_seen(home: Path) -> None:
    for length in [*range(LENGTH), LENGTH + 1, LENGTH + 4096]:
        damaged_saves(home, lambda content, length=length: (content + bytes(5000))[:length])  # type: ignore[misc]
        assert same(a_store(home).load(), a_state(1)), length


def changed_header(content: bytes, **fields: Any) -> bytes:
    """A file whose checksums are right and whose header is not."""
    (size,) = struct.unpack_from("<I", content, len(MAGIC) + 2)
    header = msgspec.msgpack.decode(content[HEAD + 4 : HEAD + 4 + size]) | fields
    return rebuilt(content, msgspec.msgpack.encode({key: value for key, value in header.items() if value != "gone"}))


def with_values(content: bytes, value: float) -> bytes:
    """As `changed_header`, of the last coordinate."""
    whole = content[:-8] + struct.pack("<f", value)
    return whole + struct.pack("<I", zlib.crc32(whole))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda _: b"", "ends after 0 bytes"),
        (lambda _: b"gossipfl recording\0" * 100, "does not begin"),
        (lambda content: bytes(len(content)), "does not begin"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "checksum differs"),
        (lambda content: content[:100] + b"?" + content[101:], "checksum of its header"),
        (lambda content: content[: len(MAGIC) + 2] + b"\xff\xff\xff\xff" + content[HEAD:], "does not begin"),
        (lambda content: content[:-20], "not 72"),
        (lambda content: content + b"x", "not 72"),
        (lambda content: changed_header(content, sizes=(5, 2, 5)), r"\(5, 2, 5\)"),
        (lambda content: changed_header(content, sizes=(5, 2, 5, 2**60)), "coordinates"),
        (lambda content: changed_header(content, sizes=(-5, 2, 5, 5)), "coordinates"),
        (lambda content: changed_header(content, age=-1.0), "header is none"),
        (lambda content: changed_header(content, notes={}), "header is none"),
        (lambda content: changed_header(content, owner="gone"), "header is none"),
        (lambda content: changed_header(content, surprise=1), "header is none"),
        (lambda content: rebuilt(content, b""), "header is none"),
        (lambda content: rebuilt(content, b"\x91" * 5000), "header is none"),
        (lambda content: rebuilt(content, b"\x80", version=0), "format 0"),
        (lambda content: with_values(content, float("nan")), "no model's"),
        (lambda content: with_values(content, 2e9), "no model's"),
    ],
)
def test_what_is_wrong_and_where_the_file_is_kept_are_told(
    home: Path, damage: Callable[[bytes], bytes], reason: str
) -> None:
    newer, older = damaged_saves(home, damage)
    was = (home / newer).read_bytes()
    with capture_logs() as lines:
        assert same(a_store(home).load(), a_state(1))
    (line,) = lines
    assert line["log_level"] == "warning"
    assert line["file"] == str(home / newer)
    assert re.search(reason, line["reason"])
    assert line["kept"] == str(home / f"{newer}.bad")
    assert (home / f"{newer}.bad").read_bytes() == was
    assert files(home) == {older, f"{newer}.bad"}


def test_where_both_are_damaged_nothing_is_found_and_bad_files_do_not_pile_up(home: Path) -> None:
    for _ in range(5):
        save(a_store(home), a_state(1), a_state(2))
        for name in "ab":
            (home / name).write_bytes((home / name).read_bytes()[:-1])
        with capture_logs() as lines:
            assert a_store(home).load() is None
        assert len(lines) == 2
        assert files(home) == {"a.bad", "b.bad"}


def test_a_damaged_older_file_is_nobody_s_concern_and_is_written_over(home: Path) -> None:
    newer, older = damaged_saves(home, lambda content: content)
    (home / older).write_bytes((home / older).read_bytes()[:-1])
    store = a_store(home)
    with capture_logs() as lines:
        assert same(store.load(), a_state(2))
    assert not lines
    save(store, a_state(3))
    (home / newer).unlink()
    assert same(a_store(home).load(), a_state(3))


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), IsADirectoryError(21, "Is a directory")])
def test_a_file_that_the_disk_can_not_read_is_as_good_as_damaged(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    newer, _ = damaged_saves(home, lambda content: content)
    break_open(monkeypatch, home / newer, error)
    with capture_logs() as lines:
        assert same(a_store(home).load(), a_state(1))
    assert [line["reason"] for line in lines] == [str(error)]


def test_a_file_that_is_not_ours_to_read_stops_the_daemon_and_is_left_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody ran it as another user: going on without it would let it age, and set it aside."""
    newer, _ = damaged_saves(home, lambda content: content)
    break_open(monkeypatch, home / newer, PermissionError(13, "Permission denied"))
    with pytest.raises(StoreError, match="Permission denied") as caught:
        a_store(home).load()
    assert str(home / newer) in str(caught.value)
    assert files(home) == {"a", "b"}


def break_open(monkeypatch: pytest.MonkeyPatch, broken: Path, error: OSError) -> None:
    honest = builtins.open

    def opened(path: Any, *given_: Any, **named: Any) -> Any:
        if path == broken:
            raise error
        return honest(path, *given_, **named)

    monkeypatch.setattr(builtins, "open", opened)


def test_a_bad_file_that_can_not_be_renamed_does_not_stop_the_daemon(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer, older = damaged_saves(home, lambda content: content[:-1])

    def fail(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as broken, capture_logs() as lines:
        broken.setattr(os, "replace", fail)
        store = a_store(home)
        assert same(store.load(), a_state(1))
    assert [line["kept"] for line in lines] == ["where it is: Read-only file system"]
    save(store, a_state(3))
    assert files(home) == {newer, older}
    assert same(a_store(home).load(), a_state(3))


# --- writing


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there_and_no_litter(
    home: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store = a_store(home)
    save(store, a_state(1), a_state(2))
    before = {name: (home / name).read_bytes() for name in files(home)}

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, fail)
        for _ in range(3):
            with pytest.raises(LocalError, match="No space left"):
                save(store, a_state(3))
    assert {name: (home / name).read_bytes() for name in files(home)} == before
    save(store, a_state(4))
    assert same(a_store(home).load(), a_state(4))


def test_short_writes_are_gone_on_with(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: honest(descriptor, bytes(content)[:7]))
    save(a_store(home), a_state(1))
    assert same(a_store(home).load(), a_state(1))


def test_a_file_of_zeros_in_a_slot_s_place_takes_no_memory(home: Path) -> None:
    with open(home / "a", "wb") as file:
        file.truncate(1 << 40)
    assert a_store(home).load() is None
    assert (home / "a.bad").stat().st_size == 1 << 40


def test_values_of_all_sizes_survive(home: Path) -> None:
    state = a_state(1)
    state.model.x[:] = [0.0, -0.0, 1e9, 1e-45, -1e-38]
    state.base[:] = full_of(float(np.finfo(np.float32).tiny), 5)
    save(a_store(home), state)
    assert same(a_store(home).load(), state)
