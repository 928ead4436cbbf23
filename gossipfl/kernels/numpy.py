"""The reference kernel: numpy, a few passes over memory each.

`gossipfl.kernels.Kernel` says what each function does. It is written to be read: for the order of every operation, this
is what the others are compared with. Knows arrays only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gossipfl.kernels import BLOCK, MAX_COORDINATE, MAX_SCALE, Codes, Floats

TINY = np.finfo(np.float32).tiny
"""Smaller scales have no finite inverse; what is in such a block is sent as zeros."""
PIECE = 1 << 15
"""Coordinates treated at a time, as several passes over what fits a cache; whole blocks."""


def merge(
    x: Floats, base: Floats, scales: Floats, codes: Codes | Floats, weight: float, floor: float, refuse: float
) -> tuple[float, float, float]:
    """See Kernel."""
    if not ((scales >= 0) & (scales <= MAX_SCALE)).all():
        return math.nan, math.nan, 0.0
    between, own = _Lanes(), _Lanes()
    difference = np.empty(0, np.float32)
    for here, of_them in pieces(x.size):
        difference = _difference(x[here], base[here], scales[of_them], codes[here])
        between.add(difference)
        own.add(x[here])
    distance, radius = between.norm(), own.norm() + floor
    if not distance <= refuse * radius or distance == math.inf:
        return distance, radius, 0.0
    if distance > radius:
        weight *= radius / distance
    if weight > 0:
        factor = np.float32(weight)
        for here, of_them in pieces(x.size):
            if x.size > PIECE:  # else it is still there
                difference = _difference(x[here], base[here], scales[of_them], codes[here])
            difference *= factor
            x[here] += difference
    return distance, radius, weight


def pieces(size: int) -> Iterator[tuple[slice, slice]]:
    """Slices of a vector and of its scales, in order."""
    if size <= PIECE:
        yield slice(None), slice(None)
        return
    for start in range(0, size, PIECE):
        yield slice(start, start + PIECE), slice(start // BLOCK, (start + PIECE) // BLOCK)


def rebuilt(base: Floats, scales: Floats, codes: Codes | Floats) -> Floats:
    """base + scale · code."""
    blocks = np.zeros((scales.size, BLOCK), dtype=np.float32)
    vector = blocks.reshape(-1)[: base.size]
    vector[:] = codes
    with np.errstate(over="ignore", invalid="ignore"):
        blocks *= scales[:, None]
        vector += base
    return vector


def _difference(x: Floats, base: Floats, scales: Floats, codes: Codes | Floats) -> Floats:
    """base + scale · code - x."""
    difference = rebuilt(base, scales, codes)
    with np.errstate(over="ignore", invalid="ignore"):
        difference -= x
    return difference


class _Lanes:
    """Sums of squares, in lanes, of pieces of a vector that come one after another."""

    def __init__(self) -> None:
        self._lanes = np.zeros(BLOCK, np.float32)

    def add(self, v: Floats) -> None:
        rows = -(-v.size // BLOCK)
        squares = np.zeros((1 + rows, BLOCK), dtype=np.float32)
        squares[0] = self._lanes
        with np.errstate(over="ignore", invalid="ignore"):
            np.multiply(v, v, out=squares[1:].reshape(-1)[: v.size])
            np.add.reduce(squares, axis=0, out=self._lanes)

    def norm(self) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            return math.sqrt(np.cumsum(self._lanes, dtype=np.float64)[-1])


def norm(v: Floats) -> float:
    """The Euclidean norm of `v`, shape (d,), summed as the package says; not finite if a coordinate isn't."""
    lanes = _Lanes()
    for here, _ in pieces(v.size):
        lanes.add(v[here])
    return lanes.norm()


def distance(v: Floats, w: Floats) -> float:
    """The norm of `v` - `w`, without a vector for it."""
    lanes = _Lanes()
    with np.errstate(over="ignore", invalid="ignore"):
        for here, _ in pieces(v.size):
            lanes.add(v[here] - w[here])
    return lanes.norm()


def is_sane(vector: Floats) -> bool:
    """Is every coordinate within ±MAX_COORDINATE? NaN is not."""
    return all((np.abs(vector[here]) <= MAX_COORDINATE).all() for here, _ in pieces(vector.size))


def encode(x: Floats, base: Floats, dither: Floats, levels: int, scales: Floats, codes: Codes) -> None:
    """See Kernel."""
    blocks = np.zeros((scales.size, BLOCK), dtype=np.float32)
    difference = blocks.reshape(-1)[: x.size]
    np.subtract(x, base, out=difference)
    np.divide(np.abs(blocks).max(axis=1), np.float32(levels), out=scales)
    blocks *= np.divide(1, scales, out=np.zeros_like(scales), where=scales > TINY)[:, None]
    difference += dither
    np.floor(difference, out=difference)
    np.clip(difference, -levels, levels, out=difference)
    codes[:] = difference


def follow(average: Floats, x: Floats, weight: float, push: float) -> None:
    """See Kernel."""
    for here, _ in pieces(x.size):
        difference = x[here] - average[here]
        average[here] += difference * np.float32(weight)
        if push:
            difference *= np.float32(push)
            x[here] += difference


def add(x: Floats, delta: Floats) -> bool:
    """See Kernel."""
    with np.errstate(over="ignore", invalid="ignore"):
        if not all((np.abs(x[here] + delta[here]) <= MAX_COORDINATE).all() for here, _ in pieces(x.size)):
            return False  # NaN fails it too
    x += delta
    return True
