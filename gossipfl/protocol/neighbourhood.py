"""The neighbourhood: whom this node knows, where they can be reached, and who is alive.

Owns the table of peers and all that is counted over it: who is linked, who is live, their ages and bases. Each is kept
up to date with every change, so nothing that happens once per update or publish goes through the table. Every table is
bounded. Must never know about models, frames or the clock.
"""

from __future__ import annotations

import random
import sys
from bisect import bisect_left, insort
from collections.abc import Collection

from gossipfl.protocol.neighbour import NOWHERE, Hearsay, Link, Neighbour, hearsay
from gossipfl.wire.messages import MAX_ADDRESSES, MAX_PEERS, KnownPeer

MAX_KNOWN = 128
"""Peers remembered: three times as many as there are links with. A larger mesh is known in part by everybody."""
MAX_NEWS = 8
"""New names taken from one message where others must make room for them, so that none fills the table."""
REDIAL_FIRST, REDIAL_LAST = 0.25, 15.0
"""Seconds until a lost peer is dialled again: at once for a restart, then doubling."""
FORGET_AFTER = 8
"""Dials without an answer until a peer that never spoke to us is forgotten: addresses are hearsay."""


_DIALLING, _LINKED, _LIVE = 1, 2, 4
"""What a record counts for, in one number that costs nothing to make."""
_SILENT = _LINKED | _LIVE
"""Of these two, who is silent has the first."""
_UP, _DIALLED = Link.UP, Link.DIALLING
"""Looked up once: members of an enum are found slowly, and this is done for every change."""


def _standing(record: Neighbour | Hearsay) -> int:
    if record.link is _UP:
        return _LINKED | _LIVE if record.greeted else _LINKED
    return _DIALLING if record.link is _DIALLED else 0


