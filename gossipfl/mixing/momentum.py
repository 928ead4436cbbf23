"""Outer momentum: between two publishes a model goes on a little in the direction that the mesh moved.

A strategy is a small frozen object with one method; its memory, two vectors, belongs to the replica. It is applied once
per publish interval, after the merges and before training, and sends nothing.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from msgspec import Struct

from gossipfl.errors import LocalError
from gossipfl.kernels import Floats


class Momentum(Protocol):
    """A strategy."""

    def step(self, m: Floats, moved: Floats) -> Floats:
        """Update `m` in place, and return what is to be added to x, both of shape (d,).

        Args:
            m: the momentum, zeros at first.
            moved: x minus what x was after the last step: training, merges, and all.
        """
        ...


class QuasiGlobal(Struct, frozen=True):
    """m ← μm + (1 − μ)·moved, and x += βm: quasi-global momentum (Lin et al., 2021), which is local and costs no bytes.

    `moved` stands for the paper's (xᵗ − xᵗ⁺¹)/η, so that β is relative to the step that the mesh makes anyway.
    """

    mu: float = 0.9
    beta: float = 0.5

    def step(self, m: Floats, moved: Floats) -> Floats:
        """See Momentum."""
        m *= np.float32(self.mu)
        m += np.float32(1 - self.mu) * moved
        return np.float32(self.beta) * m


class NoLoCo(Struct, frozen=True):
    """m ← αm + β·moved, and x ← A + m, where A = x − moved: the outer step of NoLoCo (Kolehmainen et al., 2025).

    With β = γ the paper's two terms are one, the way from the slow weights A to where training and merging led. Keep
    β / (1 − α) at most 2: beyond it diverges.
    """

    alpha: float = 0.5
    beta: float = 0.7

    def step(self, m: Floats, moved: Floats) -> Floats:
        """See Momentum."""
        m *= np.float32(self.alpha)
        m += np.float32(self.beta) * moved
        return m - moved


STRATEGIES: dict[str, Momentum | None] = {"none": None, "quasi-global": QuasiGlobal(), "noloco": NoLoCo()}
"""By the name that a configuration uses."""


def momentum(name: str) -> Momentum | None:
    """The strategy of that name; None for none.

    Raises:
        LocalError: no such strategy.
    """
    try:
        return STRATEGIES[name]
    except KeyError:
        raise LocalError(f"momentum: no strategy {name!r}; one of {', '.join(STRATEGIES)}") from None
