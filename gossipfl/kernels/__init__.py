"""Vector maths of the protocol, behind one small interface: all that touches every coordinate of a model, often.

numpy is the reference, and what a daemon uses: it is there anyway. numba does the same in one pass over memory, for
simulators of thousands of peers, after some seconds of compiling. Both give equal bytes, by test: the same float32
operations in the same order for each coordinate, sums in one fixed order (below), no reassociation, no fused
multiply-add. Knows arrays only; never peers, messages or what a number means to the protocol.

Sums of squares are taken in BLOCK lanes: lane l adds v[l]², v[l + BLOCK]², … in float32, one after another, and then
the lanes are added in float64, one after another. Both kernels can do that, and both fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from gossipfl.errors import LocalError

Floats: TypeAlias = npt.NDArray[np.float32]
Codes: TypeAlias = npt.NDArray[np.int8]
Indices: TypeAlias = npt.NDArray[np.intp]
Index: TypeAlias = slice | Indices
"""What numpy takes: a slice, or ascending indices without duplicates."""

BLOCK = 256
"""Coordinates per scale: 1.6 % more bytes buys scales that follow layers of different magnitude."""
MAX_COORDINATE = 1e9
"""Larger values are no model's weights; below it, sums of squares stay far from float32's end."""
MAX_SCALE = MAX_COORDINATE
"""Larger steps are no model's."""
NAMES = ("numpy", "numba")


class Kernel(Protocol):
    """A way to do it. All vectors are contiguous, of shape (d,); `scales` has one element for each BLOCK of them."""

    def merge(
        self, x: Floats, base: Floats, scales: Floats, codes: Codes | Floats, weight: float, floor: float, refuse: float
    ) -> tuple[float, float, float]:
        """Move `x` towards y = base + scale · code: x += w · (y - x), in place.

        Args:
            x: the model, which is changed unless y is refused.
            base: what the codes are relative to.
            scales: the step of each block; refused unless in [0, MAX_SCALE].
            codes: the steps of each coordinate.
            weight: how far to go, before clipping.
            floor: the clip radius is r = |x| + floor.
            refuse: y is refused, and nothing changed, beyond that many radii.

        Returns:
            (|y - x|, r, w): the distance, NaN for bad scales; the radius; and the weight, weight · min(1, r / |y - x|),
            or 0 where y was refused.
        """

    def encode(self, x: Floats, base: Floats, dither: Floats, levels: int, scales: Floats, codes: Codes) -> None:
        """Write into `scales` and `codes` what x - base is, with levels in 1 to 127.

        scale = max |x - base| / levels, and code = ⌊(x - base) / scale + dither⌋, which is in [-levels, levels].
        """

    def follow(self, average: Floats, x: Floats, weight: float, push: float) -> None:
        """average += weight · d and x += push · d, both in place, with d = x - average as they were."""

    def add(self, x: Floats, delta: Floats) -> bool:
        """x += delta, in place, and return True; or False if that leaves ±MAX_COORDINATE, and nothing has changed."""


def gather(vector: Floats, index: Index) -> Floats:
    """`vector[index]`, contiguous; a view where that is one."""
    part = vector[index]
    return part if part.flags.c_contiguous else part.copy()


def kernel(name: str) -> Kernel:
    """The kernel of that name; importing numba's costs a second, and its first use some seconds of compilation.

    Raises:
        LocalError: no such kernel, or numba is not installed.
    """
    if name not in NAMES:
        raise LocalError(f"kernel = {name!r}: allowed is {' or '.join(NAMES)}")
    try:
        module: Kernel = import_module(f"gossipfl.kernels.{name}")
    except ImportError as error:
        raise LocalError(f"kernel = {name!r}: {error}; the extra `sim` has it") from error
    return module
