"""The replica: one node's model, and every way in which it may change.

Owns x (what is trained and published), the anchor A (x after the last merge), the age g (local steps contained in x),
the served average, and the personal values. Each change is one method: add a training result, merge a peer's model,
rebase, restart. Each changes all or nothing. Must never know about messages, peers or time.

Shapes: x, A and served are (d,) float32 with d = schema.shared_size.
"""

from __future__ import annotations

import math

import numpy as np

from gossipfl.errors import LocalError
from gossipfl.kernels import Codes, Floats, Index, Kernel, gather
from gossipfl.kernels import numpy as reference
from gossipfl.mixing.momentum import QuasiGlobal
from gossipfl.model.rebase import rebase
from gossipfl.model.schema import Schema, Vector
from gossipfl.model.served import Served

MAX_AGE = 1e15
"""Local steps: a thousand years of a million steps a minute; beyond it an age is a lie."""
FLOOR_RMS = 0.1
"""Keeps the radius sane for a model that starts at zero; the usual size of an initial weight."""
REFUSE_RADII = 10.0
"""Beyond ten clip radii it is not a stale or skewed model but junk, and its sender loses reputation."""


class Replica:
    """A model of `schema` that starts at the full vector `initial`, changed by `kernel`.

    Raises:
        LocalError: `initial` has the wrong shape or dtype, or is not finite.
    """

    def __init__(self, schema: Schema, initial: Vector, kernel: Kernel = reference) -> None:
        self.schema = schema
        self.x, self._personal = schema.split(initial)
        if not np.isfinite(initial).all():
            raise LocalError("model vector: the initial vector is not finite")
        self._kernel = kernel
        self._floor = FLOOR_RMS * math.sqrt(self.x.size)
        self._progress: Vector | None = None
        """What training has added since the last merge, x - A; None where it has not."""
        self._momentum: QuasiGlobal | None = None
        self.served = Served(self.x, kernel)
        self.age = 0.0

    @property
    def anchor(self) -> Vector:
        """A."""
        return self.x if self._progress is None else self.x - self._progress

    def full(self) -> Vector:
        """What training starts from: a new full vector, shape (schema.size,)."""
        return self.schema.join(self.x, self._personal)

    def full_served(self) -> Vector:
        """What predictions come from: the served average with this node's personal values, shape (schema.size,)."""
        return self.schema.join(self.served.x, self._personal)

    def add_training(self, delta: Vector, steps: int) -> None:
        """Add what `steps` local steps changed, a full vector, which is kept; merges that happened meanwhile stay.

        Raises:
            LocalError: wrong shape, not finite, or it would make the model overflow. Nothing is changed then.
        """
        shared, personal = self.schema.parts(delta)
        mine = self._personal.copy() if personal.size else self._personal  # most models have nothing personal
        if not ((not mine.size or self._kernel.add(mine, personal)) and self._kernel.add(self.x, shared)):
            raise LocalError("training diverged: its result is not finite; a smaller learning rate may help")
        self._personal = mine
        self._progress = shared if self._progress is None else self._progress + shared
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
        x, n = gather(self.x, index), codes.size
        floor = self._floor * math.sqrt(n / self.x.size)
        distance, radius, weight = self._kernel.merge(
            x, gather(base, index), scales, codes, weight, floor, REFUSE_RADII
        )
        if weight > 0:
            if not np.may_share_memory(x, self.x):
                self.x[index] = x
            self._progress = None
            self.age += weight * n / self.x.size * (age - self.age)
        return distance, REFUSE_RADII * radius, weight

    def add_momentum(self) -> None:
        """Go on in the direction of the way since the last call; call it once per publish interval."""
        if self._momentum is None:
            self._momentum = QuasiGlobal(self.x)
        elif not self._momentum.step(self.x):
            self._momentum = None  # the model stays, and momentum begins anew

    def rebase(self, snapshots: list[Vector], age: float) -> None:
        """Take up the mesh's model from its peers' snapshots; see `gossipfl.model.rebase`."""
        self.x, anchor = rebase(snapshots, self.x, self.anchor)
        self._progress = self.x - anchor
        self._momentum = None
        self.served.restart(self.x)
        self.age = age

    def restart(self, x: Vector) -> None:
        """Begin again at the shared vector `x`, untrained."""
        self.x, self._progress, self._momentum, self.age = x.copy(), None, None, 0.0
        self.served.restart(self.x)
