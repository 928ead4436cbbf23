"""Wanted bases: which this node lacks, of whom it may ask them, and which one the mesh shares.

Everybody who may have a base is asked in turn, nobody twice at short notice, and only what was asked for is taken in.
Holds names and times, no vectors; sends nothing itself.
"""

from __future__ import annotations

from gossipfl.errors import RemoteError
from gossipfl.protocol.neighbour import NEVER
from gossipfl.protocol.neighbourhood import Neighbourhood

ASK_AGAIN = 5.0
"""Seconds before a base is asked of the same peer again."""
ASK_ANOTHER = 1.0
"""Seconds before another peer is asked for it: one that never answers must not keep it from us."""
MAX_WANTED = 8
"""Bases asked for at a time."""


class Wanted:
    """The bases that this node has asked its `neighbourhood` for."""

    def __init__(self, neighbourhood: Neighbourhood) -> None:
        self._neighbourhood = neighbourhood
        self.asked: dict[bytes, float] = {}
        """By name: when somebody was asked last."""

    def ask(self, peer: str, base: bytes, now: float) -> bool:
        """May `peer` be asked for `base` now? If so, it counts as asked."""
        neighbour = self._neighbourhood.meet(peer)
        if now - neighbour.needed_base_at < ASK_AGAIN or now - self.asked.get(base, NEVER) < ASK_ANOTHER:
            return False
        neighbour.needed_base_at = now
        self.asked.pop(base, None)
        self.asked[base] = now
        if len(self.asked) > MAX_WANTED:
            del self.asked[next(iter(self.asked))]
        return True

    def check(self, base: bytes) -> None:
        """Raise RemoteError if nobody asked for `base`."""
        if base not in self.asked:
            raise RemoteError("a base that nobody asked for")

    def got(self, base: bytes) -> None:
        """`base` is here."""
        del self.asked[base]

    def common(self, own: bytes) -> tuple[bytes, bool]:
        """The base that most publish against, the smallest name among equals, and whether all do; `own` is ours."""
        counts = self._neighbourhood.bases
        if not counts or (len(counts) == 1 and own in counts):
            return own, True
        return min({*counts, own}, key=lambda name: (-counts.get(name, 0) - (name == own), name)), False

    def holder(self, base: bytes) -> str:
        """The live peer that publishes against `base` whom nothing was asked of for longest."""
        users = self._neighbourhood.users(base)
        return min(users, key=lambda peer: users[peer].needed_base_at)
