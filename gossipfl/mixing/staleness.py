"""Staleness weights s(τ) ≤ 1: how much less an update counts that comes from a less advanced model.

FedAsync (Xie, Koyejo, Gupta 2019). τ is dimensionless: by how many of the receiver's own gossip intervals the
sender's model is behind in *content* (local steps contained in it), never by wall clock. A safety valve, not an
accuracy feature: among healthy peers τ hardly leaves [0, 1].
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from gossipfl.errors import LocalError


class Staleness(Protocol):
    """A strategy: a small frozen object with one method."""

    def weight(self, tau: float) -> float:
        """s(τ) in [0, 1] for τ ≥ 0, never increasing in τ."""
        ...


class Constant(Struct, frozen=True):
    """s(τ) = 1."""

    def weight(self, tau: float) -> float:  # noqa: ARG002
        """1 for every τ."""
        return 1.0


class Hinge(Struct, frozen=True):
    """s(τ) = 1 while τ ≤ b, then 1 / (a(τ − b) + 1)."""

    a: float = 0.5
    b: float = 1.0

    def weight(self, tau: float) -> float:
        """1 up to b, then falling hyperbolically."""
        return 1.0 if tau <= self.b else 1.0 / (self.a * (tau - self.b) + 1.0)


class Polynomial(Struct, frozen=True):
    """s(τ) = (1 + τ)^−a."""

    a: float = 0.5

    def weight(self, tau: float) -> float:
        """1 at τ = 0, falling from there."""
        return float((1.0 + tau) ** -self.a)


class Drop(Struct, frozen=True):
    """s(τ) = 1 while τ ≤ b, then 0: a bounded delay."""

    b: float = 8.0

    def weight(self, tau: float) -> float:
        """1 up to b, then 0."""
        return 1.0 if tau <= self.b else 0.0


STRATEGIES: dict[str, Staleness] = {"hinge": Hinge(), "const": Constant(), "poly": Polynomial(), "drop": Drop()}
"""By the name that a configuration uses."""


def staleness(name: str) -> Staleness:
    """The strategy of that name.

    Raises:
        LocalError: no such strategy.
    """
    try:
        return STRATEGIES[name]
    except KeyError:
        raise LocalError(f"staleness: no strategy {name!r}; one of {', '.join(STRATEGIES)}") from None
