"""A neighbour: what is known of one peer.

A record is small, because a node keeps hundreds: whom it only heard of is one read-only object, shared by all who heard
the same, and becomes a record of its own when there is something to remember. Only the neighbourhood changes what its
sets are made of (the link, the greeting, the addresses, the version), so that they stay true. Knows no clock.
"""

from __future__ import annotations

import enum
import sys
from typing import ClassVar
from weakref import WeakValueDictionary

from msgspec import Struct

from gossipfl.membership.charter import Credential

MAX_ALLOWANCE = 1.0
"""Weight with which one peer may move this node within one publish interval: twice what an honest one uses. Rates are
self-reported, so nothing else stops a flood of updates."""
MAX_SEQ_JUMP = 1000
"""Versions that may be lost in a row: a longer jump is a lie that would mute its sender for good."""
NEVER = float("-inf")
"""A time: one object for all records."""


class Link(enum.Enum):
    """How we stand with a peer; one at a time."""

    NONE = enum.auto()
    WAITING = enum.auto()
    """There is a timer until the next dial."""
    DIALLING = enum.auto()
    UP = enum.auto()
    """We can send to it. Its first frames may be here before."""


class Hearsay(Struct, frozen=True, weakref=True):
    """A peer that somebody spoke of; read-only. `Neighbour` says what the names mean."""

    addresses: tuple[str, ...]
    refutations: ClassVar[int] = 0
    link: ClassVar[Link] = Link.NONE
    connected: ClassVar[bool] = False
    greeted: ClassVar[bool] = False
    live: ClassVar[bool] = False
    spoke: ClassVar[bool] = False
    seems_alive: ClassVar[bool] = True
    configured: ClassVar[tuple[str, ...]] = ()
    incarnation: ClassVar[int] = 0
    seq: ClassVar[int] = 0
    age: ClassVar[float] = 0.0
    base: ClassVar[bytes] = b""
    role: ClassVar[str] = ""
    strikes: ClassVar[int] = 0
    credential: ClassVar[Credential | None] = None

    @property
    def reachable(self) -> tuple[str, ...]:
        """Where to dial it."""
        return self.addresses


_shared: WeakValueDictionary[tuple[str, ...], Hearsay] = WeakValueDictionary()


def hearsay(addresses: tuple[str, ...]) -> Hearsay:
    """The one record of this process for `addresses`: peers in one process know the same few thousand."""
    known = _shared.get(addresses)
    if known is None:
        known = _shared[addresses] = Hearsay(tuple(map(sys.intern, addresses)))
    return known


NOWHERE = hearsay(())


class Neighbour(Struct, gc=False):
    """A peer with whom there was contact."""

    said: Hearsay = NOWHERE
    link: Link = Link.NONE
    outbound: bool = False
    """Did we dial it, when the last link was made?"""
    parted: bool = False
    """Did one end say that this link shall end, as there are enough?"""
    greeted: bool = False
    """Has it said Hello since the last link ended?"""
    spoke: bool = False
    """Has it ever said Hello? Its addresses are then its own word."""
    configured: tuple[str, ...] = ()
    """Addresses from this node's own configuration: such a peer is never forgotten, nor are they."""
    incarnation: int = 0
    refutations: int = 0
    """How often it has refuted that it is dead, in this incarnation."""
    seq: int = 0
    age: float = 0.0
    base: bytes = b""
    role: str = ""
    codec: str = ""
    """With what it would have us encode what we send it."""
    rate: float = 0.0
    """q: publishes per second that it says it sends us; 0 until it has."""
    fed_at: float = NEVER
    """When it was last sent an update, or later if it is sent two in a row."""
    allowance: float = MAX_ALLOWANCE
    allowed_at: float = NEVER
    strikes: int = 0
    credential: Credential | None = None
    """Why it is of the mesh, if it has shown that; nobody has to where the mesh is open."""
    failed_dials: int = 0
    needed_base_at: float = NEVER
    base_given_at: float = NEVER
    snapshot_given_at: float = NEVER

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it, or hearsay, says that it can be reached."""
        return self.said.addresses

    @property
    def reachable(self) -> tuple[str, ...]:
        """Where to dial it, the configured addresses first."""
        if not self.configured:
            return self.said.addresses
        return tuple(dict.fromkeys(self.configured + self.said.addresses))

    @property
    def connected(self) -> bool:
        """Can we send to it?"""
        return self.link is Link.UP

    @property
    def live(self) -> bool:
        """Is it linked both ways?"""
        return self.greeted and self.link is Link.UP

    @property
    def seems_alive(self) -> bool:
        """Is it linked, or may it be? A link that ended is dialled again at once, and counts until that has failed."""
        return self.link is Link.UP or self.failed_dials < 2

    def allowance_at(self, now: float, period: float) -> float:
        """With what weight this peer may move us now; all is restored within one `period`."""
        return min(MAX_ALLOWANCE, self.allowance + MAX_ALLOWANCE * (now - self.allowed_at) / period)

    def accepts(self, incarnation: int, seq: int) -> str | None:
        """Why a version is not the next one from this peer, or None when it is."""
        if incarnation == self.incarnation and 0 < seq - self.seq <= MAX_SEQ_JUMP:
            return None  # nearly always
        if (incarnation, seq) <= (self.incarnation, self.seq):
            return f"version {incarnation}.{seq} is not newer than {self.incarnation}.{self.seq}"
        known = self.seq if incarnation == self.incarnation else 0
        if seq - known > MAX_SEQ_JUMP:
            return f"version {incarnation}.{seq} jumps too far from {self.incarnation}.{self.seq}"
        return None
