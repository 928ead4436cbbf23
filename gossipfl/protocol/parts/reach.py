"""Reach: whom of those that were there this node can't reach any more, and whether that looks like a partition.

A device that is switched off says goodbye or is one of few. Where a third of those whom one had links with are gone at
once, without a word, the network is more likely to be at fault than they are. Nothing follows from that but a report:
each side goes on. Who is missing is dialled often, so that they merge again as soon as they can.
"""

from __future__ import annotations

from gossipfl.protocol import events as ev
from gossipfl.protocol.neighbourhood import REDIAL_LAST
from gossipfl.protocol.parts.state import State

LONG = 600.0
"""Seconds after which somebody who is gone is not missed any longer: a device that was taken away."""
LEAST, SHARE = 2, 1 / 3
"""As many must be missing, and such a part of those who are there or missing."""
MAX_MISSING = 128
"""Remembered; more than a node has links."""
PACE = 1.0
"""Seconds between two dials of those who are missing: one that nobody answers takes one of eight places for five."""


class Reach:
    """Who is missing."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._missing: dict[str, float] = {}
        """By peer: since when."""
        self.partition = False
        """Does it look as if the mesh were split?"""

    @property
    def missing(self) -> list[str]:
        """Who was there and can't be reached now."""
        return list(self._missing)

    def lost(self, peer: str, now: float) -> None:
        """The link to `peer` has ended, and neither end wanted that."""
        self._missing.setdefault(peer, now)
        if len(self._missing) > MAX_MISSING:
            del self._missing[next(iter(self._missing))]

    def back(self, peer: str) -> None:
        """`peer` is there, or need not be."""
        self._missing.pop(peer, None)

    def redial_last(self, peer: str) -> float:
        """Seconds between two dials of `peer` at the most: about an interval if it is missing, and few are."""
        if peer not in self._missing:
            return REDIAL_LAST
        return min(REDIAL_LAST, max(self._state.settings.interval, PACE * len(self._missing)))

    def look(self, now: float) -> None:
        """Once per publish interval: report a partition when it shows, and when it is over."""
        if not (self._missing or self.partition):
            return
        self._missing = {peer: since for peer, since in self._missing.items() if now - since < LONG}
        missing, there = len(self._missing), len(self._state.neighbourhood.live())
        partition = missing >= max(LEAST, SHARE * (missing + there))
        if partition != self.partition:
            self.partition = partition
            self._state.emit(ev.Partitioned(missing, there) if partition else ev.Healed(missing, there))
