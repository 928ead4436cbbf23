"""What a quantiser is: floats to bytes and back, with one scale for each block of coordinates.

Knows arrays and bytes; never peers, messages, or which coordinates it was given.
"""

from __future__ import annotations

import random
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gossipfl.codec.packing import Data
from gossipfl.errors import RemoteError
from gossipfl.kernels import BLOCK, MAX_SCALE, Codes, Floats, Kernel


class Quantiser(Protocol):
    """A strategy. What it says of a coordinate is code · scale, with the scale of its block of 256."""

    @property
    def name(self) -> str:
        """As in a configuration."""
        ...

    @property
    def number(self) -> int:
        """What stands for it on the wire, for ever."""
        ...

    @property
    def bits(self) -> float:
        """For each coordinate of a long vector, scales included."""
        ...

    @property
    def noise(self) -> float:
        """The root mean square error of a coordinate over that of x − base, if that is Gaussian; about."""
        ...

    def encode(self, x: Floats, base: Floats, rng: random.Random, kernel: Kernel) -> memoryview:
        """What x − base is, shapes (n,), contiguous; `rng` decides how it is rounded."""
        ...

    def size(self, n: int) -> int:
        """The length of what `encode` makes of n coordinates."""
        ...

    def decode(self, data: Data, n: int) -> tuple[Floats, Codes | Floats]:
        """Scales, shape (⌈n / 256⌉,), and codes, shape (n,).

        Raises:
            RemoteError: wrong length, or codes that `encode` never writes. Scales are for `check`, or the kernel.
        """
        ...


def blocks(n: int) -> int:
    """How many blocks n coordinates have."""
    return -(-n // BLOCK)


def check(scales: Floats) -> None:
    """Raise RemoteError for a scale that is not finite or out of [0, 1e9]."""
    if not ((scales >= 0) & (scales <= MAX_SCALE)).all():  # NaN fails both
        raise RemoteError(f"payload has a scale outside [0, {MAX_SCALE:g}]")


def check_length(name: str, data: Data, size: int) -> None:
    """Raise RemoteError unless `data` has that many bytes."""
    if len(data) != size:
        raise RemoteError(f"{name} payload of {len(data)} bytes; expected {size}")


def floats(data: Data, dtype: str, n: int) -> npt.NDArray[Any]:
    """The first `n` numbers in `data`, where they are, unless that is no place for them in memory."""
    found = np.frombuffer(data, dtype, n)
    return found if found.flags.aligned else found.copy()


def values(scales: Floats, codes: Codes | Floats) -> Floats:
    """code · scale, shape (n,)."""
    product: Floats = np.repeat(scales, BLOCK)[: codes.size]
    product *= codes
    return product
