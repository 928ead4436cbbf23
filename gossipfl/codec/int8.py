"""int8: a vector as signed bytes with one float32 scale per block, rounded stochastically.

QSGD (Alistarh et al., 2017) with 127 levels and the max norm per block: for block b, s_b = max|v_b| / 127 and
Q(v) = s_b · ⌊v / s_b + u⌋, u ~ U[0, 1). Unbiased, E[Q(v)] = v, with |Q(v) − v| < s_b.
Knows arrays and bytes; never peers or messages.
"""

from __future__ import annotations

import random
from functools import cache

import numpy as np

from gossipfl.errors import RemoteError
from gossipfl.kernels import BLOCK, MAX_SCALE, Codes, Floats, Kernel
from gossipfl.kernels import numpy as reference
from gossipfl.model.schema import Vector

DITHER_BITS = 16
"""The rounding of 2¹⁶ coordinates in a row is drawn with one draw of so many bits."""


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


def encode(x: Vector, base: Vector, rng: random.Random, kernel: Kernel = reference) -> tuple[bytes, bytes]:
    """Scales and codes of x − base, shapes (d,): 4·⌈d/256⌉ and d bytes. `rng` decides the rounding."""
    scales, codes = np.empty(-(-x.size // BLOCK), np.dtype("<f4")), np.empty(x.size, np.int8)
    size = 1 << DITHER_BITS
    if x.size <= size:  # most models, without the views that pieces need
        begin = rng.getrandbits(DITHER_BITS)
        kernel.encode(x, base, dither()[begin : begin + x.size], scales, codes)
        return scales.tobytes(), codes.tobytes()
    for start in range(0, x.size, size):
        here, blocks = slice(start, start + size), slice(start // BLOCK, (start + size) // BLOCK)
        begin = rng.getrandbits(DITHER_BITS)
        noise = dither()[begin : begin + codes[here].size]
        kernel.encode(x[here], base[here], noise, scales[blocks], codes[here])
    return scales.tobytes(), codes.tobytes()


def parse(scales: bytes, codes: bytes, size: int) -> tuple[Floats, Codes]:
    """Scales and codes of a vector of shape (size,), as arrays.

    Raises:
        RemoteError: lengths that don't fit `size`.
    """
    n_blocks = -(-size // BLOCK)
    if len(codes) != size or len(scales) != 4 * n_blocks:
        raise RemoteError(f"int8 payload of {len(scales)} + {len(codes)} bytes; expected {4 * n_blocks} + {size}")
    return np.frombuffer(scales, np.dtype("<f4")), np.frombuffer(codes, np.int8)


def check(scales: Floats) -> None:
    """Raise RemoteError for a scale that is not finite or out of [0, 1e9]."""
    if not ((scales >= 0) & (scales <= MAX_SCALE)).all():  # NaN fails both
        raise RemoteError(f"int8 payload has a scale outside [0, {MAX_SCALE:g}]")


def decode(scales: bytes, codes: bytes, size: int) -> Vector:
    """A new vector of shape (size,).

    Raises:
        RemoteError: lengths that don't fit `size`, or a bad scale.
    """
    steps, counts = parse(scales, codes, size)
    check(steps)
    return counts.astype(np.float32) * np.repeat(steps, BLOCK)[:size]
