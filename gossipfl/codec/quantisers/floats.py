"""float32, float16, bfloat16: differences as floating-point numbers, rounded to nearest even.

Without scales: float16 (IEEE 754 binary16) has 11 bits of precision and ends at 65,504, where it is cut off; bfloat16
is the upper half of a float32, with 8 bits of precision and all of its range.
"""

from __future__ import annotations

import random
from typing import Literal

import numpy as np
from msgspec import Struct

from gossipfl.codec.packing import Data
from gossipfl.codec.quantisers.quantiser import blocks, check_length, floats
from gossipfl.errors import RemoteError
from gossipfl.kernels import MAX_COORDINATE, Floats, Kernel
from gossipfl.kernels.numpy import is_sane, pieces

_STORED = {"float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}
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

    def encode(self, x: Floats, base: Floats, rng: random.Random, kernel: Kernel) -> memoryview:  # noqa: ARG002
        """The differences, one after another."""
        out = np.empty(x.size, _STORED[self.name])
        for here, _ in pieces(x.size):
            difference = x[here] - base[here]
            if self.name == "bfloat16":
                bits = difference.view(np.uint32)
                bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
                out[here] = bits >> np.uint32(16)
            elif self.name == "float16":
                out[here] = np.clip(difference, -_LARGEST_HALF, _LARGEST_HALF, out=difference)
            else:
                out[here] = difference
        return out.view(np.uint8).data

    def size(self, n: int) -> int:
        """Exact."""
        return self.bytes_each * n

    def decode(self, data: Data, n: int) -> tuple[Floats, Floats]:
        """See Quantiser; the scales are 1, and a number that is not finite, or beyond ±1e9, is refused."""
        check_length(self.name, data, self.size(n))
        stored = floats(data, _STORED[self.name], n)
        if self.name != "bfloat16":
            codes: Floats = stored.astype(np.float32, copy=False)
        else:
            codes = np.empty(n, np.float32)
            for here, _ in pieces(n):
                codes[here].view(np.uint32)[:] = stored[here].astype(np.uint32) << np.uint32(16)
        if not is_sane(codes):
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
