"""The compiled kernel: numba, one or two passes over memory each. `gossipfl.kernels.Kernel` says what each does.

Loops over a block have no dependency from one coordinate to the next, so the compiler can use vector instructions
without reordering anything. No fastmath: every result is byte for byte that of the reference. Compiled code is kept on
disk by numba, beside this file or in the user's cache.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from gossipfl.kernels import BLOCK, MAX_COORDINATE, MAX_SCALE, Codes, Floats
from gossipfl.kernels.numpy import TINY

_ZERO, _ONE, _TINY = np.float32(0), np.float32(1), np.float32(TINY)
_MAX_SCALE, _MOST = np.float32(MAX_SCALE), np.float32(MAX_COORDINATE)
_MAGNITUDE = np.int32(0x7FFFFFFF)
"""All bits of a float32 but its sign. Without it floats are ordered as integers are, whose max is vectorised."""


@njit(cache=True)
def merge(
    x: Floats, base: Floats, scales: Floats, codes: Codes | Floats, weight: float, floor: float, refuse: float
) -> tuple[float, float, float]:
    """See Kernel."""
    between, own = np.zeros(BLOCK, np.float32), np.zeros(BLOCK, np.float32)
    for block in range(scales.size):
        scale = scales[block]
        if not (scale >= _ZERO and scale <= _MAX_SCALE):
            return math.nan, math.nan, 0.0
        here = slice(block * BLOCK, min(x.size, (block + 1) * BLOCK))
        one, origin, steps = x[here], base[here], codes[here]
        for i in range(one.size):
            difference = np.float32(steps[i]) * scale + origin[i] - one[i]
            between[i] += difference * difference
        for i in range(one.size):
            own[i] += one[i] * one[i]
    distance, radius = _total(between), _total(own) + floor
    if not distance <= refuse * radius or distance == math.inf:
        return distance, radius, 0.0
    if distance > radius:
        weight *= radius / distance
    if weight > 0:
        factor = np.float32(weight)
        for block in range(scales.size):
            scale = scales[block]
            here = slice(block * BLOCK, min(x.size, (block + 1) * BLOCK))
            one, origin, steps = x[here], base[here], codes[here]
            for i in range(one.size):
                one[i] += (np.float32(steps[i]) * scale + origin[i] - one[i]) * factor
    return distance, radius, weight


@njit(cache=True)
def _total(lanes: Floats) -> float:
    total = 0.0
    for lane in lanes:
        total += np.float64(lane)
    return math.sqrt(total)


@njit(cache=True)
def encode(x: Floats, base: Floats, dither: Floats, levels: int, scales: Floats, codes: Codes) -> None:
    """See Kernel."""
    most = np.float32(levels)
    difference, largest = np.empty(BLOCK, np.float32), np.empty(1, np.int32)
    bits, largest_of_them = difference.view(np.int32), largest.view(np.float32)
    for block in range(scales.size):
        here = slice(block * BLOCK, min(x.size, (block + 1) * BLOCK))
        one, origin, noise, steps = x[here], base[here], dither[here], codes[here]
        for i in range(one.size):
            difference[i] = one[i] - origin[i]
        top = np.int32(0)
        for i in range(one.size):
            top = max(top, bits[i] & _MAGNITUDE)
        largest[0] = top
        scale = largest_of_them[0] / most
        scales[block] = scale
        inverse = _ONE / scale if scale > _TINY else _ZERO
        for i in range(one.size):
            step = np.floor(difference[i] * inverse + noise[i])
            steps[i] = np.int8(min(max(step, -most), most))


@njit(cache=True)
def follow(average: Floats, x: Floats, weight: float, push: float) -> None:
    """See Kernel."""
    factor, further = np.float32(weight), np.float32(push)
    for i in range(x.size):
        difference = x[i] - average[i]
        average[i] += difference * factor
        if further:
            x[i] += difference * further


@njit(cache=True)
def add(x: Floats, delta: Floats) -> bool:
    """See Kernel."""
    bad = 0
    for i in range(x.size):
        bad += not abs(x[i] + delta[i]) <= _MOST
    if bad:
        return False
    for i in range(x.size):
        x[i] += delta[i]
    return True
