r"""The store: what the peer must remember, in two files that are written in turn, so that one is always whole.

Owns the format on disk, and what is done about files that are not whole, belong to something else, or were written by
another version. A file that can't be used is set aside under another name, not deleted. Knows no peer and no schedule.

    state   = head header vector* crc32:u32      the last checksum is that of all before it; all is little-endian
    head    = "gossipfl state\0\0" format:u16 size:u32 crc32:u32    of what stands before it, and of the header
    header  = MessagePack map of `size` bytes    whose state it is, notes, counters, and how long the vectors are
    vector  = float32*                           the served average, personal values, the base, and the model

Head, and that a header follows, are the same in every format, so that a newer one is told from a damaged one.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, TypeAlias

import msgspec
import numpy as np
import structlog
from msgspec import Struct

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.kernels.numpy import is_sane
from gossipfl.model.replica import Checkpoint
from gossipfl.model.schema import Schema, Vector
from gossipfl.output.files import write_durably
from gossipfl.protocol.saved import Notes, Saved
from gossipfl.wire.messages import Age, Counter

FORMAT = 1
MAGIC = b"gossipfl state\0\0"
SLOTS = ("a", "b")
TEMPORARY = "new"
"""One name: what a write that was cut off has left, the next one takes over."""
MAX_HEADER = 1 << 20
"""Bytes; 128 peers with eight addresses of 256 characters each take a quarter of that."""
_HEAD = struct.Struct(f"<{len(MAGIC)}sHI")
_CRC = struct.Struct("<I")

Migration: TypeAlias = Callable[[bytes], bytes]
"""From the whole content of a file to that of one in the next format."""
MIGRATIONS: Mapping[int, Migration] = {}
"""By the format that each begins with."""

log = structlog.get_logger("store")


class StoreError(LocalError):
    """A state that must not be ignored, and can't be used."""

    exit_status = Exit.BAD_DATA


