"""Saved: what a peer must remember to go on after a crash as after a pause, and when that is to be written down.

Data and a rule; where it is written is the driver's part, a file in the daemon and a value in the simulator. What is
not in it a peer learns again by itself: who is there, what they publish, and how far models are apart.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gossipfl.model.replica import Checkpoint
from gossipfl.model.schema import Vector
from gossipfl.wire.messages import Addresses, Counter, PeerId

EVERY = 10.0
"""Seconds between two saves. What was learnt since the last one is lost in a crash; others still have most of it."""
SHARE = 0.02
"""Of the time may be spent writing: of a model that takes three seconds, every two and a half minutes."""


class Notes(Struct, frozen=True, forbid_unknown_fields=True):
    """All of it but the vectors. A new field needs a default: then what was saved without it can still be read."""

    incarnation: Counter
    """Of the life that saved this."""
    number: Counter
    """Of its saves, from 1: of two, the newer has the larger incarnation, or else the larger number."""
    progress: Annotated[float, Meta(gt=0)]
    """H̄, the age that a publish interval adds."""
    period: Annotated[float, Meta(gt=0)]
    """Seconds between two publishes."""
    budget: tuple[float, float]
    """How much of what can be saved up was left, and when."""
    peers: dict[PeerId, Addresses]
    """Where others can be reached."""


class Saved(Struct, frozen=True):
    """A peer at one moment. Its vectors are to be read only, and stay as they are."""

    notes: Notes
    model: Checkpoint
    base: Vector
    """The one that the peer publishes against, shape (d,)."""


class Schedule:
    """When to save: when an interval begins, at the latest `every` seconds after the last time; and after joining.

    Saves may be seldom, if they take long. Times are of any clock that never runs back, in seconds.
    """

    def __init__(self, every: float = EVERY) -> None:
        self._every = every
        self._next = self._earliest = float("-inf")
        self.seconds = 0.0
        """What the last save took."""

    def joined(self) -> None:
        """What there is now was paid for with bytes of others: it is worth saving soon."""
        self._next = self._earliest

    def due(self, now: float) -> bool:
        """An interval begins: is it time to save?"""
        return now >= self._next

    def saved(self, begun: float, ended: float) -> None:
        """A save took so long, whether it went well or not."""
        self.seconds = ended - begun
        self._earliest = begun + self.seconds / SHARE
        self._next = max(begun + self._every, self._earliest)
