"""random: every coordinate with the same probability, drawn anew for each publish; a seed says which.

Random sparsification (Wangni et al., 2018) without its rescaling: receivers mix the coordinates that they get.
"""

from __future__ import annotations

import random
from typing import ClassVar

from msgspec import Struct

from gossipfl.codec.coordinates import All, Coordinates, Seeded
from gossipfl.kernels import Floats
from gossipfl.model.schema import Schema


class RandomK(Struct, frozen=True):
    """Each coordinate with probability `share`."""

    share: float
    by_change: ClassVar[bool] = False
    each: ClassVar[bool] = False

    def choose(self, schema: Schema, change: Floats | None, slot: int, rng: random.Random) -> Coordinates:  # noqa: ARG002
        """A random set."""
        if self.share == 1:
            return All()
        return Seeded(rng.getrandbits(32), round(self.share * 2**32))
