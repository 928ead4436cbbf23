"""The network of one device: a libp2p host, and a link to each peer.

Turns the world into the core's events (Connected, DialFailed, Disconnected, Found, Readdressed, Received) on a channel,
and takes Send, Dial and Disconnect as calls that never wait. Nothing that a peer does raises past its own link.
"""

from __future__ import annotations

from gossipfl_nodes.network import lean  # noqa: F401 - before libp2p

# isort: split
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import structlog
import trio
from libp2p import new_host
from libp2p.abc import IHost, IMuxedConn, INetConn, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair as ed25519_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.config import ConnectionConfig
from libp2p.peer.id import ID
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from gossipfl.errors import LocalError, RemoteError
from gossipfl.membership.charter import Charter
from gossipfl.protocol.events import Connected, DialFailed, Disconnected, Event, Found, Readdressed, Received
from gossipfl_nodes.network import cures, inviting, limits
from gossipfl_nodes.network.discovery import addresses as places
from gossipfl_nodes.network.door import Door
from gossipfl_nodes.network.limits import MAX_LINKS, Limits
from gossipfl_nodes.network.link import Link, watch
from gossipfl_nodes.network.pinging import Pong, ping

PROTOCOL = "/gossipfl/1"
MAX_DIALS = 8
"""At the same time: addresses are hearsay, and nobody should be able to point a mesh at a victim."""
UNREACHABLE_EVERY = 60.0
"""Seconds between two lines about the same peer that doesn't answer."""
DIAL_TIMEOUT = 5.0
"""Seconds for each address: a dial takes about six round trips."""
FLUSH_TIMEOUT = 2.0
"""Seconds for the last frames to leave when the network stops."""

Refuse: TypeAlias = Callable[[str, str], None]

log = structlog.get_logger("network")


