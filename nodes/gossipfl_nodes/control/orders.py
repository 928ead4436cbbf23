"""The orders: what the control API can have a running daemon do.

Whatever moves the protocol is an event for the peer, which the driver hands to it like any other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from gossipfl.protocol.events import Event, Revoke, Rewired
from gossipfl_nodes.control.answers import Admitting, Banning, Inviting, Stopping, Ticketed, Wiring
from gossipfl_nodes.daemon.driver import Driver
from gossipfl_nodes.daemon.gate import Gate, needed
from gossipfl_topology.live import Topology


class Orders:
    """What can be had done by one daemon.

    Args:
        driver: of its peer.
        outbox: leads to the driver.
        stop: set, it ends the daemon.
        find: the topology that a text names, in this device's files too.
        gate: into the mesh, if it is closed.
        addresses: where this device can be reached now.
    """

    def __init__(
        self, driver: Driver, outbox: trio.MemorySendChannel[Event], stop: trio.Event,
        find: Callable[[str], Awaitable[Topology]], gate: Gate | None, addresses: Callable[[], list[str]],
    ) -> None:  # fmt: skip
        self._driver, self._outbox, self._stop, self._find = driver, outbox, stop, find
        self._gate, self._addresses = gate, addresses

    async def stop(self) -> Stopping:
        """Stop the daemon gracefully."""
        self._stop.set()
        return Stopping(stopping=True)

    async def rewire(self, body: Wiring) -> Wiring:
        """Change who gets a publish, until the daemon is restarted."""
        topology = await self._find(body.topology)
        await self._driver.ask(Rewired(topology), self._outbox)
        return Wiring(topology.name)

    async def invite(self, body: Inviting) -> Ticketed:
        """Make a ticket for a device whose id is not known; this one must be there when it is used."""
        return needed(self._gate).invite(body, self._addresses())

    async def allow(self, body: Admitting) -> Ticketed:
        """Make a ticket for a device whose id is known."""
        return needed(self._gate).allow(body, self._addresses())

    async def ban(self, body: Banning) -> Banning:
        """Exclude a device from the mesh, for good."""
        await self._driver.ask(Revoke(needed(self._gate).ban(body)), self._outbox)
        return body
