"""What a selection is: a small frozen object with one method.

It may look at the time slot, which all nodes share more or less, at how far each coordinate has moved since it was last
published, and at chance. Knows no peers and no messages.
"""

from __future__ import annotations

import random
from typing import Protocol

from gossipfl.codec.coordinates import Coordinates
from gossipfl.kernels import Floats
from gossipfl.model.schema import Schema


class Selection(Protocol):
    """A strategy."""

    @property
    def share(self) -> float:
        """Which part of the coordinates a message carries, about."""
        ...

    @property
    def by_change(self) -> bool:
        """Does it look at the change?"""
        ...

    @property
    def each(self) -> bool:
        """Does every recipient get a selection of its own?"""
        ...

    def choose(self, schema: Schema, change: Floats | None, slot: int, rng: random.Random) -> Coordinates:
        """The coordinates of one message.

        Args:
            schema: the layout of the model.
            change: x minus what was last published of it, shape (d,); given if `by_change`.
            slot: the number of publish intervals since the clock began.
            rng: all randomness.
        """
        ...
