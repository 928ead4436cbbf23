"""What the control API can have done about who is of a closed mesh."""

from __future__ import annotations

import trio

from gossipfl.protocol.events import Event, Revoke
from gossipfl_nodes.control.answers import Admitting, Banning, Inviting, Ticketed
from gossipfl_nodes.control.view import View
from gossipfl_nodes.daemon.driver import Driver
from gossipfl_nodes.daemon.gate import Gate, needed


class Admissions:
    """By the device that `view` shows, whose `gate` there is if the mesh is closed."""

    def __init__(self, gate: Gate | None, view: View, driver: Driver, outbox: trio.MemorySendChannel[Event]) -> None:
        self._gate, self._view, self._driver, self._outbox = gate, view, driver, outbox

    async def invite(self, body: Inviting) -> Ticketed:
        """Make a ticket for a device whose id is not known; this one must be there when it is used."""
        return needed(self._gate).invite(body, self._view.addresses)

    async def allow(self, body: Admitting) -> Ticketed:
        """Make a ticket for a device whose id is known."""
        return needed(self._gate).allow(body, self._view.addresses)

    async def ban(self, body: Banning) -> Banning:
        """Exclude a device from the mesh, for good."""
        revocation = needed(self._gate).ban(body, self._view.credential(body.device))
        await self._driver.ask(Revoke(revocation), self._outbox)
        return body
