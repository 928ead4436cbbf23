"""Walls: the shapes of partitions. Pure functions of two machine numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from gossipfl_sims.nemesis.faults import Shape

EVERYWHERE = -1
"""The group of a machine that all others reach."""


class Groups(Struct, frozen=True):
    """Machines reach those of their own group: a partition into parts."""

    of: tuple[int, ...]
    """The group of each machine."""
    one_way: bool = False
    """Is only what group 0 sends blocked?"""

    def blocks(self, sender: int, receiver: int) -> bool:
        """See Wall."""
        one, other = self.of[sender], self.of[receiver]
        if one == other or EVERYWHERE in (one, other):
            return False
        return one == 0 or not self.one_way


class Ring(Struct, frozen=True):
    """Machines stand on a circle and reach those up to `reach` places away: each a majority, and no two the same."""

    place: tuple[int, ...]
    reach: int

    def blocks(self, sender: int, receiver: int) -> bool:
        """See Wall."""
        apart = abs(self.place[sender] - self.place[receiver])
        return min(apart, len(self.place) - apart) > self.reach


def wall(shape: Shape, machines: int, groups: int, rng: np.random.Generator, *, one_way: bool = False) -> Groups | Ring:
    """A wall of this shape among so many machines."""
    order = rng.permutation(machines)
    if shape == "ring":
        return Ring(_ranks(order), max(1, (machines + 2) // 4))
    parts = 2 if shape in ("halves", "bridge") else groups
    of = [rank * parts // machines for rank in _ranks(order)]
    if shape == "bridge":
        of[int(order[0])] = EVERYWHERE
    return Groups(tuple(of), one_way)


def _ranks(order: Sequence[int] | np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> tuple[int, ...]:
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[np.asarray(order)] = np.arange(len(order))
    return tuple(ranks.tolist())
