"""top-k: the coordinates that moved furthest since they were last published.

Sparsification with memory (Stich, Cordonnier, Jaggi 2018), with the memory where loss can't corrupt it: at the sender,
as the difference between x and what it last said of each coordinate, and never per link. What was rounded away or left
out stays in that difference, and grows until it is sent. ‖c − TopK(c)‖² ≤ (1 − k/d)‖c‖².
"""

from __future__ import annotations

import random
from typing import ClassVar

import numpy as np
from msgspec import Struct

from gossipfl.codec.coordinates import All, Coordinates, written
from gossipfl.kernels import Floats
from gossipfl.model.schema import Schema


class TopK(Struct, frozen=True):
    """The k = ⌈share · d⌉ largest changes."""

    share: float
    by_change: ClassVar[bool] = True
    each: ClassVar[bool] = False

    def choose(self, schema: Schema, change: Floats | None, slot: int, rng: random.Random) -> Coordinates:  # noqa: ARG002
        """The k largest by magnitude; those that did not move at all are left out."""
        assert change is not None
        d = change.size
        k = max(1, int(np.ceil(self.share * d)))
        if k >= d:
            return All()
        magnitude = np.abs(change)
        largest = np.argpartition(magnitude, d - k)[d - k :]
        return written(np.sort(largest[magnitude[largest] > 0]), d)
