"""What the tests of the store share: states that tell themselves apart, and a store for them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gossipfl.model.replica import Checkpoint
from gossipfl.model.schema import Schema, Tensor
from gossipfl.protocol.saved import Notes, Saved
from gossipfl_nodes.disk.store import FORMAT, MAGIC, Store
from tests.gossipfl.builders import content, noise

SCHEMA = Schema([Tensor("body", (5,)), Tensor("head", (2,), personal=True)])
HEAD = len(MAGIC) + 6
"""Bytes until the checksum of the header."""
PEERS = {"12D3KooW": ("/ip4/192.0.2.7/tcp/9444", "/ip6/2001:db8::7/tcp/9444")}


def a_state(number: int = 1, *, incarnation: int = 1, schema: Schema = SCHEMA, **changed: Any) -> Saved:
    """One that no other number has."""
    shared, personal = schema.shared_size, schema.size - schema.shared_size
    seed = 1000 * incarnation + number
    notes = Notes(incarnation, number, 20.0 + number, 1.5, (0.5, 1e9), changed.pop("peers", PEERS))
    model = Checkpoint(noise(shared, seed), noise(personal, seed + 1), noise(shared, seed + 2), number, 20.0 * number)
    return Saved(notes, model, noise(shared, seed + 3))


def a_store(folder: Path, *, mesh: str = "m", task: str = "t", schema: Schema = SCHEMA, **options: Any) -> Store:
    return Store(folder, mesh, task, schema, **options)


def save(store: Store, *states: Saved) -> None:
    for state in states:
        store.write(store.encode(state))


def encoded(store: Store, state: Saved) -> bytes:
    return b"".join(bytes(chunk) for chunk in store.encode(state))


def same(one: Saved | None, other: Saved | None) -> bool:
    """Equal to the last bit, or both nothing."""
    if one is None or other is None:
        return one is other
    assert all(vector.dtype == np.float32 for vector in (one.model.x, one.model.served, one.base))
    return content(one) == content(other)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def damaged_saves(folder: Path, damage: Callable[[bytes], bytes]) -> tuple[str, str]:
    """The newer one of two saves is damaged; the names of both."""
    save(a_store(folder), a_state(1), a_state(2))
    newer = next(name for name in "ab" if (folder / name).read_bytes() == encoded(a_store(folder), a_state(2)))
    (folder / newer).write_bytes(damage((folder / newer).read_bytes()))
    return newer, "b" if newer == "a" else "a"


def rebuilt(content: bytes, header: bytes, version: int = FORMAT) -> bytes:
    (size,) = struct.unpack_from("<I", content, len(MAGIC) + 2)
    head = struct.pack(f"<{len(MAGIC)}sHI", MAGIC, version, len(header))
    whole = head + struct.pack("<I", zlib.crc32(head + header)) + header + content[HEAD + 4 + size : -4]
    return whole + struct.pack("<I", zlib.crc32(whole))