class Owner(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose state it is."""

    mesh: str
    task: str
    layout: bytes

    @property
    def short(self) -> str:
        """Eight characters of a file's name."""
        return blake2b(msgspec.msgpack.encode(self), digest_size=4).hexdigest()


class Header(Struct, frozen=True, forbid_unknown_fields=True):
    """All but the vectors."""

    owner: Owner
    notes: Notes
    age: Age
    averaged: Counter
    sizes: tuple[int, ...]
    """Coordinates of each vector."""

    @property
    def order(self) -> tuple[int, int]:
        """The newer of two states has the larger one."""
        return self.notes.incarnation, self.notes.number


class Damaged(Exception):  # noqa: N818
    """A file is not what was written; the message says how that is seen."""


class Foreign(Exception):  # noqa: N818
    """A file has the state of another `owner`."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(f"it is of task {owner.task!r}, mesh {owner.mesh!r}, and layout {owner.layout.hex()[:8]}")
        self.owner = owner


class Store:
    """The states in `folder` of one mesh, task and model.

    Args:
        folder: where they are, and only they; for one process at a time.
        mesh: of whose peers the state is.
        task: what is learnt.
        schema: the layout of the model.
        migrations: how to read what earlier versions wrote.
    """

    def __init__(
        self, folder: Path, mesh: str, task: str, schema: Schema, migrations: Mapping[int, Migration] = MIGRATIONS
    ) -> None:
        self._folder = folder
        self._owner = Owner(mesh, task, schema.layout)
        shared, personal = schema.shared_size, schema.size - schema.shared_size
        self._sizes = (shared, personal, shared, shared)
        self._migrations = migrations
        self._next = SLOTS[0]
        self.incarnation = 0
        """The largest that was found in any file, whoever's it is."""

    def load(self) -> Saved | None:
        """The newest state that is whole; None if there is none. What can't be used is set aside, and logged.

        Raises:
            StoreError: a newer version wrote there, or a file is not ours to read.
        """
        found: dict[str, tuple[int, int]] = {}
        # The last two are there if something else was learnt here meanwhile.
        for name in (*SLOTS, *(f"{slot}.{self._owner.short}" for slot in SLOTS)):
            with _judged(self._folder / name), self._opened(name) as (header, _, _):
                found[name] = header.order
        for name in sorted(found, key=found.__getitem__, reverse=True):
            with _judged(self._folder / name), self._opened(name) as (header, begin, file):
                saved = self._read(header, begin, file)
                self._next = _other(name) if name in SLOTS else SLOTS[0]
                return saved
        return None

    def write(self, chunks: Iterator[bytes | memoryview]) -> None:
        """Write what `encode` gives over the older state. Whenever that is cut off, one of the two is whole.

        Raises:
            LocalError: it can't be written; the newer state is as it was.
        """
        write_durably(self._folder / self._next, chunks, mode=0o600, temporary=self._folder / TEMPORARY)
        self._next = _other(self._next)

    def encode(self, saved: Saved) -> Iterator[bytes | memoryview]:
        """The content of a file. Each vector is let go of when the next one is asked for."""
        model, notes = saved.model, saved.notes
        vectors = [model.served, model.personal, saved.base, model.x]
        header = msgspec.msgpack.encode(Header(self._owner, notes, model.age, model.averaged, self._sizes))
        del saved, model
        head = _HEAD.pack(MAGIC, FORMAT, len(header))
        begin = head + _CRC.pack(zlib.crc32(head + header)) + header
        yield begin
        crc = zlib.crc32(begin)
        while vectors:
            piece = _bytes(vectors.pop(0).astype("<f4", copy=False))
            crc = zlib.crc32(piece, crc)
            yield piece
        yield _CRC.pack(crc)

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[tuple[Header, bytes, BinaryIO]]:
        """The header of a file, the bytes up to its end, and the file, of which the vectors come next."""
        path = self._folder / name
        with open(path, "rb") as file:
            version, begin = _begin(file)
            if version > FORMAT:
                raise StoreError(
                    f"{path}: a newer gossipfl wrote it, in format {version}; this one reads up to {FORMAT}: upgrade"
                    " gossipfl, or move the file away to begin without it"
                )
            content = file if version == FORMAT else self._migrated(path, version)
            begin = begin if version == FORMAT else _begin(content)[1]
            try:
                header = msgspec.msgpack.decode(begin[_HEAD.size + _CRC.size :], type=Header)
            except msgspec.MsgspecError as error:
                raise Damaged(f"its header is none: {error}") from error
            self.incarnation = max(self.incarnation, header.notes.incarnation)
            if header.owner != self._owner:
                raise Foreign(header.owner)
            yield header, begin, content

    def _migrated(self, path: Path, version: int) -> BinaryIO:
        """The file at `path` in the present format; a copy of it is kept as it was."""
        if not all(number in self._migrations for number in range(version, FORMAT)):
            raise Damaged(f"it has format {version}, which this version of gossipfl can't read any more")
        kept, content = path.with_name(f"{path.name}.format-{version}"), path.read_bytes()
        write_durably(kept, content, mode=0o600)
        for number in range(version, FORMAT):
            content = self._migrations[number](content)
        log.info("saved state of an older version is read", file=str(path), format=version, kept=str(kept))
        return io.BytesIO(content)

    def _read(self, header: Header, begin: bytes, file: BinaryIO) -> Saved:
        if header.sizes != self._sizes:
            raise Damaged(f"it has vectors of {header.sizes} coordinates, not {self._sizes}")
        here, wanted = file.tell(), 4 * sum(self._sizes) + _CRC.size
        length = file.seek(0, os.SEEK_END) - here
        if length != wanted:  # before memory is taken for it
            raise Damaged(f"{length} bytes follow its header, and not {wanted}")
        file.seek(here)
        crc, vectors = zlib.crc32(begin), [np.empty(size, "<f4") for size in self._sizes]
        for vector in vectors:
            if file.readinto(_bytes(vector)) != vector.nbytes:  # type: ignore[attr-defined]
                raise Damaged("it ends too early")
            crc = zlib.crc32(_bytes(vector), crc)
        if file.read(_CRC.size) != _CRC.pack(crc):
            raise Damaged("its checksum differs")
        if not all(map(is_sane, vectors)):
            raise Damaged("it has values that are no model's")
        served, personal, base, x = (vector.astype(np.float32, copy=False) for vector in vectors)
        base.flags.writeable = False
        return Saved(header.notes, Checkpoint(x, personal, served, header.averaged, header.age), base)


@contextlib.contextmanager
def _judged(path: Path) -> Iterator[None]:
    """What is wrong with the file at `path` ends there, and is dealt with."""
    try:
        yield
    except FileNotFoundError:
        pass
    except PermissionError as error:
        raise StoreError(f"{path}: can't be read: {error.strerror}") from error
    except Foreign as error:
        _set_aside(path, error.owner.short, "saved state of something else is set aside", str(error))
    except (Damaged, OSError) as error:
        _set_aside(path, "bad", "saved state can't be used", str(error))


def _begin(file: BinaryIO) -> tuple[int, bytes]:
    """The format of a file, and its head and header.

    Raises:
        Damaged: they are not those of a state.
    """
    head = file.read(_HEAD.size + _CRC.size)
    if len(head) < _HEAD.size + _CRC.size:
        raise Damaged(f"it ends after {len(head)} bytes")
    magic, version, size = _HEAD.unpack_from(head)
    if magic != MAGIC or size > MAX_HEADER:
        raise Damaged("it does not begin as a state does")
    header = file.read(size)
    if head[_HEAD.size :] != _CRC.pack(zlib.crc32(head[: _HEAD.size] + header)):
        raise Damaged("the checksum of its header differs")
    return version, head + header


def _bytes(vector: Vector) -> memoryview:
    return vector.view(np.uint8).data


def _other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]


def _set_aside(path: Path, suffix: str, event: str, reason: str) -> None:
    """Rename `path`; what had that name before, if anything, is gone."""
    kept = path.with_name(f"{path.name}.{suffix}")
    try:
        os.replace(path, kept)
    except OSError as error:
        log.warning(event, file=str(path), reason=reason, kept=f"where it is: {error.strerror}")
    else:
        log.warning(event, file=str(path), reason=reason, kept=str(kept))
