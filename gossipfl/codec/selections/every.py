"""all: every coordinate, every time."""

from __future__ import annotations

import random
from typing import ClassVar

from msgspec import Struct

from gossipfl.codec.coordinates import All, Coordinates
from gossipfl.kernels import Floats
from gossipfl.model.schema import Schema


class Every(Struct, frozen=True):
    """Every coordinate."""

    share: ClassVar[float] = 1.0
    by_change: ClassVar[bool] = False
    each: ClassVar[bool] = False

    def choose(self, schema: Schema, change: Floats | None, slot: int, rng: random.Random) -> Coordinates:  # noqa: ARG002
        """All of them."""
        return All()
