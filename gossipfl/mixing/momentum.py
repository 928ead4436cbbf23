"""Quasi-global momentum (Lin et al., 2021): a model goes on a little in the direction that the mesh moved it.

m ← μm + (1 − μ)·(x − last x), and x ← x + βm, once per publish interval, after the merges and before training. Local,
and without a byte: what neighbours sent is in x. The paper's (xᵗ − xᵗ⁺¹)/η is x − last x here, so β is relative to the
step that the mesh makes anyway.

One vector is all its memory: z = μm − (1 − μ)·(last x), from which m = z + (1 − μ)x. It is worked through in pieces
that fit a cache.
"""

from __future__ import annotations

import numpy as np

from gossipfl.kernels import Floats
from gossipfl.kernels.numpy import pieces

STRATEGIES = ("none", "quasi-global")
"""By the name that a configuration uses."""
MU = 0.9
BETA = 0.5


class QuasiGlobal:
    """The momentum of one model, which is `x` now and stood still before; shape (d,)."""

    def __init__(self, x: Floats, mu: float = MU, beta: float = BETA) -> None:
        self._mu, self._rest, self._beta = np.float32(mu), np.float32(1 - mu), np.float32(beta)
        self._z = -self._rest * x

    def step(self, x: Floats) -> bool:
        """Move `x` in place, and return True; or False where it would overflow, and nothing has changed."""
        with np.errstate(over="ignore", invalid="ignore"):
            if not all(
                np.isfinite(x[at] + self._beta * (self._z[at] + self._rest * x[at])).all() for at, _ in pieces(x.size)
            ):
                return False
        for at, _ in pieces(x.size):
            here, z = x[at], self._z[at]
            z += self._rest * here  # is m now
            here += self._beta * z
            z *= self._mu
            z -= self._rest * here
        return True
