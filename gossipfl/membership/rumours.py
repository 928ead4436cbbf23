"""Rumours: what is passed on about others with messages that are sent anyway, each so often that nearly all hear of it.

SWIM's infection-style dissemination (Das, Gupta, Motivala, 2002). Of several rumours about one peer only the one that
counts most is kept. Knows no clock and sends nothing.
"""

from __future__ import annotations

import enum
import math
from typing import Annotated

from msgspec import Meta, Struct

RETOLD = 4
"""Times per decade of members, as in memberlist: one that is told λ·log n times by each reaches all but n^(1 − 2λ)."""
MAX_RUMOURS = 128
"""At a time; beyond, the one that was told most often goes."""
MAX_COUNT = 2**53


class Standing(enum.IntEnum):
    """What is said of a peer, from what counts least to what counts most, for one version of it."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3
    """On purpose."""


class Rumour(Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """`peer`, as it was when it had said so often that it is alive, is …"""

    peer: Annotated[str, Meta(min_length=1, max_length=128)]
    standing: Standing
    incarnation: Annotated[int, Meta(ge=0, le=MAX_COUNT)]
    refutations: Annotated[int, Meta(ge=0, le=MAX_COUNT)]
    """How often it has refuted a suspicion in this life; only it may count on."""

    @property
    def rank(self) -> tuple[int, int, int]:
        """Of two rumours about one peer, the one of the higher rank counts."""
        return self.incarnation, self.refutations, self.standing


class Rumours:
    """Those that are still to be told."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[Rumour, int]] = {}
        """By peer, with how often it was told."""

    def __len__(self) -> int:
        return len(self._told)

    def add(self, rumour: Rumour) -> None:
        """Tell it from now on, unless one about the same peer counts as much."""
        known = self._told.get(rumour.peer)
        if known is None or rumour.rank > known[0].rank:
            self._told[rumour.peer] = (rumour, 0)
            if len(self._told) > MAX_RUMOURS:
                del self._told[max(self._told, key=lambda peer: self._told[peer][1])]

    def some(self, most: int, members: float) -> tuple[Rumour, ...]:
        """The next ones to tell, at most so many, those told least first; they count as told.

        Args:
            most: how many fit into a message.
            members: of the mesh, about.
        """
        if not self._told:
            return ()
        often = RETOLD * math.ceil(math.log10(max(1.0, members) + 1))
        chosen = sorted(self._told, key=lambda peer: self._told[peer][1])[:most]
        said = []
        for peer in chosen:
            rumour, times = self._told[peer]
            said.append(rumour)
            if times + 1 >= often:
                del self._told[peer]
            else:
                self._told[peer] = (rumour, times + 1)
        return tuple(said)
