"""Census: how many members the mesh has, about, from what neighbours tell each other with probes.

If one member has the value 1 and all others have 0, the average over all (`gossipfl.membership.averaging`) is one over
their number. That one is whoever drew the smallest number. It counts the probe periods, so that all notice when it is
gone, and let the next smallest take its place; and every ROUND of them all begin anew, so that no error stays.

Links come and go while their ends live on, so the flow over one that has ended stays: the two flows still add up to
nothing. Only who is dead or has left takes its flow along.
"""

from __future__ import annotations

from gossipfl.membership.averaging import FlowAverage
from gossipfl.protocol.parts.state import State
from gossipfl.wire.messages import Count

RANK_BITS = 53
"""So many members that two of them draw the same number once in a hundred million."""
ROUND = 128
"""Probe periods until all begin anew: the average is found within some thirty."""
BEGINNING = 64
"""Of these, how many go by until what is found counts."""
PATIENCE = 30.0
"""Probe periods without news of the one that counts until it is taken for gone."""
MAX_EXPIRED = 16
"""Members remembered that were taken for gone."""


class Census:
    """One node's part in it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._own = state.rng.getrandbits(RANK_BITS)
        self._expired: dict[int, int] = {}
        """By number drawn: how far it had counted when it was given up."""
        self._found = 1.0
        """One over the number of members."""
        self._follow(self._own, 0, 0.0)
        self._begin()

    @property
    def size(self) -> float:
        """The members, this node among them; at least those that it has links with."""
        return max(1.0 + self._state.neighbourhood.linked(), 1 / self._found)

    def beat(self, now: float, period: float) -> None:
        """A probe period begins."""
        self._periods += 1
        if self._periods > BEGINNING and self._average.estimate > 0:
            self._sum += self._average.estimate
            self._found = self._sum / (self._periods - BEGINNING)
        if self._rank == self._own:
            self._advance(self._own, self._beat + 1, now)
        elif now - self._heard_at > PATIENCE * period:
            self._expired[self._rank] = self._beat
            if len(self._expired) > MAX_EXPIRED:
                del self._expired[next(iter(self._expired))]
            self._advance(self._own, self._beat, now)

    def told(self, peer: str, count: Count, now: float, *, answer: bool) -> None:
        """What `peer` says of it, when it asks or as an answer."""
        newer = count.beat > self._beat if count.rank == self._rank else count.rank < self._rank
        if newer and count.rank != self._own and count.beat > self._expired.get(count.rank, -1):
            self._advance(count.rank, count.beat, now)
        if (count.rank, count.beat // ROUND) == (self._rank, self._beat // ROUND):
            if answer:
                self._average.answered(peer, count.flow)
            else:
                self._average.asked(peer, count.flow, count.estimate)

    def tell(self, peer: str) -> Count:
        """What to say of it to `peer`."""
        return Count(self._rank, self._beat, *self._average.tell(peer))

    def forget(self, peer: str) -> None:
        """`peer` is no member any more."""
        self._average.forget(peer)

    def _advance(self, rank: int, beat: int, now: float) -> None:
        """The one that counts is, or has come, so far."""
        anew = (rank, beat // ROUND) != (self._rank, self._beat // ROUND)
        self._follow(rank, beat, now)
        if anew:
            self._begin()

    def _follow(self, rank: int, beat: int, now: float) -> None:
        self._rank, self._beat, self._heard_at = rank, beat, now

    def _begin(self) -> None:
        self._average = FlowAverage(float(self._rank == self._own))
        self._periods, self._sum = 0, 0.0
