"""sign: one bit for each coordinate, and the mean magnitude of each block.

Scaled sign (Karimireddy et al., 2019): Q(v) = (‖v_b‖₁ / n_b) · sign(v) for each block b. Biased, so what it leaves out
must be fed back; but a contraction: ‖Q(v) − v‖² ≤ (1 − ‖v‖₁² / (n‖v‖₂²)) ‖v‖². Zero counts as +.
"""

from __future__ import annotations

import random

import numpy as np
from msgspec import Struct

from gossipfl.codec.packing import Data
from gossipfl.codec.quantisers.bits import pack_bits, packed_size, unpack_bits
from gossipfl.codec.quantisers.quantiser import blocks, check_length, floats
from gossipfl.kernels import BLOCK, MAX_SCALE, Codes, Floats, Kernel

PIECE = 1 << 16
"""Coordinates at a time: what fits a cache."""


class Sign(Struct, frozen=True):
    """Codes −1 and 1."""

    name: str
    number: int

    @property
    def bits(self) -> float:
        """The signs, and the scales."""
        return 1 + 32 / BLOCK

    @property
    def noise(self) -> float:
        """√(1 − 2/π): of a Gaussian, what its mean magnitude leaves."""
        return 0.6

    def encode(self, x: Floats, base: Floats, rng: random.Random, kernel: Kernel) -> memoryview:  # noqa: ARG002
        """Scales, then signs."""
        raw, plus = np.empty(self.size(x.size), np.uint8), np.empty(x.size, np.uint8)
        scales, packed = raw[: 4 * blocks(x.size)].view("<f4"), raw[4 * blocks(x.size) :]
        for start in range(0, x.size, PIECE):
            here, of_them = slice(start, start + PIECE), slice(start // BLOCK, (start + PIECE) // BLOCK)
            difference = x[here] - base[here]
            np.greater_equal(difference, 0, out=plus[here].view(np.bool_))
            np.abs(difference, out=difference)
            total = np.add.reduceat(difference, np.arange(0, difference.size, BLOCK))
            scales[of_them] = total / np.minimum(BLOCK, difference.size - np.arange(0, difference.size, BLOCK))
        np.minimum(scales, np.float32(MAX_SCALE), out=scales)
        pack_bits(plus, 1, packed)
        return raw.data

    def size(self, n: int) -> int:
        """4 bytes a block, and a bit for each."""
        return 4 * blocks(n) + packed_size(n, 1)

    def decode(self, data: Data, n: int) -> tuple[Floats, Codes]:
        """See Quantiser."""
        check_length(self.name, data, self.size(n))
        scales = floats(data, "<f4", blocks(n))
        codes = unpack_bits(memoryview(data)[4 * blocks(n) :], n, 1).view(np.int8)
        codes *= 2
        codes -= 1
        return scales, codes


SIGN = Sign("sign", 5)
