"""float32, float16, bfloat16: differences as floating-point numbers, rounded to nearest even.

Without scales: float16 (IEEE 754 binary16) has 11 bits of precision and ends at 65,504, where it is cut off; bfloat16
is the upper half of a float32, with 8 bits of precision and all of its range.
"""

from __future__ import annotations

import random
from typing import Literal

import numpy as np
from msgspec import Struct

from gossipfl.codec.quantisers.quantiser import blocks, check_length
from gossipfl.errors import RemoteError
from gossipfl.kernels import MAX_COORDINATE, Floats, Kernel
from gossipfl.kernels.numpy import pieces

_LARGEST_HALF = np.float32(np.finfo(np.float16).max)


class Float(Struct, frozen=True):
    """`bytes_each` bytes for each coordinate."""

    name: Literal["float32", "float16", "bfloat16"]
    number: int
    bytes_each: int

    @property
    def bits(self) -> float:
        """No scales."""
        return 8.0 * self.bytes_each

    @property
    def noise(self) -> float:
        """That of the bits of precision."""
        return {"float32": 2.0**-25, "float16": 2.0**-12, "bfloat16": 2.0**-9}[self.name]

    def encode(self, x: Floats, base: Floats, rng: random.Random, kernel: Kernel) -> bytes:  # noqa: ARG002
        """The differences, one after another."""
        difference = x - base
        if self.name == "float16":
            np.clip(difference, -_LARGEST_HALF, _LARGEST_HALF, out=difference)
            return difference.astype("<f2").tobytes()
        if self.name == "bfloat16":
            bits = difference.view(np.uint32)
            bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
            return (bits >> np.uint32(16)).astype("<u2").tobytes()
        return difference.astype("<f4", copy=False).tobytes()

    def size(self, n: int) -> int:
        """Exact."""
        return self.bytes_each * n

    def decode(self, data: bytes, n: int) -> tuple[Floats, Floats]:
        """See Quantiser; the scales are 1, and a number that is not finite, or beyond ±1e9, is refused."""
        check_length(self.name, data, self.size(n))
        if self.name == "bfloat16":
            codes = (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
        else:
            codes = np.frombuffer(data, "<f2" if self.name == "float16" else "<f4").astype(np.float32)
        if not (np.abs(codes) <= MAX_COORDINATE).all():  # NaN fails this too
            raise RemoteError(f"{self.name} payload has a coordinate that is not within ±{MAX_COORDINATE:g}")
        return np.ones(blocks(n), np.float32), codes


def round_to_bfloat16(vector: Floats) -> None:
    """Make each coordinate, which must be finite, the nearest that BFLOAT16 has, in place."""
    for here, _ in pieces(vector.size):
        bits = vector[here].view(np.uint32)
        bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        bits &= np.uint32(0xFFFF0000)


def is_bfloat16(vector: Floats) -> bool:
    """Does BFLOAT16 have each coordinate exactly?"""
    return not any((vector[here].view(np.uint32) & np.uint32(0xFFFF)).any() for here, _ in pieces(vector.size))


FLOAT32 = Float("float32", 6, 4)
FLOAT16 = Float("float16", 7, 2)
BFLOAT16 = Float("bfloat16", 8, 2)
