"""Reputation: what a peer did wrong counts for a while, and who does too much of it is shunned, ever longer.

Refused frames are strikes, of which half are forgotten in HALF_LIFE; good work takes some back at once. MAX_STRIKES are
an offence: its peer is shunned for GRAY seconds, after the next one four times as long, and after LAST of them for
good, which is as long as the process lives. A day without one makes up for one. Pure: time is an argument.
"""

from __future__ import annotations

import math

MAX_STRIKES = 10
HALF_LIFE = 300.0
"""Seconds."""
GRAY, GROWTH, LAST = 30.0, 4.0, 4
"""Seconds, their growth, and the number of offences that are too many: 30 s, two minutes, eight, and for good."""
FORGIVEN = 86_400.0
"""Seconds that make up for an offence."""
MAX_OFFENDERS = 256
"""Remembered; beyond, the one that offended first is forgotten. Where a mesh is open, ids cost their makers nothing."""


def struck(strikes: float, at: float, now: float) -> float:
    """How many strikes a peer has that had so many at time `at` and gets another one `now`."""
    return strikes * math.exp2((at - now) / HALF_LIFE) + 1


class Offenders:
    """Who has offended, how often, and who is shunned for it."""

    def __init__(self) -> None:
        self._offences: dict[str, tuple[float, float]] = {}
        """By peer: how many, and when the last one was."""
        self.shunned: set[str] = set()

    def offend(self, peer: str, now: float) -> tuple[float | None, list[str]]:
        """`peer` is shunned from now on: for so many seconds, or for good if None; and who is pardoned for it."""
        count, at = self._offences.pop(peer, (0.0, now))
        count = max(0.0, count - (now - at) / FORGIVEN) + 1
        self._offences[peer] = (count, now)
        self.shunned.add(peer)
        forgotten = list(self._offences)[:-MAX_OFFENDERS]
        for one in forgotten:
            del self._offences[one]
            self.shunned.discard(one)
        return (None if round(count) >= LAST else GRAY * GROWTH ** (round(count) - 1)), forgotten

    def pardon(self, peer: str) -> None:
        """`peer` has been shunned for long enough."""
        self.shunned.discard(peer)