class Neighbourhood:
    """The peers known to `me`."""

    def __init__(self, me: str) -> None:
        self._me = me
        self.known: dict[str, Neighbour | Hearsay] = {}
        """To be looked at only; the methods below change it."""
        self._banned: set[str] = set()
        """Whom there is a ban on, or who is shunned: both have a limit."""
        self.changes = 0
        """Grows with every change but those of versions, so that what was made of the table can be kept until then."""
        self._live: dict[str, Neighbour] = {}
        self._silent: dict[str, Neighbour] = {}
        """Linked and not live: nearly nobody, so the two are kept apart and not one within the other."""
        self._ages: list[float] = []
        """Of the live peers, ascending."""
        self.bases: dict[bytes, int] = {}
        """How many live peers publish against each base."""
        self._dialling = 0

    # --- what there is

    def live(self) -> list[str]:
        """The peers that can be published to, in the order in which they became so."""
        return list(self._live)

    def silent(self) -> list[str]:
        """The peers that there is a link to and that have not said Hello."""
        return list(self._silent)

    @property
    def links(self) -> dict[str, Neighbour]:
        """The peers that there is a link to; a new dict."""
        return self._live | self._silent

    def linked(self) -> int:
        """How many links there are."""
        return len(self._live) + len(self._silent)

    def engaged(self) -> int:
        """How many links there are or may soon be."""
        return len(self._live) + len(self._silent) + self._dialling

    def wants_link(self, peer: str) -> bool:
        """Is `peer` worth dialling?"""
        record = self.known.get(peer)
        return record is not None and record.link is Link.NONE and bool(record.reachable)

    def median_age(self) -> float | None:
        """The lower median of the live peers' last known ages."""
        return self._ages[(len(self._ages) - 1) // 2] if self._ages else None

    def ahead_of(self, age: float) -> list[str]:
        """The live peers that are older."""
        return [peer for peer, neighbour in self._live.items() if neighbour.age > age]

    def users(self, base: bytes) -> dict[str, Neighbour]:
        """The live peers that publish against `base`."""
        return {peer: neighbour for peer, neighbour in self._live.items() if neighbour.base == base}

    def ranked(self) -> list[str]:
        """Everybody who is known, first those whom there are links with, last those who were only heard of."""
        return sorted(self.known, key=self._worth, reverse=True)

    def introduce(self, to: str, first: Collection[str], rng: random.Random) -> tuple[KnownPeer, ...]:
        """Peers to tell `to` about: live ones, whose addresses are their own word; in any case those in `first`."""
        live = self._live
        others = {peer: neighbour for peer, neighbour in live.items() if neighbour.said is not NOWHERE and peer != to}
        if len(others) > MAX_PEERS:  # draw who is left out: they are fewer
            for peer in rng.sample([peer for peer in others if peer not in first], len(others) - MAX_PEERS):
                del others[peer]
        return tuple([KnownPeer(peer, neighbour.said.addresses) for peer, neighbour in others.items()])

    # --- what changes it

    def meet(self, peer: str) -> Neighbour:
        """The record of `peer`, made if there is none; someone without a link makes room if the table is full."""
        record = self.known.get(peer)
        if type(record) is Neighbour:
            return record
        if record is None:
            self._make_room()
            peer = sys.intern(peer)
            neighbour = Neighbour()
        else:
            neighbour = Neighbour(record)  # type: ignore[arg-type]
        self.known[peer] = neighbour
        self.changes += 1
        return neighbour

    def configure(self, peer: str, addresses: tuple[str, ...]) -> None:
        """Know `peer` for good: the configuration says where it is."""
        if peer != self._me:
            neighbour = self.meet(peer)
            was = _standing(neighbour)
            neighbour.configured = addresses
            self._count(peer, neighbour, was, _standing(neighbour))

    def awaits(self, peer: str) -> bool:
        """Is there a timer until the next dial of `peer`?"""
        record = self.known.get(peer)
        return record is not None and record.link is Link.WAITING

    def hear_of(self, peer: str, addresses: tuple[str, ...]) -> bool:
        """Somebody says where `peer` is. Returns whether that is news worth dialling for."""
        record = self.known.get(peer)
        if type(record) is Hearsay:
            return False  # first, because this is so for most
        if record is None:
            if peer == self._me or peer in self._banned or not addresses or not self._replace_hearsay():
                return False
            self.known[sys.intern(peer)] = hearsay(addresses[:MAX_ADDRESSES])
            self.changes += 1
            return True
        if record.spoke or record.link is _UP or record.reachable or not addresses:
            return False
        self.locate(peer, addresses[:MAX_ADDRESSES])
        return True

    def sight(self, peer: str, addresses: tuple[str, ...]) -> bool:
        """The network sees `peer` at `addresses`, now; where it was known to be before is kept behind them.

        Returns whether that is news worth dialling for.
        """
        record = self.known.get(peer)
        if record is None:
            return self.hear_of(peer, addresses)
        if record.link is _UP or not addresses:
            return False
        known = tuple(dict.fromkeys(addresses + record.addresses))[:MAX_ADDRESSES]
        if known != record.addresses:
            self.locate(peer, known)
        return True

    def locate(self, peer: str, addresses: tuple[str, ...]) -> None:
        """`peer` can be reached there, and nowhere else but where the configuration says."""
        neighbour = self.meet(peer)
        if neighbour.said.addresses != addresses:
            was = _standing(neighbour)
            neighbour.said = hearsay(addresses)
            self._count(peer, neighbour, was, _standing(neighbour))

    def set_link(self, peer: str, link: Link) -> None:
        """How we stand with `peer` now."""
        neighbour = self.meet(peer)
        was = _standing(neighbour)
        neighbour.link = link
        self._count(peer, neighbour, was, _standing(neighbour))

    def stop_dialling(self, peer: str) -> None:
        """No dial of `peer` is under way or to come."""
        record = self.known.get(peer)
        if record is not None and record.link in (Link.DIALLING, Link.WAITING):
            self.set_link(peer, Link.NONE)

    def give_up(self, peer: str) -> None:
        """`peer` is dead, whatever becomes of the link to it."""
        neighbour = self.meet(peer)
        neighbour.failed_dials = max(neighbour.failed_dials, 2)
        self.changes += 1

    def is_banished(self, peer: str) -> bool:
        """Is there nothing to be heard of `peer`?"""
        return peer in self._banned

    def banish(self, peer: str) -> None:
        """Forget `peer`, and listen to nobody who says where it is."""
        self._banned.add(peer)
        if peer in self.known:
            self._forget(peer)

    def pardon(self, peer: str) -> None:
        """`peer` may be heard of again."""
        self._banned.discard(peer)

    def bury(self, peer: str) -> None:
        """Others say that `peer`, whom there is no link to, is dead; who was only heard of is forgotten."""
        record = self.known.get(peer)
        if type(record) is Hearsay:
            self._forget(peer)
        elif record is not None and record.link is not _UP:
            self.give_up(peer)

    def set_greeted(self, peer: str, *, greeted: bool) -> None:
        """Whether `peer` has said Hello on this link."""
        neighbour = self.meet(peer)
        if neighbour.greeted != greeted:
            was = _standing(neighbour)
            neighbour.greeted = greeted
            self._count(peer, neighbour, was, _standing(neighbour))

    def set_role(self, peer: str, role: str) -> None:
        """What `peer` says that it is."""
        neighbour = self.meet(peer)
        if neighbour.role != role:
            neighbour.role = sys.intern(role)
            self.changes += 1

    def set_version(self, neighbour: Neighbour, incarnation: int, seq: int, age: float, base: bytes) -> None:
        """The newest version of `neighbour` that is known, its age, and the base that it came against."""
        if incarnation != neighbour.incarnation:
            neighbour.refutations = 0
        neighbour.incarnation, neighbour.seq = incarnation, seq
        if neighbour.greeted and neighbour.link is Link.UP:
            ages = self._ages
            del ages[bisect_left(ages, neighbour.age)]
            insort(ages, age)
        neighbour.age = age
        if base != neighbour.base:
            self.set_base(neighbour, base)

    def set_base(self, neighbour: Neighbour, base: bytes) -> None:
        """The base that `neighbour` publishes against."""
        base = next((name for name in self.bases if name == base), base)  # one object for all records
        if neighbour.live:
            self._count_base(neighbour.base, -1)
            self._count_base(base, 1)
        neighbour.base = base

    def redial_delay(self, peer: str, rng: random.Random, last: float = REDIAL_LAST) -> float | None:
        """Seconds to wait before dialling `peer` after a link or dial ended, about `last` at the most; None: don't.

        It may be forgotten.
        """
        record = self.known.get(peer)
        if record is None or record.link is Link.UP or not record.reachable:
            return None
        neighbour = self.meet(peer)
        neighbour.failed_dials += 1
        self.changes += 1
        if neighbour.failed_dials > FORGET_AFTER and not (neighbour.spoke or neighbour.configured):
            self._forget(peer)
            return None
        delay = min(last, REDIAL_FIRST * 2.0 ** min(neighbour.failed_dials - 1, 16))
        return delay * rng.uniform(0.75, 1.25)

    # --- what keeps the sets true

    def _make_room(self) -> None:
        if len(self.known) >= MAX_KNOWN:
            worthless = (False, False, False)  # nobody is less, so whoever comes first of them goes
            self._forget(
                next((peer for peer in self.known if self._worth(peer) == worthless), None)
                or min(self.known, key=self._worth)
            )

    def _worth(self, peer: str) -> tuple[bool, bool, bool]:
        record = self.known[peer]
        return record.link is _UP, bool(record.configured), record.spoke

    def _replace_hearsay(self) -> bool:
        """Is there room for one more who was only heard of? The one that was heard of first makes it."""
        if len(self.known) >= MAX_KNOWN:
            first = next((peer for peer, record in self.known.items() if type(record) is Hearsay), None)
            if first is None:
                return False
            self._forget(first)
        return True

    def _forget(self, peer: str) -> None:
        record = self.known.pop(peer)
        self._count(peer, record, _standing(record), 0)

    def _count(self, peer: str, record: Neighbour | Hearsay, was: int, now: int) -> None:
        """`record` counted for `was` and counts for `now`."""
        self.changes += 1
        changed = was ^ now
        if not changed:
            return
        if changed & _DIALLING:
            self._dialling += 1 if now & _DIALLING else -1
        if type(record) is not Neighbour:
            return
        if was & _SILENT == _LINKED:
            del self._silent[peer]
        if now & _SILENT == _LINKED:
            self._silent[peer] = record
        if changed & _LIVE:
            if now & _LIVE:
                self._live[peer] = record
                insort(self._ages, record.age)
            else:
                del self._live[peer]
                del self._ages[bisect_left(self._ages, record.age)]
            self._count_base(record.base, 1 if now & _LIVE else -1)

    def _count_base(self, base: bytes, by: int) -> None:
        count = self.bases.get(base, 0) + by
        if count:
            self.bases[base] = count
        else:
            del self.bases[base]
