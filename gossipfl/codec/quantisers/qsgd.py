"""int8, int4, int3, int2: a vector as small integers with one float32 scale per block, rounded stochastically.

QSGD (Alistarh et al., 2017) with L levels and the max norm per block: for block b, s_b = max|v_b| / L and
Q(v) = s_b · ⌊v / s_b + u⌋, u ~ U[0, 1). Unbiased, E[Q(v)] = v, with |Q(v) − v| < s_b. With L = 1 it is TernGrad (Wen et
al., 2017). What is rounded away differs from publish to publish, so averages of many don't carry it on.
"""

from __future__ import annotations

import math
import random
from functools import cache

import numpy as np
from msgspec import Struct

from gossipfl.codec.packing import Data
from gossipfl.codec.quantisers.bits import pack_bits, packed_size, unpack_bits
from gossipfl.codec.quantisers.quantiser import blocks, check_length, floats
from gossipfl.errors import RemoteError
from gossipfl.kernels import BLOCK, Codes, Floats, Kernel

DITHER_BITS = 16
"""The rounding of 2¹⁶ coordinates in a row is drawn with one draw of so many bits."""


class QSGD(Struct, frozen=True):
    """Codes from −levels to levels, of `width` bits each."""

    name: str
    number: int
    width: int
    levels: int

    @property
    def bits(self) -> float:
        """The codes, and the scales."""
        return self.width + 32 / BLOCK

    @property
    def noise(self) -> float:
        """√⅙ of a step (stochastic rounding), and the largest of 256 is some 3σ."""
        return 3 / self.levels / math.sqrt(6)

    def encode(self, x: Floats, base: Floats, rng: random.Random, kernel: Kernel) -> memoryview:
        """Scales, then codes."""
        raw, begin_of_codes = np.empty(self.size(x.size), np.uint8), 4 * blocks(x.size)
        scales, packed = raw[:begin_of_codes].view("<f4"), raw[begin_of_codes:]
        codes = packed.view(np.int8) if self.width == 8 else np.empty(x.size, np.int8)
        size = 1 << DITHER_BITS
        for start in range(0, x.size, size):
            here, of_them = slice(start, start + size), slice(start // BLOCK, (start + size) // BLOCK)
            begin = rng.getrandbits(DITHER_BITS)
            noise = dither()[begin : begin + codes[here].size]
            kernel.encode(x[here], base[here], noise, self.levels, scales[of_them], codes[here])
        if self.width < 8:
            codes += self.levels
            pack_bits(codes.view(np.uint8), self.width, packed)
        return raw.data

    def size(self, n: int) -> int:
        """4 bytes a block, and the codes."""
        return 4 * blocks(n) + (n if self.width == 8 else packed_size(n, self.width))

    def decode(self, data: Data, n: int) -> tuple[Floats, Codes]:
        """See Quantiser."""
        check_length(self.name, data, self.size(n))
        scales, raw = floats(data, "<f4", blocks(n)), memoryview(data)[4 * blocks(n) :]
        if self.width == 8:
            return scales, np.frombuffer(raw, np.int8)
        numbers = unpack_bits(raw, n, self.width)
        if numbers.max(initial=0) > 2 * self.levels:
            raise RemoteError(f"{self.name} payload has a code that is not within ±{self.levels}")
        codes = numbers.view(np.int8)
        codes -= self.levels
        return scales, codes


@cache
def dither() -> Floats:
    """The u of every encoder in this process, twice in a row, shape (2 · 2¹⁶,), read-only.

    The numbers (i + ½) / 2¹⁶ in random order; an encoder begins at a random place. So each u is uniform on that grid,
    and E[Q(v)] = v within 2⁻¹⁷ of a step, float32's own rounding of v / s_b; two encodings are independent. Within
    one, two coordinates are dependent, since they are a fixed distance apart in the table, but as the order is random
    their correlation is that of a sample of 2¹⁶: some 2⁻⁸.
    """
    size = 1 << DITHER_BITS
    order = np.random.default_rng(0).permutation(size)
    table = np.tile(((order + 0.5) / size).astype(np.float32), 2)
    table.flags.writeable = False
    return table


INT8 = QSGD("int8", 1, 8, 127)
INT4 = QSGD("int4", 2, 4, 7)
INT3 = QSGD("int3", 3, 3, 3)
INT2 = QSGD("int2", 4, 2, 1)
