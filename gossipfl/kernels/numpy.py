"""The reference kernel: numpy, a few passes over memory each.

`gossipfl.kernels.Kernel` says what each function does. It is written to be read: for the order of every operation, this
is what the others are compared with. Knows arrays only.
"""

from __future__ import annotations

import math

import numpy as np

from gossipfl.kernels import BLOCK, LEVELS, MAX_SCALE, Codes, Floats

TINY = np.finfo(np.float32).tiny
"""Smaller scales have no finite inverse; what is in such a block is sent as zeros."""


def merge(
    x: Floats, base: Floats, scales: Floats, codes: Codes, weight: float, floor: float, refuse: float
) -> tuple[float, float, float]:
    """See Kernel."""
    if not ((scales >= 0) & (scales <= MAX_SCALE)).all():
        return math.nan, math.nan, 0.0
    blocks = np.zeros((scales.size, BLOCK), dtype=np.float32)
    difference = blocks.reshape(-1)[: x.size]
    difference[:] = codes
    blocks *= scales[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        difference += base
        difference -= x
        distance = norm(difference)
        radius = norm(x) + floor
        if not distance <= refuse * radius or distance == math.inf:
            return distance, radius, 0.0
        if distance > radius:
            weight *= radius / distance
        if weight > 0:
            difference *= np.float32(weight)
            x += difference
    return distance, radius, weight


def norm(v: Floats) -> float:
    """The Euclidean norm of `v`, shape (d,), summed as the package says; not finite if a coordinate isn't."""
    squares = np.zeros((-(-v.size // BLOCK), BLOCK), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        np.multiply(v, v, out=squares.reshape(-1)[: v.size])
        lanes = np.add.reduce(squares, axis=0)
        return math.sqrt(np.cumsum(lanes, dtype=np.float64)[-1])


def encode(x: Floats, base: Floats, dither: Floats, scales: Floats, codes: Codes) -> None:
    """See Kernel."""
    blocks = np.zeros((scales.size, BLOCK), dtype=np.float32)
    difference = blocks.reshape(-1)[: x.size]
    np.subtract(x, base, out=difference)
    np.divide(np.abs(blocks).max(axis=1), np.float32(LEVELS), out=scales)
    blocks *= np.divide(1, scales, out=np.zeros_like(scales), where=scales > TINY)[:, None]
    difference += dither
    np.floor(difference, out=difference)
    np.clip(difference, -LEVELS, LEVELS, out=difference)
    codes[:] = difference


def follow(average: Floats, x: Floats, weight: float) -> None:
    """See Kernel."""
    difference = x - average
    difference *= np.float32(weight)
    average += difference


def add(x: Floats, delta: Floats, total: Floats) -> bool:
    """See Kernel."""
    with np.errstate(over="ignore", invalid="ignore"):
        np.add(x, delta, out=total)
    return bool(np.isfinite(total).all())
