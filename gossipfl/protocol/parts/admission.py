"""Admission: who is let in, and who not any more.

In a closed mesh, nobody hears anything from this node who has not shown a credential; see `charter`. Who dials shows
its own first, and who is dialled answers with its own: a stranger that dials is told nothing at all. Until then a link
that others made does not count, so strangers keep no place from members. A ban is passed on once to all that there are
links with, and some with each new link. In an open mesh everybody is let in.

In any mesh, whoever was refused too often is shunned for a while; see `reputation`.
"""

from __future__ import annotations

from gossipfl.errors import LocalError, RemoteError
from gossipfl.membership.charter import Members, Revocation
from gossipfl.membership.reputation import Offenders
from gossipfl.protocol import events as ev
from gossipfl.protocol.neighbour import Link
from gossipfl.protocol.parts.failures import Failures
from gossipfl.protocol.parts.links import Links
from gossipfl.protocol.parts.state import State
from gossipfl.wire import messages as msg

BANNED, SHUNNED = "it was banned", "it was refused too often, and not long ago"


class Admission:
    """Who is let in."""

    def __init__(self, state: State, links: Links, failures: Failures) -> None:
        self._state, self._links, self._failures = state, links, failures
        self._offenders = Offenders()
        self._places: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        """Where those who are shunned were to be reached: what is configured, and what was heard."""
        self._waiting: set[str] = set()
        """Who has made a link and is still a stranger; as many as the network lets in."""
        if state.members is not None:
            for revocation in state.members.revocations:
                state.neighbourhood.banish(revocation.device)

    def admits(self, peer: str) -> bool:
        """May `peer` say more than why it is of the mesh?"""
        if peer in self._offenders.shunned:
            return False
        if self._state.members is None:
            return True
        record = self._state.neighbourhood.known.get(peer)
        return record is not None and record.credential is not None

    def connected(self, peer: str, now: float, *, dialled: bool) -> None:
        """There is a link to `peer`."""
        record = self._state.neighbourhood.known.get(peer)
        dialled = dialled or (record is not None and record.link is Link.DIALLING)
        if peer in self._offenders.shunned:
            self._state.emit(ev.Disconnect(peer, SHUNNED))
        elif dialled and self._state.neighbourhood.is_banished(peer):
            self._state.emit(ev.Disconnect(peer, BANNED))  # it was not yet when it was dialled
        elif dialled or self.admits(peer):
            if self._state.members is not None and self.admits(peer):  # it has shown that on an earlier link
                self._state.emit(ev.Admitted(peer))
            self._links.connected(peer, now)
        else:
            self._waiting.add(peer)

    def disconnected(self, peer: str) -> None:
        """The link to `peer` is gone."""
        self._waiting.discard(peer)

    def on_stranger(self, peer: str, body: bytes, now: float) -> None:
        """A frame from somebody who is not admitted."""
        state = self._state
        if state.members is None or peer in self._offenders.shunned:
            return  # its link is about to be cut
        try:
            message = msg.decode(body)
            if not isinstance(message, msg.Credential):
                return  # it overtook the credential on the way; or it is a stranger's, and who cares what that says
            if (objection := state.members.objection(peer, message.admissions)) is not None:
                raise RemoteError(objection)
        except RemoteError as error:
            state.emit(ev.Refused(peer, str(error)))
            state.emit(ev.Disconnect(peer, str(error)))
            return
        neighbour = state.neighbourhood.meet(peer)
        neighbour.credential = message.admissions
        state.neighbourhood.pardon(peer)
        state.emit(ev.Admitted(peer))
        if peer in self._waiting:
            self._waiting.discard(peer)
            self._links.connected(peer, now)
        elif neighbour.connected:
            self._links.hello(peer, neighbour)

    def shun(self, peer: str, reason: str, now: float) -> None:
        """`peer` was refused once too often."""
        record = self._state.neighbourhood.meet(peer)
        self._places[peer] = (record.configured, record.addresses)
        seconds, forgotten = self._offenders.offend(peer, now)
        self._expel(peer, now)
        self._state.emit(ev.Disconnect(peer, f"refused too often, last: {reason}"))
        if seconds is not None:
            self._state.emit(ev.SetTimer(("pardon", peer), seconds))
        for one in forgotten:
            self.pardon(one)

    def pardon(self, peer: str) -> None:
        """`peer` has been shunned for long enough."""
        hood, members = self._state.neighbourhood, self._state.members
        self._offenders.pardon(peer)
        configured, addresses = self._places.pop(peer, ((), ()))
        if members is not None and members.is_revoked(peer):
            return
        hood.pardon(peer)
        if configured:
            hood.configure(peer, configured)
        hood.hear_of(peer, addresses)
        self._links.dial(peer)

    def on_revocations(self, peer: str, message: msg.Revocations, now: float) -> None:
        """`peer` says who is of the mesh no more."""
        if self._state.members is not None:
            self._revoke(self._state.members, message.revocations, peer, now)

    def revoke(self, revocation: Revocation, now: float) -> None:
        """The user of this device bans another one.

        Raises:
            LocalError: nobody would believe it, or the mesh is open.
        """
        if self._state.members is None:
            raise LocalError("nobody is banned from an open mesh")
        try:
            self._revoke(self._state.members, (revocation,), self._state.me, now)
        except RemoteError as error:
            raise LocalError(str(error)) from error

    def _revoke(self, members: Members, revocations: tuple[Revocation, ...], source: str, now: float) -> None:
        state, hood = self._state, self._state.neighbourhood
        news = members.news(revocations)
        if not news:
            return
        members.add(news)
        for revocation in news:
            state.emit(ev.Revoked(revocation))
            record = hood.known.get(revocation.device)
            if record is None or record.credential is None:
                hood.banish(revocation.device)
        for peer, record in list(hood.known.items()):
            if record.credential is not None and members.objection(peer, record.credential) is not None:
                if record.connected:
                    state.emit(ev.Disconnect(peer, BANNED))
                self._expel(peer, now)
        for peer in hood.live():
            if peer != source:
                state.send(peer, msg.Revocations(tuple(news)))

    def _expel(self, peer: str, now: float) -> None:
        """Forget `peer`, and hear nothing of it."""
        self._failures.forget(peer)
        self._links.forget(peer, now)