class Network:
    """Links over a running libp2p host; made by `open_network`."""

    def __init__(
        self,
        host: IHost,
        events: trio.MemorySendChannel[Event],
        nursery: trio.Nursery,
        allowed: Limits,
        refuse: Refuse,
        announce: tuple[str, ...],
        *,
        closed: bool,
    ) -> None:
        self.id = str(host.get_id())
        self._host = host
        self._events = events
        self._nursery = nursery
        self._allowed = allowed
        self._refuse = refuse
        self._closed = closed
        """Are those who have a link strangers until the core says otherwise?"""
        self._strangers: dict[IMuxedConn, None] = {}
        """Connections without a link, the oldest first."""
        self._dialling: set[str] = set()
        self._dials = trio.CapacityLimiter(MAX_DIALS)
        self._unreachable: dict[str, float] = {}
        self._announced = announce
        self._moved = trio.lowlevel.ParkingLot()
        self.addresses = self._reachable()
        """Where others can reach this device."""
        self.links: dict[str, Link] = {}
        self.bytes_sent_before = 0
        """By links that have ended."""
        self.bytes_received_before = 0

    @property
    def bytes_sent(self) -> int:
        """Of frames, their lengths and keep-alives, since the start; libp2p's own traffic is not in it."""
        return self.bytes_sent_before + sum(link.bytes_sent for link in self.links.values())

    @property
    def bytes_received(self) -> int:
        """As `bytes_sent`."""
        return self.bytes_received_before + sum(link.bytes_received for link in self.links.values())

    def send(self, peer: str, body: bytes, *, supersedes: bool) -> None:
        """Queue a frame to `peer`; without a link it is lost."""
        link = self.links.get(peer)
        if link is not None:
            link.put(body, supersedes=supersedes)
            while sum(each.queued for each in self.links.values()) > self._allowed.pool:
                max(self.links.values(), key=lambda each: each.queued).take()

    def dial(self, peer: str, addresses: tuple[str, ...]) -> None:
        """Try to get a link to `peer`; a Connected or DialFailed follows."""
        if peer not in self._dialling and peer not in self.links:
            self._dialling.add(peer)
            self._nursery.start_soon(self._dial, peer, addresses)

    def disconnect(self, peer: str) -> None:
        """Cut the link to `peer`."""
        link = self.links.get(peer)
        if link is not None:
            link.scope.cancel()

    def admit(self, peer: str) -> None:
        """`peer` is no stranger any more."""
        if (link := self.links.get(peer)) is not None:
            link.admit()
            for connection in link.connections:
                self._trust(connection)

    async def found(self, peer: str, addresses: tuple[str, ...]) -> None:
        """Somebody who claims to be of the mesh can be reached at `addresses`."""
        if peer != self.id:
            await self._tell(Found(peer, addresses))

    async def meet(self, address: str) -> str:
        """Make a link to whoever is at `address`, and return its id. A Connected follows if there was none.

        Raises:
            ConnectionError: nobody answers there.
        """
        peer_id = await cures.dial(self._host, None, [address], DIAL_TIMEOUT)
        if str(peer_id) not in self.links:
            self._open(peer_id, dialled=True)
        return str(peer_id)

    async def redeem(self, address: str, secret: bytes) -> Charter:
        """What whoever is at `address`, a multiaddr with its id, has for this device that knows `secret`.

        Raises:
            ConnectionError: it does not answer there.
            LocalError: it has nothing.
        """
        where, _, peer = address.partition("/p2p/")
        peer_id = await cures.dial(self._host, ID.from_string(peer), [where], DIAL_TIMEOUT)
        return await inviting.ask(self._host, peer_id, secret)

    async def ping(self, peer: str | None, addresses: tuple[str, ...]) -> Pong:
        """How long it takes to `peer`, or to whoever is at `addresses`, and back; see `pinging`.

        Raises:
            ConnectionError: nobody answers.
        """
        return await ping(self._host, peer, addresses)

    async def moved(self) -> None:
        """Return when `addresses` are others."""
        await self._moved.park()

    async def follow(self) -> None:
        """Keep `addresses` true, and cut what was connected from an address that is gone."""
        async for _ in places.changes():
            self._leave_stranded(places.of_interfaces())
            if (now := self._reachable()) != self.addresses:
                log.info("addresses changed", addresses=" ".join(now))
                self.addresses = now
                self._moved.unpark_all()
                await self._tell(Readdressed(now))

    def _leave_stranded(self, here: list[str]) -> None:
        for link in self.links.values():
            for connection in link.connections:
                if places.is_stranded(cures.near_end(connection), here):
                    cures.abort(connection)

    def _reachable(self) -> tuple[str, ...]:
        bound = [str(address) for address in self._host.get_transport_addrs()]
        return places.reachable(bound, places.of_interfaces(), self._announced)

    async def flush(self) -> None:
        """Wait until what is queued has left, for a while."""
        with trio.move_on_after(FLUSH_TIMEOUT):
            while not all(link.idle for link in self.links.values()):
                await trio.sleep(0.02)
            await trio.sleep(0.1)  # closing at once would lose what the peer has not read yet

    async def accept(self, stream: INetStream) -> None:
        """Read the stream that a peer has opened to us."""
        peer_id = stream.muxed_conn.peer_id
        peer = str(peer_id)
        old = self.links.get(peer)
        if old is not None and old.read:
            # The peer begins anew, so the link that we still believe in is dead: it froze, or lost its power.
            old.scope.cancel()
            while self.links.get(peer) is old:
                await trio.sleep(0.01)
        if peer not in self.links and len(self.links) >= MAX_LINKS:
            raise RemoteError(f"{MAX_LINKS} links are all there is")
        link = self.links.get(peer) or self._open(peer_id, dialled=False)
        link.read = True
        self._use(stream.muxed_conn, link)

        async def deliver(body: bytes) -> None:
            if link.scope.cancel_called:
                raise RemoteError("link is being cut")
            await self._tell(Received(peer, body))

        try:
            await link.read_from(stream, deliver, self._make_room)
        except RemoteError as error:
            if not link.scope.cancel_called:
                self._refuse(peer, str(error))
        finally:
            link.scope.cancel()

    async def _dial(self, peer: str, addresses: tuple[str, ...]) -> None:
        try:
            peer_id = ID.from_string(peer)
            if str(peer_id) != peer:
                raise ValueError("not the way an id is written")
            async with self._dials:
                transports = [address.partition("/p2p/")[0] for address in addresses]
                await cures.dial(self._host, peer_id, transports, DIAL_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - addresses are hearsay, and libp2p raises whatever it meets
            self._note_failure(peer, str(error))
            self._dialling.discard(peer)  # before anybody hears of it and dials again
            await self._tell(DialFailed(peer))
        else:
            self._dialling.discard(peer)
            if peer not in self.links:
                self._open(peer_id, dialled=True)

    def _note_failure(self, peer: str, reason: str) -> None:
        now = trio.current_time()
        if now - self._unreachable.get(peer, float("-inf")) >= UNREACHABLE_EVERY:
            if len(self._unreachable) >= MAX_LINKS:
                self._unreachable.clear()
            self._unreachable[peer] = now
            log.info("peer does not answer", peer=peer, reason=reason)

    async def _tell(self, event: Event) -> None:
        with contextlib.suppress(trio.BrokenResourceError):  # nobody drives us any more
            await self._events.send(event)

    def _open(self, peer_id: ID, *, dialled: bool) -> Link:
        link = self.links[str(peer_id)] = Link(self._allowed, dialled=dialled, admitted=not self._closed)
        self._nursery.start_soon(self._keep, peer_id, link)
        return link

    def note_connection(self, connection: INetConn) -> None:
        """There is a new connection, of whomever."""
        muxed = connection.muxed_conn
        if len(self._host.get_network().get_connections(muxed.peer_id)) > limits.PER_PEER:
            cures.abort(muxed)
            return
        self._strangers[muxed] = None
        if len(self._strangers) > limits.STRANGERS:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            cures.abort(oldest)
        self._nursery.start_soon(self._expect_link, muxed)

    def forget_connection(self, connection: INetConn) -> None:
        """A connection has ended."""
        self._strangers.pop(connection.muxed_conn, None)

    async def _expect_link(self, connection: IMuxedConn) -> None:
        await trio.sleep(limits.FIRST_WORD)
        if connection in self._strangers:
            cures.abort(connection)

    def _use(self, connection: IMuxedConn, link: Link) -> None:
        """A stream of `link` is on `connection`."""
        if connection not in link.connections:
            link.connections.add(connection)
            if link.admitted:
                self._trust(connection)

    def _trust(self, connection: IMuxedConn) -> None:
        self._strangers.pop(connection, None)
        cures.meter(connection).widen(self._allowed.link, trio.current_time())

    def _make_room(self) -> None:
        """Keep what all links have received within bounds: the link with the most to keep makes room."""
        while sum(link.unfinished for link in self.links.values()) > self._allowed.pool:
            largest = max(self.links.values(), key=lambda link: link.unfinished)
            largest.unfinished = 0
            largest.scope.cancel()

    async def _keep(self, peer_id: ID, link: Link) -> None:
        """Hold a link until either direction ends, the peer falls silent, or it is cancelled."""
        peer = str(peer_id)
        try:
            with link.scope:
                stream = await cures.open_stream(self._host, peer_id, PROTOCOL, DIAL_TIMEOUT)
                self._use(stream.muxed_conn, link)
                await self._tell(Connected(peer, link.dialled))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(link.write_to, stream)
                    await watch(lambda: cures.silence(self._host, peer_id))
                    log.info("peer fell silent", peer=peer)
                    for connection in link.connections:  # or a write would wait for the dead
                        cures.abort(connection)
                    nursery.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001 - however a link ends, it is over for this peer only
            log.debug("link ended", peer=peer, reason=repr(error))
        finally:
            with trio.CancelScope(shield=True):
                await self._close(peer_id, link)
                self.bytes_sent_before += link.bytes_sent
                self.bytes_received_before += link.bytes_received
                del self.links[peer]
                await self._tell(Disconnected(peer))

    async def _close(self, peer_id: ID, link: Link) -> None:
        """Close the connections that the link used (all, if it found none usable), and wait until they are forgotten.

        A new connection of a peer that is back already stays. A dead one that is still listed would be trusted.
        """

        def dead() -> list[Any]:
            listed: list[Any] = self._host.get_network().get_connections(peer_id)
            return [one for one in listed if not link.connections or one.muxed_conn in link.connections]

        for connection in dead():
            with contextlib.suppress(Exception), trio.move_on_after(2):
                await connection.close()
        with trio.move_on_after(1):
            while dead():
                await trio.sleep(0.02)


@asynccontextmanager
async def open_network(
    key: bytes,
    listen: tuple[str, ...],
    events: trio.MemorySendChannel[Event],
    max_body: int,
    refuse: Refuse,
    *,
    allowed: Limits | None = None,
    announce: tuple[str, ...] = (),
    secret: bytes | None = None,
    redeem: inviting.Redeem | None = None,
) -> AsyncIterator[Network]:
    """A running network.

    Args:
        key: the device's identity, as the 32-byte seed of its Ed25519 key.
        listen: multiaddrs to listen on; port 0 takes a free one.
        events: where what happens goes.
        max_body: the largest frame body that a peer may send, in bytes.
        refuse: called with a peer and a reason when its stream can't be read on.
        allowed: what peers may use up; by default as for a publish every second.
        announce: multiaddrs to tell others beside those that it listens on.
        secret: the key of a closed mesh, 32 bytes: who does not have it sees noise, and who is not admitted by the core
            has no more than a stranger may have.
        redeem: what answers those who were invited.

    Raises:
        LocalError: an address that is not a TCP multiaddr, or that can't be listened on.
    """
    cures.install()
    addresses = [_checked(address) for address in listen]
    announce = tuple(places.checked("network.announce", address) for address in announce)
    pair = ed25519_key_pair(key)
    allowed = allowed or Limits.of(max_body, interval=1.0)
    door = Door(allowed, secret)
    host = new_host(
        key_pair=pair,
        transports=[door],
        # The default offer includes plaintext; Noise wants an X25519 key of its own.
        sec_opt={NOISE: NoiseTransport(pair, noise_privkey=x25519_key_pair().private_key)},
        muxer_opt={TProtocol(YAMUX): Yamux},
        connection_config=ConnectionConfig(
            min_connections=0,
            max_connections=limits.ALL,
            max_connections_per_peer=limits.PER_PEER,
            inbound_upgrade_timeout=limits.HANDSHAKE,
            inbound_stream_protocol_negotiation_timeout=limits.HANDSHAKE,
        ),
        disable_identify_address_discovery=True,
    )
    cures.disarm(host)
    host.get_network().register_notifee(door)
    async with host.run(listen_addrs=addresses), trio.open_nursery() as nursery:
        if len(host.get_transport_addrs()) < len(addresses):
            raise LocalError(f"network.listen = {', '.join(listen)}: can't listen there; is the port taken?")
        network = Network(host, events, nursery, allowed, refuse, announce, closed=secret is not None)
        door.on_connected, door.on_disconnected = network.note_connection, network.forget_connection
        nursery.start_soon(network.follow)
        cures.guard_negotiation(host)
        host.set_stream_handler(TProtocol(PROTOCOL), cures.guard(network.accept))
        if redeem is not None:
            host.set_stream_handler(TProtocol(inviting.PROTOCOL), cures.guard(inviting.answering(redeem)))
        try:
            yield network
        finally:
            for link in network.links.values():  # a write to a frozen peer would hold us up
                for connection in link.connections:
                    cures.abort(connection)
            nursery.cancel_scope.cancel()


def _checked(address: str) -> Multiaddr:
    try:
        parsed = Multiaddr(address)
        parsed.value_for_protocol("tcp")
    except Exception as error:  # multiaddr raises several unrelated kinds
        raise LocalError(
            f"network.listen = {address!r}: not a TCP multiaddr; write for example /ip4/0.0.0.0/tcp/9444"
        ) from error
    return parsed
