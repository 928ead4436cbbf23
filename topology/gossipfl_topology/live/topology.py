"""What all live topologies are, and the hash that they choose by.

Ids are placed on a circle of 2⁶⁴ points by their hash, as in consistent hashing (Karger et al. 1997) and Chord (Stoica
et al. 2001): a node that comes or goes changes its surroundings only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import ClassVar, Protocol, TypeAlias

View: TypeAlias = Mapping[str, str]
"""The ids that a node believes alive, its own among them, each with its role ("" if it has none)."""
MASK = (1 << 64) - 1
DICE = 1 << 32
"""A circle that is no ring: for a second hash of an id, independent of its place."""
MAX_CIRCLES, MAX_PLACES = 40, 1 << 14
"""Kept in memory, for all peers of the process: more circles than one epoch has, and the ids of a large mesh."""


class Topology(Protocol):
    """Who talks to whom, from one node's point of view."""

    @property
    def name(self) -> str:
        """As a configuration names it, with its parameters."""

    fresh: ClassVar[bool]
    """Are the neighbours others in every epoch, chosen among whoever there is a link to?"""

    def neighbours(self, me: str, view: View, epoch: int) -> tuple[str, ...]:
        """The recipients of a publish of `me`, from `view` without `me`, nobody twice, in a fixed order.

        Args:
            me: the caller's id; it need not be in `view`.
            view: the live ids and their roles.
            epoch: a number that goes up once per publish interval, about the same everywhere. Where it differs
                between nodes, only the evenness of `k-out` suffers.
        """

    def drawer(self, me: str, view: View) -> Callable[[int], tuple[str, ...]]:
        """`neighbours` of an epoch, for a view that stays as it is: what does not depend on the epoch is done once."""

    def chance(self, others: int) -> float:
        """The probability that a publish goes to a given one of the neighbours, with `others` live peers."""


class Still(ABC):
    """What those topologies have in common whose neighbours stay the same."""

    fresh: ClassVar[bool] = False

    @abstractmethod
    def neighbours(self, me: str, view: View, epoch: int) -> tuple[str, ...]:
        """See Topology."""

    def drawer(self, me: str, view: View) -> Callable[[int], tuple[str, ...]]:
        """See Topology."""
        always = self.neighbours(me, view, 0)
        return lambda _epoch: always

    def chance(self, others: int) -> float:  # noqa: ARG002
        """Every publish goes to all neighbours."""
        return 1.0


class Places(dict[str, int]):
    """Where each id stands on one circle, 0 … 2⁶⁴−1. A dict: whole neighbourhoods are looked up at a time."""

    def __init__(self, circle: int) -> None:
        self._salt = circle.to_bytes(8, "little")

    def __missing__(self, node: str) -> int:
        if len(self) >= MAX_PLACES:
            self.clear()
        place = int.from_bytes(blake2b(node.encode(), digest_size=8, salt=self._salt).digest(), "little")
        self[node] = place
        return place


@lru_cache(maxsize=MAX_CIRCLES)
def places(circle: int) -> Places:
    """Circle number `circle`; circles are independent of each other.

    >>> places(7)["a"] == position("a", 7)
    True
    """
    return Places(circle)


def position(node: str, circle: int = 0) -> int:
    """Where `node` stands on circle number `circle`, 0 … 2⁶⁴−1, uniform over ids and independent between circles.

    >>> 0 <= position("a") <= MASK and position("a") != position("a", 1)
    True
    """
    return places(circle)[node]
