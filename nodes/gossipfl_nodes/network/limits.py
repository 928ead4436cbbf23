"""Limits: what one peer, one place and all together may use up of this device. All of them stand here, with reasons.

    what                                    of whom             whoever wants more
    ACCEPTS         connections a second    all                 waits, in the kernel's queue
    HANDSHAKES      a second                a place             waits its turn
    ALL_HANDSHAKES  a second                all                 waits its turn, one place after the other
    PENDING         waits and handshakes    a place             is dropped
    ALL_PENDING     waits and handshakes    all                 the oldest of the most crowded place is dropped
    HANDSHAKE       seconds for one         a connection        is cut
    PER_PEER        connections             a peer              is cut
    PER_PLACE, ALL  connections             a place, all        is dropped
    STRANGERS       without a link          all                 the oldest of them is cut
    STRANGER_FRAME  bytes of a frame        a stranger          is cut
    FIRST_WORD      seconds to a link, and from there to a frame: is cut
    STREAMS         open at a time          a connection        is cut
    UNREAD          bytes nobody took yet   a connection        is cut
    link, stranger  bytes a second          a connection        waits: it is not read
    frames          frames a second         a link              waits: it is not read
    pool            bytes of frames that are unfinished or wait: of all, the largest goes

A place is an IPv4 address, or the /64 that a network gives to a subscriber in IPv6. What can be refused is refused
before anything is allocated for it. An honest peer meets none of these but for a wait that does no harm. Pure: time is
an argument.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from msgspec import Struct

from gossipfl.wire.messages import max_body as max_body_of

MAX_LINKS = 128
"""More than the core keeps, so that newcomers get in while it lets go of others, and a topology may name many."""


class Rate(Struct, frozen=True):
    """`per_second` in the long run, and `burst` at once."""

    per_second: float
    burst: float


ACCEPTS = Rate(200, 64)
"""A connection that is dropped costs 0.16 ms: a flood of them takes 3 % of a core."""
HANDSHAKES = Rate(20, 5)
"""As wireguard-go has it for handshakes of one source (ratelimiter.go): a device makes one and keeps it."""
ALL_HANDSHAKES = Rate(20, 20)
"""A handshake costs 8.5 ms of Python: a flood of them, from however many places, takes 17 % of a core."""
PENDING, ALL_PENDING = 64, 96
"""Less than is served within the 5 s that a dialler waits; but devices behind one NAT come back together after a power
cut."""
HANDSHAKE = 5.0
"""Seconds: no dialler of ours waits longer, and it takes six round trips."""
PER_PEER = 4
"""Connections: both ends may dial at the same time, and again before the old ones are known to be dead."""
STRANGERS = 64
"""Connections without a link. A link follows within a round trip, or the core has let go of it."""
ALL = 2 * MAX_LINKS + STRANGERS
"""Connections: a link may have two."""
PER_PLACE = ALL - MAX_LINKS
"""Connections: a whole mesh may run on one machine or behind one NAT, but leaves as many as links to other places."""
FIRST_WORD = 10.0
"""Seconds: who opens a stream and greets does so at once, and is given 5 s for it."""
STREAMS = 16
"""Inbound, on one connection: a link has one, and what is asked beside it (a ping, an invitation) takes a few."""
WINDOW = 1 << 20
"""Bytes that a stream's sender may be ahead of its reader: 10 MB/s at 100 ms. libp2p's 16 MiB, times 128 links, are the
whole memory of a small device."""
UNREAD = WINDOW + (1 << 18)
"""Bytes: the link's window full, and a stream's first one beside it."""
WEIGHT = 4096
"""Bytes that a Yamux frame counts for at least: as much work as this many bytes make, or more."""
STRANGER = Rate(16 << 10, 128 << 10)
"""Bytes, of connections without a link: a handshake, a stream and a Hello are less than 10 kB in a dozen frames."""
STRANGER_FRAME = 4 << 10
"""Bytes of a frame body from who is not admitted yet: a credential and a greeting are 0.5 kB each."""
BASE = 64 << 10
"""Bytes a second that every link has whatever its model: greetings, peer exchange, keep-alives."""
POOL = 32 << 20
"""Bytes for all links' frames, beside eight of the largest: half of what a flood may cost this device."""


class Limits(Struct, frozen=True):
    """What depends on the model, and on how often it is told. See `of`."""

    max_body: int
    """The largest frame body, in bytes."""
    stranger: Rate
    """Bytes on a connection without a link."""
    link: Rate
    """Bytes on a connection with one."""
    frames: Rate
    """Frame bodies from a link."""
    pool: int
    """Bytes that all links' unfinished incoming frames may take, and as many for frames that wait to go out."""

    @classmethod
    def of(cls, max_body: int, interval: float) -> Limits:
        """For frame bodies of `max_body` bytes, and a publish every `interval` seconds.

        A peer sends us two updates in one of our intervals at the most (`gossipfl.protocol`), whole models in the worst
        codec. Bases and snapshots beside them are bursts: asked for by us, and a few at a time.
        """
        model = max(0, max_body - max_body_of(0))
        return cls(
            max_body,
            STRANGER,
            Rate(BASE + 2 * (model + 2 * WEIGHT) / interval, 4 * max_body + (1 << 20)),
            Rate(4 + 4 / interval, 64),
            POOL + 8 * max_body,
        )


class Bucket:
    """A token bucket: fills at a rate, up to a burst. What is taken beyond what is there is a debt, paid off first."""

    def __init__(self, rate: Rate, now: float) -> None:
        self.rate = rate
        self._level = rate.burst
        self._at = now

    def room(self, now: float) -> float:
        """How much may be taken now; negative in debt."""
        self._level = min(self.rate.burst, self._level + self.rate.per_second * (now - self._at))
        self._at = now
        return self._level

    def take(self, amount: float, now: float) -> None:
        """Take `amount`, there or not."""
        self._level = self.room(now) - amount

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` is there; of more than the bucket holds, until it is full."""
        return max(0.0, (min(amount, self.rate.burst) - self.room(now)) / self.rate.per_second)

    def full(self, now: float) -> bool:
        """Is it as if nothing had ever been taken?"""
        return self.room(now) >= self.rate.burst

    def widen(self, rate: Rate, now: float) -> None:
        """Go on at another rate; the larger burst is there at once."""
        self._level = self.room(now) + max(0.0, rate.burst - self.rate.burst)
        self.rate = rate


def place_of(host: str) -> str:
    """The place of an IP address."""
    address = ip_address(host.partition("%")[0])
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False))
