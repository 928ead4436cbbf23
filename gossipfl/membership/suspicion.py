"""Suspicion: for how long a peer that gives no sign of life may still refute that it is dead.

SWIM (Das, Gupta, Motivala, 2002), with the timeout of Lifeguard (Dadgar, Phillips, Currey, 2017): long while one node
alone suspects, because that one may be at fault itself, and shorter with each other that does.
"""

from __future__ import annotations

import math

from msgspec import Struct

SHORTEST = 4.0
"""Probe periods per decade of members, as in memberlist: a rumour has reached all, and the refutation is back."""
LONGEST = 6.0
"""Times the shortest, while nobody else suspects; as in memberlist."""
CONFIRMERS = 2
"""Others whose suspicion makes the timeout as short as it gets; as in memberlist."""


def timeout(confirmations: int, period: float, members: float) -> float:
    """How long to wait from the first suspicion on, in the unit of `period`.

    Args:
        confirmations: how many others suspect it, too.
        period: between two probes.
        members: of the mesh, about.

    >>> timeout(0, 1.0, 100), timeout(2, 1.0, 100), timeout(9, 1.0, 2)
    (48.0, 8.0, 4.0)
    """
    least = SHORTEST * max(1.0, math.log10(max(1.0, members))) * period
    most = LONGEST * least
    return max(least, most - (most - least) * math.log(confirmations + 1) / math.log(CONFIRMERS + 1))


class Suspicion(Struct):
    """That of one peer: since when, and by whom."""

    since: float
    by: set[str]
    """Others that suspect it; at most CONFIRMERS are remembered."""

    def confirm(self, peer: str) -> bool:
        """`peer` suspects it, too. Returns whether that is news."""
        news = len(self.by) < CONFIRMERS and peer not in self.by
        if news:
            self.by.add(peer)
        return news

    def ends(self, period: float, members: float) -> float:
        """When the peer is dead unless there is a sign of life before."""
        return self.since + timeout(len(self.by), period, members)
