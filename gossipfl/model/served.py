"""The served model: a moving average of the node's own post-merge models. Train from x, serve from the average.

Between two merges a node with a skewed shard forgets what it can't see; the average doesn't. Polynomial-decay averaging
(Shamir, Zhang 2013): x̄ ← x̄ + c·(x − x̄) with c = (γ + 1) / (t + γ) at the t-th model, which forgets the beginning,
bounded below so that the average follows a model that keeps moving. No bytes, no communication.
"""

from __future__ import annotations

from gossipfl.kernels import Kernel
from gossipfl.kernels import numpy as reference
from gossipfl.mixing.momentum import push
from gossipfl.model.lender import Lender
from gossipfl.model.schema import Vector

GAMMA = 3.0
SLOWEST = 0.1
"""The least weight of the newest model: a memory of about ten publish intervals."""


class Served(Lender):
    """x̄, shape (d,), and how many models went into it.

    Args:
        x: where the average begins; copied before it changes.
        kernel: what does the vector maths.
        count: how many models are in it already.
    """

    def __init__(self, x: Vector, kernel: Kernel = reference, count: int = 0) -> None:
        super().__init__(x)
        self._kernel = kernel
        self.count = count
        """How many models went into the average."""

    def restart(self, x: Vector) -> None:
        """Forget the past: the average is `x`, which is copied before it changes."""
        self._replace(x)
        self.count = 0

    def checkpoint(self) -> tuple[Vector, int]:
        """x̄, lent, and how many models went into it."""
        return self.lend(), self.count

    def add(self, x: Vector, momentum: str, own: float) -> None:
        """Take in the model at the end of a publish interval, and give it `momentum`, with 1 − o as `own`.

        See `gossipfl.mixing.momentum`.
        """
        self.count += 1
        c = max(SLOWEST, min(1.0, (GAMMA + 1) / (self.count + GAMMA)))
        self._kernel.follow(self._own(), x, c, push(momentum, c, own))
