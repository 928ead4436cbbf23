"""The replica: one node's model, and every way in which it may change.

Owns x (what is trained and published), the anchor A (x after the last merge), the age g (local steps contained in x),
the served average, and the personal values. Each change is one method: add a training result, mix in a peer's model,
rebase, restart. Judging whether a change is allowed is the caller's part, done before it; nothing here fails halfway.
Must never know about messages, peers or time.

Shapes: x, A, served and differences are (d,) float32 with d = schema.shared_size.
"""

from __future__ import annotations

import math

import numpy as np

from gossipfl.errors import LocalError
from gossipfl.model.rebase import rebase
from gossipfl.model.schema import Schema, Vector
from gossipfl.model.served import Served

MAX_AGE = 1e15
"""Local steps: a thousand years of a million steps a minute; beyond it an age is a lie."""
CLIP_RMS = 1.0
"""Clip radius per coordinate, in units of (rms(x) + FLOOR_RMS): models of one mesh differ by less than their own size,
so honest updates pass whole, and one update moves the receiver by at most half of that, whatever it claims."""
FLOOR_RMS = 0.1
"""Keeps the radius sane for a model that starts at zero; the usual size of an initial weight."""
REFUSE_RMS = 10.0
"""Beyond ten clip radii it is not a stale or skewed model but junk, and its sender loses reputation."""


class Replica:
    """A model of `schema` that starts at the full vector `initial`.

    Raises:
        LocalError: `initial` has the wrong shape or dtype, or is not finite.
    """

    def __init__(self, schema: Schema, initial: Vector) -> None:
        self.schema = schema
        self.x, self._personal = schema.split(initial)
        if not np.isfinite(initial).all():
            raise LocalError("model vector: the initial vector is not finite")
        self.anchor = self.x.copy()
        self.served = Served(self.x)
        self.age = 0.0

    def full(self) -> Vector:
        """What training starts from: a new full vector, shape (schema.size,)."""
        return self.schema.join(self.x, self._personal)

    def full_served(self) -> Vector:
        """What predictions come from: the served average with this node's personal values, shape (schema.size,)."""
        return self.schema.join(self.served.x, self._personal)

    def add_training(self, delta: Vector, steps: int) -> None:
        """Add what `steps` local steps changed, a full vector; merges that happened meanwhile stay.

        Raises:
            LocalError: wrong shape, not finite, or it would make the model overflow. Nothing is changed then.
        """
        shared, personal = self.schema.split(delta)
        with np.errstate(over="ignore", invalid="ignore"):
            shared += self.x
            personal += self._personal
        if not (np.isfinite(shared).all() and np.isfinite(personal).all()):
            raise LocalError("training diverged: its result is not finite; a smaller learning rate may help")
        self.x, self._personal = shared, personal
        self.age = min(self.age + steps, MAX_AGE)

    def radius(self) -> float:
        """The clip radius of an update, as a Euclidean length."""
        d = self.x.size
        return CLIP_RMS * (_norm(self.x) + FLOOR_RMS * math.sqrt(d))

    def difference(self, other: Vector) -> tuple[Vector, float]:
        """other − x and its Euclidean norm, which is not finite when any coordinate isn't. Overwrites `other`."""
        with np.errstate(over="ignore", invalid="ignore"):
            np.subtract(other, self.x, out=other)
            return other, _norm(other)

    def mix(self, difference: Vector, weight: float, age: float) -> None:
        """x += weight · difference, and the age follows the same linear map towards `age`. Overwrites `difference`."""
        difference *= np.float32(weight)
        self.x += difference
        np.copyto(self.anchor, self.x)
        self.age += weight * (age - self.age)

    def rebase(self, snapshots: list[Vector], age: float) -> None:
        """Take up the mesh's model from its peers' snapshots; see `gossipfl.model.rebase`."""
        self.x, self.anchor = rebase(snapshots, self.x, self.anchor)
        self.served.restart(self.x)
        self.age = age

    def restart(self, x: Vector) -> None:
        """Begin again at the shared vector `x`, untrained."""
        self.x, self.anchor, self.age = x.copy(), x.copy(), 0.0
        self.served.restart(self.x)


def _norm(v: Vector) -> float:
    return math.sqrt(float(np.dot(v, v)))
