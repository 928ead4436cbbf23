"""round robin: in one time slot every node sends the same fragment, and in the next one the next.

Nodes then mix the same coordinates at the same time, as if they sent a small model whole, which keeps models with
skewed data together where other sparse selections let them drift apart. Slots need only be shared loosely.
"""

from __future__ import annotations

import random
from typing import ClassVar

from msgspec import Struct

from gossipfl.codec.coordinates import Coordinates, fragment
from gossipfl.kernels import Floats
from gossipfl.model.schema import Schema


class RoundRobin(Struct, frozen=True):
    """One of `parts` fragments per slot; of fewer where the model is small."""

    parts: int
    by_change: ClassVar[bool] = False
    each: ClassVar[bool] = False

    @property
    def share(self) -> float:
        """1 / parts."""
        return 1 / self.parts

    def choose(self, schema: Schema, change: Floats | None, slot: int, rng: random.Random) -> Coordinates:  # noqa: ARG002
        """The fragment of this slot."""
        return fragment(slot, self.parts, schema.shared_size)
