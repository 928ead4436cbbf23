"""The neighbourhood: whom this node knows, where they can be reached, who is alive, and how they have behaved.

Owns identity and order of versions (incarnation, seq), reputation, and redial times. Every table is bounded. Must never
know about models, frames or the clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from gossipfl.wire.messages import MAX_ADDRESSES, MAX_PEERS, KnownPeer

MAX_KNOWN = 256
"""Peers remembered: enough to sample from; a larger mesh is known in part by everybody."""
MAX_STRIKES = 10
"""Refused frames before the link is cut; an accepted update wins one back."""
MAX_ALLOWANCE = 1.0
"""Weight with which one peer may move this node within one publish interval: twice what an honest one uses. Rates are
self-reported, so nothing else stops a flood of updates."""
MAX_SEQ_JUMP = 1000
"""Versions that may be lost in a row: a longer jump is a lie that would mute its sender for good."""
REDIAL_FIRST, REDIAL_LAST = 0.25, 15.0
"""Seconds until a lost peer is dialled again: at once for a restart, then doubling."""
FORGET_AFTER = 8
"""Dials without an answer until a peer that never spoke to us is forgotten: addresses are hearsay."""


class Neighbour:
    """What is known of one peer."""

    __slots__ = (
        "addresses", "age", "allowance", "allowed_at", "base", "base_given_at", "configured", "connected", "dialling",
        "failed_dials", "greeted", "incarnation", "needed_base_at", "role", "seq",
        "snapshot_given_at", "spoke", "strikes", "waiting",
    )  # fmt: skip

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ()
        self.dialling = False
        """Is a dial under way?"""
        self.waiting = False
        """Is there a timer until the next dial?"""
        self.connected = False
        """Can we send to it? Its first frames may be here before."""
        self.greeted = False
        """Has it said Hello since the last link ended?"""
        self.spoke = False
        """Has it ever said Hello? Its addresses are then its own word."""
        self.configured: tuple[str, ...] = ()
        """Addresses from this node's own configuration: such a peer is never forgotten, nor are they."""
        self.incarnation, self.seq = 0, 0
        self.age = 0.0
        self.base = b""
        self.role = ""
        self.allowance, self.allowed_at = MAX_ALLOWANCE, float("-inf")
        self.strikes = 0
        self.failed_dials = 0
        self.needed_base_at = float("-inf")
        self.base_given_at = float("-inf")
        self.snapshot_given_at = float("-inf")

    @property
    def reachable(self) -> tuple[str, ...]:
        """Where to dial it, the configured addresses first."""
        return tuple(dict.fromkeys(self.configured + self.addresses))

    def spend(self, weight: float, now: float, period: float) -> float:
        """As much of `weight` as this peer has left; its allowance is restored within one `period`."""
        self.allowance = min(MAX_ALLOWANCE, self.allowance + MAX_ALLOWANCE * (now - self.allowed_at) / period)
        self.allowed_at = now
        granted = min(weight, self.allowance)
        self.allowance -= granted
        return granted

    @property
    def seems_alive(self) -> bool:
        """Is it linked, or may it be? A link that ended is dialled again at once, and counts until that has failed."""
        return self.connected or self.failed_dials < 2

    @property
    def live(self) -> bool:
        """Is it linked both ways?"""
        return self.connected and self.greeted

    def accepts(self, incarnation: int, seq: int) -> str | None:
        """Why a version is not the next one from this peer, or None when it is."""
        if (incarnation, seq) <= (self.incarnation, self.seq):
            return f"version {incarnation}.{seq} is not newer than {self.incarnation}.{self.seq}"
        known = self.seq if incarnation == self.incarnation else 0
        if seq - known > MAX_SEQ_JUMP:
            return f"version {incarnation}.{seq} jumps too far from {self.incarnation}.{self.seq}"
        return None


class Neighbourhood:
    """The peers known to `me`."""

    def __init__(self, me: str) -> None:
        self._me = me
        self.known: dict[str, Neighbour] = {}

    def live(self) -> list[str]:
        """The peers that can be published to."""
        return [peer for peer, neighbour in self.known.items() if neighbour.live]

    def meet(self, peer: str) -> Neighbour:
        """The record of `peer`, made if there is none; someone without a link makes room if the table is full."""
        neighbour = self.known.get(peer)
        if neighbour is None:
            if len(self.known) >= MAX_KNOWN:
                del self.known[min(self.known, key=lambda other: self._worth(self.known[other]))]
            neighbour = self.known[peer] = Neighbour()
        return neighbour

    @staticmethod
    def _worth(neighbour: Neighbour) -> tuple[bool, bool, bool]:
        return neighbour.connected, bool(neighbour.configured), neighbour.spoke

    def configure(self, peer: str, addresses: tuple[str, ...]) -> None:
        """Know `peer` for good: the configuration says where it is."""
        if peer != self._me:
            self.meet(peer).configured = addresses

    def hear_of(self, peer: str, addresses: tuple[str, ...]) -> bool:
        """Somebody says where `peer` is. Returns whether that is news worth dialling for."""
        if peer == self._me or not addresses:
            return False
        if peer not in self.known and len(self.known) >= MAX_KNOWN:
            return False
        neighbour = self.meet(peer)
        if neighbour.connected or neighbour.spoke or neighbour.reachable:
            return False
        neighbour.addresses = addresses[:MAX_ADDRESSES]
        return True

    def introduce(self, to: str, rng: random.Random) -> tuple[KnownPeer, ...]:
        """Peers to tell `to` about: live ones, whose addresses are their own word."""
        others = [
            KnownPeer(peer, neighbour.addresses)
            for peer, neighbour in self.known.items()
            if peer != to and neighbour.live and neighbour.addresses
        ]
        return tuple(others if len(others) <= MAX_PEERS else rng.sample(others, MAX_PEERS))

    def wants_link(self, peer: str) -> bool:
        """Is `peer` worth dialling?"""
        neighbour = self.known.get(peer)
        if neighbour is None or neighbour.connected or neighbour.dialling or neighbour.waiting:
            return False
        return bool(neighbour.reachable)

    def engaged(self) -> int:
        """How many links there are or may soon be."""
        return sum(neighbour.connected or neighbour.dialling for neighbour in self.known.values())

    def links(self) -> list[str]:
        """The peers that there is a link to."""
        return [peer for peer, neighbour in self.known.items() if neighbour.connected]

    def redial_delay(self, peer: str, rng: random.Random) -> float | None:
        """Seconds to wait before dialling `peer` after a link or dial ended; None: don't."""
        neighbour = self.known.get(peer)
        if neighbour is None or neighbour.connected or not neighbour.reachable:
            return None
        neighbour.failed_dials += 1
        if neighbour.failed_dials > FORGET_AFTER and not (neighbour.spoke or neighbour.configured):
            del self.known[peer]
            return None
        delay = min(REDIAL_LAST, REDIAL_FIRST * 2.0 ** min(neighbour.failed_dials - 1, 16))
        return delay * rng.uniform(0.75, 1.25)

    def ages(self, peers: Iterable[str]) -> list[float]:
        """The last known ages of `peers`, ascending."""
        return sorted(self.known[peer].age for peer in peers)
