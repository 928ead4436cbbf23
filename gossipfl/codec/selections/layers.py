"""layers: one tensor of the model per time slot, the same for every node, in the schema's order.

Partial model exchange by layer; for models whose parts age differently. Personal tensors are never among them.
"""

from __future__ import annotations

import random
from typing import ClassVar

from msgspec import Struct

from gossipfl.codec.coordinates import Coordinates, Strided
from gossipfl.kernels import Floats
from gossipfl.model.schema import Schema


class Layers(Struct, frozen=True):
    """One shared tensor per slot."""

    share: ClassVar[float] = 0.5
    """Not known without a schema; between `all` and the sparse ones."""
    by_change: ClassVar[bool] = False
    each: ClassVar[bool] = False

    def choose(self, schema: Schema, change: Floats | None, slot: int, rng: random.Random) -> Coordinates:  # noqa: ARG002
        """The coordinates of this slot's tensor."""
        sizes = [tensor.size for tensor in schema.tensors if not tensor.personal]
        which = slot % len(sizes)
        start = sum(sizes[:which])
        return Strided(start, start + sizes[which], 1)
