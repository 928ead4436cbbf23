"""Links: whom to dial, whom to greet and tell about others, and whom to let go.

A link counts once both ends have said Hello on it. Who is refused too often loses the link and is not dialled again.
Knows no models; when somebody has become live it says so, and what follows is not its part.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from gossipfl.errors import RemoteError
from gossipfl.protocol import events as ev
from gossipfl.protocol.neighbour import Link, Neighbour
from gossipfl.protocol.parts.state import State
from gossipfl.wire import messages as msg

MAX_STRIKES = 10
"""Refused frames before the link is cut; an accepted update wins one back."""


class Links:
    """The links of a peer. `live` is called with the time when there is one more or less."""

    def __init__(self, state: State, live: Callable[[float], None]) -> None:
        self._state = state
        self._live = live

    def dial(self, peer: str) -> None:
        """Dial `peer` if it is one to have a link with."""
        hood = self._state.neighbourhood
        if hood.wants_link(peer) and self._state.contacts.wants(peer):
            hood.set_link(peer, Link.DIALLING)
            self._state.emit(ev.Dial(peer, hood.known[peer].reachable))

    def dial_all(self) -> None:
        """Dial everybody who is known, as far as there is room."""
        for peer in list(self._state.neighbourhood.known):
            self.dial(peer)

    def dial_later(self, peer: str) -> None:
        """A link or a dial has ended."""
        state = self._state
        delay = state.neighbourhood.redial_delay(peer, state.rng)
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
        state.contacts.renew(state.epoch(now))
        for peer in state.contacts.missing():
            self.dial(peer)
        for peer in state.contacts.spare(state.rng):
            state.emit(ev.Disconnect(peer, "there are links enough"))
        self.greet_the_silent()

    def connected(self, peer: str, now: float) -> None:
        """There is a link to `peer`."""
        self._state.neighbourhood.set_link(peer, Link.UP)
        neighbour = self._state.neighbourhood.meet(peer)
        self._greet(peer, neighbour)
        if neighbour.greeted:
            self._linked(peer, now)

    def disconnected(self, peer: str, now: float) -> None:
        """The link to `peer` is gone."""
        hood = self._state.neighbourhood
        if peer not in hood.known:
            return
        hood.set_greeted(peer, greeted=False)
        hood.set_link(peer, Link.NONE)
        self.dial_later(peer)
        self._live(now)

    def greet_the_silent(self) -> None:
        """Say Hello again where none came back: on a lossy link either may have been lost."""
        for peer in self._state.neighbourhood.silent():
            self._greet(peer, self._state.neighbourhood.meet(peer))

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
            self._greet(peer, neighbour)
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

    def on_peers(self, peers: tuple[msg.KnownPeer, ...]) -> None:
        """Somebody tells whom it is linked with: who was given up for a while is there, as after a partition."""
        hood = self._state.neighbourhood
        for known in peers:
            if hood.hear_of(known.peer, known.addresses):
                self.dial(known.peer)
            elif hood.awaits(known.peer):
                self.redial(known.peer)

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
            self._greet(peer, neighbour)
        for peer in [known for known in state.neighbourhood.known if state.neighbourhood.awaits(known)]:
            self.redial(peer)

    def on_goodbye(self, peer: str) -> None:
        """`peer` leaves on purpose."""
        self._state.neighbourhood.set_greeted(peer, greeted=False)
        self._state.neighbourhood.locate(peer, ())

    def introduce(self, peer: str) -> None:
        """Tell `peer` about others."""
        if others := self._state.neighbourhood.introduce(peer, self._state.rng):
            self._state.send(peer, msg.Peers(others))

    def strike(self, peer: str, reason: str) -> None:
        """Something from `peer` was refused."""
        neighbour = self._state.neighbourhood.meet(peer)
        neighbour.strikes += 1
        self._state.emit(ev.Refused(peer, reason))
        if neighbour.strikes >= MAX_STRIKES:
            neighbour.strikes = 0
            self._state.neighbourhood.locate(peer, ())  # not redialled; it may come back by itself
            self._state.emit(ev.Disconnect(peer, f"refused too often, last: {reason}"))

    def _linked(self, peer: str, now: float) -> None:
        self._state.contacts.choose(self._state.epoch(now))
        self.introduce(peer)
        self._live(now)

    def _greet(self, peer: str, neighbour: Neighbour) -> None:
        state = self._state
        hello = msg.Hello(
            state.settings.mesh, state.fingerprint, state.bases.own, state.incarnation, state.seq,
            state.replica.age, state.addresses, state.settings.role, state.settings.codec, neighbour.greeted,
        )  # fmt: skip
        state.send(peer, hello)
