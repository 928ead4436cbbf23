"""Links: whom to dial, whom to greet and tell about others, and whom to let go.

A link counts once both ends have said Hello on it. Who is refused too often loses the link and is not dialled again.
Knows no models; when somebody has become live it says so, and what follows is not its part.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from gossipfl.errors import RemoteError
from gossipfl.membership.reputation import MAX_STRIKES, struck
from gossipfl.protocol import events as ev
from gossipfl.protocol.contacts import MAX_LINKS
from gossipfl.protocol.neighbour import Link, Neighbour
from gossipfl.protocol.neighbourhood import MAX_KNOWN, MAX_NEWS
from gossipfl.protocol.parts.reach import Reach
from gossipfl.protocol.parts.state import State
from gossipfl.wire import messages as msg

ENOUGH = "there are links enough"


class Links:
    """The links of a peer. `live` is called with the time when there is one more or less."""

    def __init__(self, state: State, reach: Reach, live: Callable[[float], None]) -> None:
        self._state, self._reach = state, reach
        self._live = live
        self._parting: list[str] = []
        """Who was told to cut the link at the last tick."""

    def dial(self, peer: str) -> None:
        """Dial `peer` if it is one to have a link with."""
        hood = self._state.neighbourhood
        if hood.wants_link(peer) and self._state.contacts.wants(peer):
            hood.set_link(peer, Link.DIALLING)
            self._state.emit(ev.Dial(peer, hood.known[peer].reachable))

    def call(self, peer: str) -> None:
        """Dial `peer`, whether or not there are links enough: somebody wants to know whether it lives."""
        hood = self._state.neighbourhood
        if hood.wants_link(peer) and hood.linked() < MAX_LINKS:
            hood.set_link(peer, Link.DIALLING)
            self._state.emit(ev.Dial(peer, hood.known[peer].reachable))

    def dial_all(self) -> None:
        """Dial everybody who is known, as far as there is room; who is configured comes first."""
        for peer in self._state.neighbourhood.ranked():
            self.dial(peer)

    def dial_later(self, peer: str) -> None:
        """A link or a dial has ended."""
        state = self._state
        delay = state.neighbourhood.redial_delay(peer, state.rng, self._reach.redial_last(peer))
        if delay is not None:
            state.neighbourhood.set_link(peer, Link.WAITING)
            state.emit(ev.SetTimer(("redial", peer), delay))
        else:
            state.neighbourhood.stop_dialling(peer)

    def redial(self, peer: str) -> None:
        """The time for that has come, unless it came before."""
        if self._state.neighbourhood.awaits(peer):
            self._state.neighbourhood.stop_dialling(peer)
            self.dial(peer)

    def keep(self, now: float) -> None:
        """Dial contacts that there is no link to, let go of others if there are too many, greet again who is silent."""
        state = self._state
        self._part(state.contacts.renew(state.epoch(now)))
        for peer in state.contacts.missing():
            self.dial(peer)
        self.greet_the_silent()

    def connected(self, peer: str, now: float) -> None:
        """There is a link to `peer`."""
        hood = self._state.neighbourhood
        neighbour = hood.meet(peer)
        neighbour.outbound = neighbour.link is Link.DIALLING
        hood.set_link(peer, Link.UP)
        self.greet(peer, neighbour)
        if neighbour.greeted:
            self._linked(peer, now)

    def disconnected(self, peer: str, now: float) -> None:
        """The link to `peer` is gone."""
        hood = self._state.neighbourhood
        if peer not in hood.known:
            return
        neighbour = hood.meet(peer)
        parted, neighbour.parted = neighbour.parted, False
        hood.set_greeted(peer, greeted=False)
        hood.set_link(peer, Link.NONE)
        if not parted:
            self._reach.lost(peer, now)
            self.dial_later(peer)
        self._live(now)

    def greet_the_silent(self) -> None:
        """Say Hello again where none came back: on a lossy link either may have been lost."""
        for peer in self._state.neighbourhood.silent():
            self.greet(peer, self._state.neighbourhood.meet(peer))

    def on_hello(self, peer: str, neighbour: Neighbour, hello: msg.Hello, now: float) -> None:
        """`peer` greets."""
        state, hood = self._state, self._state.neighbourhood
        if hello.mesh != state.settings.mesh or hello.schema != state.fingerprint:
            theirs = f"mesh {hello.mesh!r}" if hello.mesh != state.settings.mesh else "a model of another schema"
            neighbour.spoke = False
            hood.set_greeted(peer, greeted=False)
            hood.locate(peer, ())
            state.emit(ev.Disconnect(peer, f"it belongs to {theirs}"))
            raise RemoteError(f"it belongs to {theirs}")
        first = not neighbour.greeted
        if not hello.heard and not first:
            self.greet(peer, neighbour)
        neighbour.spoke = True
        neighbour.failed_dials = 0
        hood.set_greeted(peer, greeted=True)
        hood.locate(peer, hello.addresses or neighbour.addresses)
        hood.set_role(peer, hello.role)
        neighbour.codec = sys.intern(hello.codec)
        if (hello.incarnation, hello.seq) >= (neighbour.incarnation, neighbour.seq):
            hood.set_version(neighbour, hello.incarnation, hello.seq, hello.age, hello.base)
        if first and neighbour.connected:
            self._linked(peer, now)

    def on_peers(self, peer: str, peers: msg.Peers, now: float) -> None:
        """`peer` tells whom it is linked with: who was given up for a while is there, as after a partition."""
        hood, news = self._state.neighbourhood, 0
        for known in peers.peers:
            if (len(hood.known) < MAX_KNOWN or news < MAX_NEWS) and hood.hear_of(known.peer, known.addresses):
                news += 1
                self.dial(known.peer)
            elif hood.awaits(known.peer):
                self.redial(known.peer)
        if peers.asks:
            self.introduce(peer, now)

    def on_found(self, peer: str, addresses: tuple[str, ...]) -> None:
        """The network has come across `peer`."""
        hood = self._state.neighbourhood
        if hood.sight(peer, addresses):
            if hood.awaits(peer):
                self.redial(peer)
            else:
                self.dial(peer)

    def move(self, addresses: tuple[str, ...]) -> None:
        """From now on, this node is somewhere else: tell all, and try again at once those who did not answer there."""
        state = self._state
        state.addresses = addresses[: msg.MAX_ADDRESSES]
        for peer, neighbour in state.neighbourhood.links.items():
            self.greet(peer, neighbour)
        for peer in [known for known in state.neighbourhood.known if state.neighbourhood.awaits(known)]:
            self.redial(peer)

    def on_goodbye(self, peer: str, goodbye: msg.Goodbye) -> None:
        """`peer` ends the link on purpose."""
        hood = self._state.neighbourhood
        hood.set_greeted(peer, greeted=False)
        if goodbye.leaves:
            hood.meet(peer).parted = True
            hood.locate(peer, ())
        else:
            hood.meet(peer).parted = True
            self._state.emit(ev.Disconnect(peer, ENOUGH))

    def forget(self, peer: str, now: float) -> None:
        """`peer` is not missed, nor heard of."""
        linked = self._state.neighbourhood.meet(peer).connected
        self._reach.back(peer)
        self._state.neighbourhood.banish(peer)
        if linked:
            self._live(now)

    def introduce(self, peer: str, now: float, *, asks: bool = False) -> None:
        """Tell `peer` about others, and perhaps ask it for those that it knows."""
        state = self._state
        wanted = state.contacts.neighbours_of(peer, state.epoch(now))
        others = state.neighbourhood.introduce(peer, wanted, state.rng)
        if others or asks:
            state.send(peer, msg.Peers(others, asks))

    def strike(self, peer: str, reason: str, now: float) -> bool:
        """Something from `peer` was refused. Returns whether that was once too often."""
        neighbour = self._state.neighbourhood.meet(peer)
        neighbour.strikes, neighbour.struck_at = struck(neighbour.strikes, neighbour.struck_at, now), now
        self._state.emit(ev.Refused(peer, reason))
        return round(neighbour.strikes) >= MAX_STRIKES

    def _part(self, peers: list[str]) -> None:
        """Have these cut their links with us: they know then that they need not dial. Cut those that did not."""
        links = self._state.neighbourhood.links
        for peer in self._parting:
            if peer in links and links[peer].parted:
                self._state.emit(ev.Disconnect(peer, ENOUGH))
        self._parting = peers
        for peer in peers:
            links[peer].parted = True
            self._state.send(peer, msg.Goodbye(leaves=False))

    def _linked(self, peer: str, now: float) -> None:
        self._reach.back(peer)
        if (members := self._state.members) is not None and (revocations := members.revocations):
            told = self._state.rng.sample(revocations, min(len(revocations), msg.MAX_REVOCATIONS))
            self._state.send(peer, msg.Revocations(tuple(told)))
        self.introduce(peer, now)
        self._live(now)

    def greet(self, peer: str, neighbour: Neighbour) -> None:
        """Say Hello; to nobody who has not shown that it is of the mesh."""
        members = self._state.members
        if members is not None and not neighbour.greeted:
            self._state.send(peer, msg.Credential(members.credential))
        if members is None or neighbour.credential is not None:
            self.hello(peer, neighbour)

    def hello(self, peer: str, neighbour: Neighbour) -> None:
        """The greeting itself."""
        state = self._state
        hello = msg.Hello(
            state.settings.mesh, state.fingerprint, state.bases.own, state.incarnation, state.seq,
            state.replica.age, state.addresses, state.settings.role, state.settings.codec, neighbour.greeted,
        )  # fmt: skip
        state.send(peer, hello)
