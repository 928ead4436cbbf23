"""The gate: who may come into a closed mesh by this device's word, and who may not any more.

What the user asks for, what invited devices ask for, and what the peer hears comes together here, on disk before it
counts. In an open mesh there is no gate.
"""

from __future__ import annotations

import time
from http import HTTPStatus

import structlog

from gossipfl.errors import LocalError
from gossipfl.membership.charter import Charter, Credential, Revocation
from gossipfl.membership.ids import is_id
from gossipfl_nodes.control.answers import Admitting, Banning, Inviting, Ticketed
from gossipfl_nodes.control.web.problems import Refusal
from gossipfl_nodes.disk.trust import Trust
from gossipfl_nodes.network import ticket
from gossipfl_nodes.network.identity import signer
from gossipfl_nodes.network.inviting import Answer
from gossipfl_nodes.network.ticket import Ticket

log = structlog.get_logger("daemon")


class Gate:
    """Of the device `me`, whose key has that `seed`, in `mesh`, whose key is `secret`."""

    def __init__(self, me: str, seed: bytes, mesh: str, secret: bytes, trust: Trust) -> None:
        self._me, self._sign, self._mesh, self.secret, self._trust = me, signer(seed), mesh, secret, trust

    @property
    def charter(self) -> Charter:
        """As the peer starts with it."""
        return self._trust.charter

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where to begin from."""
        return self._trust.addresses

    def redeem(self, secret: bytes, device: str) -> Answer:
        """What a device is told that shows the secret of an invitation."""
        try:
            charter = self._trust.redeem(secret, device, time.time(), self._sign)
        except LocalError as error:
            log.warning("invitation refused", peer=device, reason=str(error))
            return Answer(None, str(error))
        log.info("invited device joins", peer=device)
        return Answer(charter)

    def remember(self, revocation: Revocation) -> None:
        """The peer has heard of a ban."""
        log.warning(
            "this device was banned" if revocation.device == self._me else "device banned",
            device=revocation.device, by=revocation.by,
        )  # fmt: skip
        try:
            self._trust.remember(revocation)
        except LocalError as error:  # others know it, and tell again
            log.error("ban can't be kept", reason=str(error))  # noqa: TRY400 - the disk's fault, not ours

    def invite(self, asked: Inviting, addresses: list[str]) -> Ticketed:
        """A ticket for whichever device uses it first; raises LocalError."""
        expires = time.time() + asked.seconds
        secret = self._trust.invite(time.time(), asked.seconds, admin=asked.admin)
        return Ticketed(ticket.write(Ticket(self._mesh, self.secret, tuple(addresses), expires, secret)), expires)

    def allow(self, asked: Admitting, addresses: list[str]) -> Ticketed:
        """A ticket for that device, good for ever; raises LocalError."""
        _check(asked.device)
        credential = self._trust.members.admit(asked.device, self._me, self._sign, admin=asked.admin)
        charter = Charter(self.charter.founder, credential)
        made = Ticket(self._mesh, self.secret, tuple(addresses), float("inf"), None, asked.device, charter)
        return Ticketed(ticket.write(made), None)

    def ban(self, asked: Banning, shown: Credential) -> Revocation:
        """What bans a device, which has shown that, once the peer is told; it is on disk. Raises LocalError."""
        _check(asked.device)
        revocation = self._trust.members.revoke(asked.device, self._me, self._sign, shown)
        self._trust.remember(revocation)
        return revocation


def needed(gate: Gate | None) -> Gate:
    """`gate`, if there is one; raises Refusal."""
    if gate is None:
        raise Refusal(HTTPStatus.CONFLICT, "this mesh is open: anybody joins, and nobody can be banned")
    return gate


def _check(device: str) -> None:
    if not is_id(device):
        raise LocalError(f"{device!r} is no id; gossipfl id prints a device's own, as 12D3KooW…")
