"""The replica: one node's model, and every way in which it may change.

Owns x (what is trained and published), the age g (local steps contained in x), the served average, and the personal
values. Each change is one method: add a training result, merge a peer's model, end an interval, rebase, restart. Each
changes all or nothing. A checkpoint costs nothing when it is taken: what it holds is copied before it changes, if it is
still there then. Must never know about messages, peers or time.

Shapes: x and served are (d,) float32 with d = schema.shared_size.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct

from gossipfl.errors import LocalError
from gossipfl.kernels import MAX_COORDINATE, Codes, Floats, Index, Kernel, gather
from gossipfl.kernels import numpy as reference
from gossipfl.kernels.numpy import is_sane
from gossipfl.model.lender import Lender
from gossipfl.model.rebase import Told, median
from gossipfl.model.schema import Schema, Vector
from gossipfl.model.served import Served

MAX_AGE = 1e15
"""Local steps: a thousand years of a million steps a minute; beyond it an age is a lie."""
FLOOR_RMS = 0.1
"""Keeps the radius sane for a model that starts at zero; the usual size of an initial weight."""
REFUSE_RADII = 10.0
"""Beyond ten clip radii it is not a stale or skewed model but junk, and its sender loses reputation."""


class Checkpoint(Struct, frozen=True):
    """A replica at one moment. Its vectors are to be read only, and stay as they are for as long as they are there."""

    x: Vector
    personal: Vector
    served: Vector
    averaged: int
    """How many models went into `served`."""
    age: float


class Replica(Lender):
    """A model of `schema` that starts at a full vector, or goes on from a checkpoint, changed by `kernel`.

    Raises:
        LocalError: `start` has the wrong shape or dtype, or a value that is no model's.
    """

    def __init__(self, schema: Schema, start: Vector | Checkpoint, kernel: Kernel = reference) -> None:
        self.schema = schema
        self._kernel = kernel
        if isinstance(start, Checkpoint):
            schema.join(start.x, start.personal)  # for its check
            schema.join(start.served, start.personal)
            super().__init__(start.x)
            self._personal, self.age = start.personal, start.age
            self.served = Served(start.served, kernel, start.averaged)
        else:
            x, self._personal = schema.split(start)
            super().__init__(x)
            self._put(x)
            self.served, self.age = Served(self.lend(), kernel), 0.0
        if not all(map(is_sane, (self.x, self._personal, self.served.x))):
            raise LocalError(f"model vector: it starts with values that are not within ±{MAX_COORDINATE:g}")
        self._floor = FLOOR_RMS * math.sqrt(self.x.size)

    def checkpoint(self) -> Checkpoint:
        """All of it, as it is now."""
        return Checkpoint(self.lend(), self._personal, *self.served.checkpoint(), self.age)

    def full(self) -> Vector:
        """What training starts from, shape (schema.size,): to be read only, and only until the model changes."""
        return self.schema.join(self.x, self._personal)

    def full_served(self) -> Vector:
        """What predictions come from: the served average with this node's personal values; otherwise as `full`."""
        return self.schema.join(self.served.x, self._personal)

    def add_training(self, delta: Vector, steps: int) -> None:
        """Add what `steps` local steps changed, a full vector; merges that happened meanwhile stay.

        Raises:
            LocalError: wrong shape, or values that are no model's. Nothing is changed then.
        """
        shared, personal = self.schema.parts(delta)
        mine = self._personal.copy() if personal.size else self._personal  # most models have nothing personal
        if not ((not mine.size or self._kernel.add(mine, personal)) and self._kernel.add(self._own(), shared)):
            raise LocalError(
                f"training diverged: its result is not within ±{MAX_COORDINATE:g}; a smaller learning rate may help"
            )
        self._personal = mine
        self.age = min(self.age + steps, MAX_AGE)

    def radius(self) -> float:
        """The clip radius of an update, as a Euclidean length: per coordinate, rms(x) + FLOOR_RMS.

        Models of one mesh differ by less than their own size, so honest updates pass whole, and one update moves the
        receiver by at most half of that, whatever it claims.
        """
        return reference.norm(self.x) + self._floor

    def distance(self, other: Vector) -> float:
        """The Euclidean distance to `other`, which is not finite when a coordinate isn't."""
        return reference.distance(other, self.x)

    def merge(
        self, index: Index, base: Vector, scales: Floats, codes: Codes | Floats, weight: float, age: float
    ) -> tuple[float, float, float]:
        """Move towards a peer's model, base[index] + scale · code, and the age by the same linear map towards `age`.

        All is as if the model had the coordinates in `index` only, but for the age, which moves by their share.
        Returns its distance, the largest distance that is not refused, and the weight that it counted, which is
        `weight` unless it was clipped. Where it is refused the distance is larger, or NaN if a scale is bad, and
        nothing has changed.
        """
        x, n = gather(self._own(), index), codes.size
        floor = self._floor * math.sqrt(n / self.x.size)
        distance, radius, weight = self._kernel.merge(
            x, gather(base, index), scales, codes, weight, floor, REFUSE_RADII
        )
        if weight > 0:
            if not np.may_share_memory(x, self.x):
                self.x[index] = x
            self.age += weight * n / self.x.size * (age - self.age)
        return distance, REFUSE_RADII * radius, weight

    def end_interval(self, momentum: str, own: float) -> None:
        """Take the merged model into the served one, and go on with `momentum`; once per publish interval.

        `own` is the part of the model's progress that comes from this node's own training, not with merges.
        """
        self.served.add(self._own(), momentum, own)

    def rebase(self, snapshots: list[Told], age: float) -> None:
        """Take up the mesh's model from its peers' snapshots; see `gossipfl.model.rebase`."""
        median(snapshots, self._room())
        self.served.restart(self.lend())
        self.age = age

    def restart(self, x: Vector) -> None:
        """Begin again at the shared vector `x`, untrained; it is copied before it changes."""
        self._replace(x)
        self.served.restart(x)
        self.age = 0.0
