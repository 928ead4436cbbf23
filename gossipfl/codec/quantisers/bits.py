"""Bits: small unsigned numbers packed densely, eight at a time.

Eight numbers of b bits lie in the eight bytes of a 64-bit word; three shifts bring them together in its lowest b bytes.
Each array operation treats a whole piece at once, so packing costs about as much as copying.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gossipfl.errors import RemoteError

Numbers = npt.NDArray[np.uint8]

WORD = 8
PIECE = 1 << 15
"""Words at a time: what fits a cache."""


def packed_size(n: int, b: int) -> int:
    """Bytes of n numbers of b bits; the last word is filled up with zeros."""
    return -(-n // WORD) * b


def pack_bits(numbers: Numbers, b: int, out: Numbers) -> None:
    """Write `numbers`, shape (n,), into `out`, shape (packed_size(n, b),).

    All are below 2^b, with 1 ≤ b ≤ 4: beyond, neighbours would overlap.
    """
    words = -(-numbers.size // WORD)
    for start in range(0, words, PIECE):
        here = numbers[start * WORD : (start + PIECE) * WORD]
        word = np.zeros(-(-here.size // WORD), "<u8")
        word.view(np.uint8)[: here.size] = here
        for half, mask in _steps(b):
            word |= word >> half
            word &= mask
        packed = out[start * b : (start + word.size) * b]
        packed.reshape(-1, b)[:] = word.view(np.uint8).reshape(-1, WORD)[:, :b]


def unpack_bits(data: bytes | memoryview, n: int, b: int) -> Numbers:
    """The n numbers of b bits in `data`, which has packed_size(n, b) bytes.

    Raises:
        RemoteError: what fills up the last word is not zero.
    """
    raw = np.frombuffer(data, np.uint8).reshape(-1, b)
    out = np.empty(len(raw) * WORD, np.uint8)
    for start in range(0, len(raw), PIECE):
        here = raw[start : start + PIECE]
        word = out[start * WORD : (start + len(here)) * WORD].view("<u8")
        word[:] = 0
        word.view(np.uint8).reshape(-1, WORD)[:, :b] = here
        for half, mask in _steps(b, back=True):
            word |= word << half
            word &= mask
    if out[n:].any():
        raise RemoteError("payload goes on after its last coordinate")
    return out[:n]


def _steps(b: int, *, back: bool = False) -> list[tuple[np.uint64, np.uint64]]:
    """By how much to shift neighbours together, and which bits are theirs then; or apart again."""
    steps = []
    for width in (8, 16, 32):
        bits = b * width // 8
        apart = sum(((1 << bits) - 1) << at for at in range(0, 64, width))
        together = sum(((1 << 2 * bits) - 1) << at for at in range(0, 64, 2 * width))
        steps.append((np.uint64(width - bits), np.uint64(apart if back else together)))
    return steps[::-1] if back else steps
