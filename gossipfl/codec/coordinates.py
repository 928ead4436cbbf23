"""Coordinates: which of a vector's d coordinates a message carries, and how that is written down.

One small type for each way: all of them, every n-th, a range, a bitmap, gaps between neighbours, or a seed that both
ends expand alike. A sender takes the shortest. `index` is total: it returns a slice or ascending indices within the
vector, or raises RemoteError before anything larger than the vector is allocated. Knows no models and no messages.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import numpy as np
from msgspec import Meta, Struct

from gossipfl.codec.packing import pack, unpack
from gossipfl.errors import RemoteError
from gossipfl.kernels import Index, Indices

LEAST = 2048
"""Coordinates of a fragment: smaller ones would save less than the headers of a packet cost."""
MAX_SIZE = 2**40
"""Coordinates: more than any model has; keeps numbers from the network within what numpy can count."""
Position: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_SIZE)]
Step: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_SIZE)]


class All(Struct, frozen=True, array_like=True, gc=False, tag=1, forbid_unknown_fields=True):
    """Every coordinate."""

    def index(self, size: int) -> Index:
        """Of a vector of shape (size,)."""
        return slice(0, size, 1)


class Strided(Struct, frozen=True, array_like=True, gc=False, tag=2, forbid_unknown_fields=True):
    """Every `step`-th coordinate from `start` on, up to `stop`, or to the end if that is nearer."""

    start: Position
    stop: Position
    step: Step

    def index(self, size: int) -> Index:
        """Of a vector of shape (size,)."""
        return slice(min(self.start, size), min(self.stop, size), self.step)


def fragment(number: int, parts: int, size: int) -> All | Strided:
    """One of `parts` fragments of a vector of shape (size,), each spread over all of it; fewer if it is small."""
    parts = min(parts, size // LEAST)
    return Strided(number % parts, size, parts) if parts > 1 else All()


class Bitmap(Struct, frozen=True, array_like=True, gc=False, tag=3, forbid_unknown_fields=True):
    """One bit for each coordinate, the first in the highest bit of the first byte: short for a fifth of them."""

    packed: bool
    bits: bytes

    def index(self, size: int) -> Index:
        """Of a vector of shape (size,)."""
        raw = unpack(self.bits, -(-size // 8)) if self.packed else self.bits
        if len(raw) != -(-size // 8):
            raise RemoteError(f"bitmap of {len(raw)} bytes; expected {-(-size // 8)}")
        bits = np.unpackbits(np.frombuffer(raw, np.uint8))
        if bits[size:].any():
            raise RemoteError("bitmap goes on after the last coordinate")
        return np.flatnonzero(bits)


class Gaps(Struct, frozen=True, array_like=True, gc=False, tag=4, forbid_unknown_fields=True):
    """The distance of each index from the one before it, less one, as a varint (LEB128): short for a few."""

    varints: bytes

    def index(self, size: int) -> Index:
        """Of a vector of shape (size,)."""
        raw = np.frombuffer(self.varints, np.uint8)
        ends = np.flatnonzero(raw < _MORE)
        if ends.size > size:
            raise RemoteError(f"gaps of {ends.size} coordinates; there are {size}")
        if not raw.size:
            return ends
        if raw[-1] >= _MORE:
            raise RemoteError("gaps end in the middle of a number")
        begins = np.concatenate(([0], ends[:-1] + 1))
        if (ends - begins).max() >= _VARINT_BYTES:
            raise RemoteError("gaps have a number that is too long")
        place = np.arange(raw.size) - np.repeat(begins, ends - begins + 1)
        gaps = np.add.reduceat((raw & (_MORE - 1)).astype(np.int64) << (_VARINT_BITS * place), begins)
        if gaps.max() >= size:  # so that the sum of at most `size` of them can't overflow
            raise RemoteError(f"gaps skip {gaps.max()} coordinates; there are {size}")
        indices = np.cumsum(gaps + 1) - 1
        if indices[-1] >= size:
            raise RemoteError(f"gaps lead to coordinate {indices[-1]}; there are {size}")
        return indices


class Seeded(Struct, frozen=True, array_like=True, gc=False, tag=5, forbid_unknown_fields=True):
    """Each coordinate with probability `share` / 2³², decided by a hash of `seed` and its index: 10 bytes for any.

    The hash is the finaliser of MurmurHash3 (Appleby, 2011), written out here because both ends must agree for ever.
    """

    seed: Annotated[int, Meta(ge=0, lt=2**32)]
    share: Annotated[int, Meta(ge=0, lt=2**32)]

    def index(self, size: int) -> Index:
        """Of a vector of shape (size,)."""
        found = []
        for start in range(0, size, _PIECE):
            h = np.arange(start, min(start + _PIECE, size), dtype=np.uint64).astype(np.uint32)
            h *= np.uint32(0x9E3779B1)
            h ^= np.uint32(self.seed)
            for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
                h ^= h >> np.uint32(shift)
                h *= np.uint32(factor)
            h ^= h >> np.uint32(16)
            found.append(np.flatnonzero(h < np.uint32(self.share)) + start)
        return np.concatenate(found) if found else np.empty(0, np.intp)


Coordinates: TypeAlias = All | Strided | Bitmap | Gaps | Seeded

_MORE, _VARINT_BITS, _VARINT_BYTES = 0x80, 7, 5
"""LEB128; five bytes count 2³⁵ coordinates."""
_PIECE = 1 << 16
"""Coordinates hashed at a time: what fits a cache."""


def count(index: Index) -> int:
    """How many coordinates `index` names."""
    return len(range(index.start, index.stop, index.step)) if isinstance(index, slice) else index.size


def written(indices: Indices, size: int) -> Bitmap | Gaps:
    """The shorter of the two ways to write down ascending `indices` of a vector of shape (size,)."""
    gaps = np.diff(indices, prepend=-1) - 1
    lengths = np.ones(gaps.size, np.intp)
    for byte in range(1, _VARINT_BYTES):
        lengths += gaps >= 1 << (_VARINT_BITS * byte)
    total = int(lengths.sum())
    bits = np.zeros(size, np.bool_)
    bits[indices] = True
    bitmap = Bitmap(*pack(np.packbits(bits).tobytes()))
    if total >= len(bitmap.bits):
        return bitmap
    raw, begins = np.zeros(total, np.uint8), np.cumsum(lengths) - lengths
    for byte in range(int(lengths.max(initial=0))):
        here = lengths > byte
        more = np.where(lengths[here] > byte + 1, _MORE, 0)
        raw[begins[here] + byte] = ((gaps[here] >> (_VARINT_BITS * byte)) & (_MORE - 1)) | more
    return Gaps(raw.tobytes())
