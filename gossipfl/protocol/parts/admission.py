"""Admission: in a closed mesh, nobody hears anything from this node who has not shown a credential; see `charter`.

Who dials shows its own first, and who is dialled answers with its own: a stranger that dials is told nothing at all.
Until then a link that others made does not count, so strangers keep no place from members. A ban is passed on once to
all that there are links with, and some with each new link. Where the mesh is open, this part does nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from gossipfl.errors import RemoteError
from gossipfl.membership.charter import Members, Revocation
from gossipfl.protocol import events as ev
from gossipfl.protocol.neighbour import Link
from gossipfl.protocol.parts.census import Census
from gossipfl.protocol.parts.failures import Failures
from gossipfl.protocol.parts.links import Links
from gossipfl.protocol.parts.state import State
from gossipfl.wire import messages as msg

BANNED = "it was banned"


class Admission:
    """Who is let in. `live` is called with the time when a link is gone because its peer was banned."""

    def __init__(
        self, state: State, links: Links, failures: Failures, census: Census, live: Callable[[float], None]
    ) -> None:
        self._state, self._links, self._failures, self._census = state, links, failures, census
        self._live = live
        self._waiting: set[str] = set()
        """Who has made a link and is still a stranger; as many as the network lets in."""
        if state.members is not None:
            for revocation in state.members.revocations:
                state.neighbourhood.banish(revocation.device)

    def admits(self, peer: str) -> bool:
        """May `peer` say more than why it is of the mesh?"""
        if self._state.members is None:
            return True
        record = self._state.neighbourhood.known.get(peer)
        return record is not None and record.credential is not None

    def connected(self, peer: str, now: float, *, dialled: bool) -> None:
        """There is a link to `peer`."""
        record = self._state.neighbourhood.known.get(peer)
        dialled = dialled or (record is not None and record.link is Link.DIALLING)
        if dialled and self._state.neighbourhood.is_banished(peer):
            self._state.emit(ev.Disconnect(peer, BANNED))  # it was not yet when it was dialled
        elif dialled or self.admits(peer):
            self._links.connected(peer, now)
        else:
            self._waiting.add(peer)

    def disconnected(self, peer: str) -> None:
        """The link to `peer` is gone."""
        self._waiting.discard(peer)

    def on_stranger(self, peer: str, body: bytes, now: float) -> None:
        """A frame from somebody who is not admitted."""
        state = self._state
        assert state.members is not None
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

    def on_revocations(self, peer: str, message: msg.Revocations, now: float) -> None:
        """`peer` says who is of the mesh no more."""
        if self._state.members is not None:
            self._revoke(self._state.members, message.revocations, peer, now)

    def revoke(self, revocation: Revocation, now: float) -> None:
        """The user of this device bans another one."""
        if self._state.members is not None:
            self._revoke(self._state.members, (revocation,), self._state.me, now)

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
                self._expel(peer, now)
        for peer in hood.live():
            if peer != source:
                state.send(peer, msg.Revocations(tuple(news)))

    def _expel(self, peer: str, now: float) -> None:
        linked = self._state.neighbourhood.meet(peer).connected
        self._failures.lost(peer)
        self._census.forget(peer)
        self._links.forget(peer)
        self._state.neighbourhood.banish(peer)
        if linked:
            self._state.emit(ev.Disconnect(peer, BANNED))
            self._live(now)
