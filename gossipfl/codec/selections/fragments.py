"""fragments: each recipient of a publish gets another fragment (DivShare; Biswas et al., WWW 2025).

A slow link then delays a part of the model and not all of it, and no single peer sees a whole model at once.
"""

from __future__ import annotations

import random
from typing import ClassVar

from msgspec import Struct

from gossipfl.codec.coordinates import Coordinates, fragment
from gossipfl.kernels import Floats
from gossipfl.model.schema import Schema


class Fragments(Struct, frozen=True):
    """One of `parts` fragments per message, at random; of fewer where the model is small."""

    parts: int
    by_change: ClassVar[bool] = False
    each: ClassVar[bool] = True

    @property
    def share(self) -> float:
        """1 / parts."""
        return 1 / self.parts

    def choose(self, schema: Schema, change: Floats | None, slot: int, rng: random.Random) -> Coordinates:  # noqa: ARG002
        """A fragment."""
        return fragment(rng.getrandbits(32), self.parts, schema.shared_size)
