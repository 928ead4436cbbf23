"""int8: a vector as signed bytes with one float32 scale per block, rounded stochastically.

QSGD (Alistarh et al., 2017) with 127 levels and the max norm per block: for block b, s_b = max|v_b| / 127 and
Q(v) = s_b · ⌊v / s_b + u⌋, u ~ U[0, 1). Unbiased, E[Q(v)] = v, with |Q(v) − v| < s_b.
Knows arrays and bytes; never bases, peers or messages.
"""

from __future__ import annotations

import numpy as np

from gossipfl.errors import RemoteError
from gossipfl.model.schema import MAX_COORDINATE, Vector

BLOCK = 256
"""Coordinates per scale: 1.6 % more bytes buys scales that follow layers of different magnitude."""
LEVELS = 127


def encode(v: Vector, rng: np.random.Generator) -> tuple[bytes, bytes]:
    """Scales and codes of `v`, shape (d,): 4·⌈d/256⌉ and d bytes. `rng` decides the rounding."""
    blocks = np.zeros((-(-v.size // BLOCK), BLOCK), dtype=np.float32)
    blocks.reshape(-1)[: v.size] = v
    s = np.abs(blocks).max(axis=1) / np.float32(LEVELS)
    blocks *= np.divide(1, s, out=np.zeros_like(s), where=s > np.finfo(np.float32).tiny)[:, None]
    blocks += rng.random(blocks.shape, dtype=np.float32)
    np.floor(blocks, out=blocks)
    np.clip(blocks, -LEVELS, LEVELS, out=blocks)
    return s.astype("<f4").tobytes(), blocks.astype(np.int8).tobytes()[: v.size]


def decode(scales: bytes, codes: bytes, size: int) -> Vector:
    """A new vector of shape (size,).

    Raises:
        RemoteError: lengths that don't fit `size`, or a scale that is not finite or out of [0, 1e9].
    """
    n_blocks = -(-size // BLOCK)
    if len(codes) != size or len(scales) != 4 * n_blocks:
        raise RemoteError(f"int8 payload of {len(scales)} + {len(codes)} bytes; expected {4 * n_blocks} + {size}")
    s = np.frombuffer(scales, dtype="<f4")
    if not (s >= 0).all() or not (s <= MAX_COORDINATE).all():  # NaN fails both
        raise RemoteError(f"int8 payload has a scale outside [0, {MAX_COORDINATE:g}]")
    v = np.empty(n_blocks * BLOCK, dtype=np.float32)
    v[:size] = np.frombuffer(codes, dtype=np.int8)
    v[size:] = 0
    v.reshape(n_blocks, BLOCK)[:] *= s[:, None]
    return v[:size]
