"""The orders: what the control API can have a running daemon do.

Whatever moves the protocol is an event for the peer, which the driver hands to it like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import trio

from gossipfl.errors import LocalError
from gossipfl.membership.ids import is_id
from gossipfl.protocol.events import Event, Hurried, Paused, Published, Resumed, Rewired
from gossipfl.protocol.peer import Peer
from gossipfl_nodes.control.answers import Level, Ping, Pong, Publish, Stopping, Training, Wiring
from gossipfl_nodes.control.view import version
from gossipfl_nodes.control.web.problems import Refusal
from gossipfl_nodes.daemon.driver import Driver
from gossipfl_nodes.network.discovery.addresses import checked
from gossipfl_nodes.network.network import Network
from gossipfl_nodes.observing.logs import Logs
from gossipfl_topology.live import Topology


class Orders:
    """What can be had done by one daemon.

    Args:
        peer: to be looked at.
        network: of it.
        driver: of it.
        outbox: leads to the driver.
        stop: set, it ends the daemon.
        logs: how it logs.
        find: the topology that a text names, in this device's files too.
        trains: whether this device may train at all.
    """

    def __init__(
        self, peer: Peer, network: Network, driver: Driver, outbox: trio.MemorySendChannel[Event], stop: trio.Event,
        logs: Logs,
        find: Callable[[str], Topology],
        *,
        trains: bool,
    ) -> None:  # fmt: skip
        self._peer, self._network, self._driver, self._outbox = peer, network, driver, outbox
        self._stop, self._logs, self._find, self._trains = stop, logs, find, trains

    async def stop(self) -> Stopping:
        """Stop the daemon gracefully."""
        self._stop.set()
        return Stopping(stopping=True)

    async def pause(self) -> Training:
        """Let local training rest once the phase that has begun is over; publishing and merging go on."""
        await self._driver.ask(Paused(), self._outbox)
        return Training(paused=True)

    async def resume(self) -> Training:
        """Train again."""
        if not self._trains:
            raise LocalError("this device only serves, as task.trains = false says; set it to true and restart")
        await self._driver.ask(Resumed(), self._outbox)
        return Training(paused=False)

    async def publish(self) -> Publish:
        """Publish now, beside the publishes of every interval."""
        effects = await self._driver.ask(Hurried(), self._outbox)
        sent = next((effect for effect in effects if isinstance(effect, Published)), None)
        return Publish(version(self._peer), len(sent.to) if sent else 0, sent.size if sent else 0)

    async def ping(self, body: Ping) -> Pong:
        """Ask a peer, or whoever is at an address, whether it is there."""
        where, _, name = body.peer.partition("/p2p/") if "/" in body.peer else ("", "", body.peer)
        peer = self._known(name) if name else None
        known = self._peer.neighbourhood.known.get(peer or "")
        addresses = (checked("peer", where),) if where else known.reachable if known else ()
        try:
            return Pong(*await self._network.ping(peer, addresses))
        except ConnectionError as error:
            raise Refusal(HTTPStatus.GATEWAY_TIMEOUT, f"{body.peer} does not answer: {error}") from None

    def _known(self, name: str) -> str:
        """The peer whose id ends in `name`; or `name` itself, if it is an id that is not known.

        Raises:
            LocalError: there are several, or none and it is no id either.
        """
        found = [peer for peer in self._peer.neighbourhood.known if peer.endswith(name)]
        if len(found) > 1:
            raise LocalError(f"peer = {name!r}: {len(found)} peers' ids end so; give more of it")
        if not found and not is_id(name):
            raise LocalError(f"peer = {name!r}: neither an id, nor the end of one that gossipfl peers lists")
        return found[0] if found else name

    async def show(self, body: Level) -> Level:
        """Log lines of at least this level, until the daemon is restarted."""
        self._logs.show(body.level)
        return body

    async def rewire(self, body: Wiring) -> Wiring:
        """Change who gets a publish, until the daemon is restarted."""
        topology = await trio.to_thread.run_sync(self._find, body.topology)  # it may be a large file
        await self._driver.ask(Rewired(topology), self._outbox)
        return Wiring(topology.name)
