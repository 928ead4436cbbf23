"""The door: where connections come in, and what each may make this device read.

A libp2p transport for TCP. It accepts no faster than it can refuse, lets a few handshakes at a time begin and gives
none long, and holds up the reading of whoever sends more than its share. `limits` says how many, how long, how much.
Knows places and sockets; who a peer is, Noise finds out behind it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any, cast

import trio
from libp2p.abc import IListener, INetConn, INetStream, INetwork, INotifee, IRawConnection
from libp2p.custom_types import THandler
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.transport.tcp.tcp import TCP
from libp2p.utils.multiaddr_utils import extract_ip_from_multiaddr, multiaddr_from_socket
from multiaddr import Multiaddr

from gossipfl_nodes.network import limits
from gossipfl_nodes.network.limits import Bucket, Limits, place_of
from gossipfl_nodes.network.pieces import Pieces
from gossipfl_nodes.network.pnet import Cipher

READ_AHEAD = 1 << 18
"""Bytes read from a socket at once. Noise asks for 2 bytes, then for the rest: a turn of the event loop each."""
BUFFER = memoryview(bytearray(READ_AHEAD))
"""What all sockets are read into. One for each read, cut to what came, leaves holes between the little that stays: the
daemon's heap grew by 6 MiB an hour."""

ESTABLISHED = 1
"""Of Linux's TCP states; it is the first byte of struct tcp_info."""


class Tap(TrioTCPStream):
    """A socket that is read in large pieces, and no faster than its meter allows."""

    def __init__(self, stream: trio.SocketStream, meter: Bucket, cipher: Cipher | None) -> None:
        super().__init__(stream)
        self.meter = meter
        """Of bytes."""
        self._cipher = cipher
        self._turn = trio.Lock()
        """Bytes leave in the order in which they are enciphered."""
        self.ahead = Pieces()
        """What was read before anybody asked for it."""

    async def settle(self) -> None:
        """Wait until more may be read."""
        while (pause := self.meter.wait(1, trio.current_time())) > 0:
            await trio.sleep(pause)

    async def fetch(self) -> bytes:
        """The next bytes from the kernel, beyond those in `ahead`; empty where the connection has ended."""
        while True:
            await self.settle()
            async with self.read_lock:
                came = await self._receive(max(1, int(self.meter.room(trio.current_time()))))
                data = bytes(came) if self._cipher is None else self._cipher.decrypt(came)
            self.meter.take(len(came), trio.current_time())
            if data or not came:
                return data

    async def _receive(self, most: int) -> memoryview:
        """Up to `most` bytes, which stay only until this task waits for something; none where there come no more."""
        sock = self.stream.socket
        while True:
            try:
                return BUFFER[: os.readv(sock.fileno(), [BUFFER[:most]])]
            except BlockingIOError:
                with contextlib.suppress(trio.ClosedResourceError):
                    await trio.lowlevel.wait_readable(sock)  # type: ignore[arg-type]  # stubs of an older trio
            except OSError as error:
                if sock.fileno() < 0:  # closed at this end
                    return BUFFER[:0]
                raise ConnectionClosedError(f"reset by the other end: {error}", transport="tcp") from error

    async def write(self, data: bytes) -> None:
        """Send `data`."""
        if self._cipher is None:
            await super().write(data)
            return
        async with self._turn:
            await super().write(self._cipher.encrypt(data))

    async def read(self, n: int | None = None) -> bytes:
        """Up to `n` bytes: from what is left of the last large read, or of the next one."""
        if n != 0 and not len(self.ahead):
            self.ahead.extend(await self.fetch())
        return self.ahead.take(len(self.ahead) if n is None else n)


class _Place:
    """What comes from one place."""

    def __init__(self, now: float) -> None:
        self.handshakes = Bucket(limits.HANDSHAKES, now)
        self.turn = trio.Lock()
        self.connections = 0
        self.pending: dict[trio.SocketStream, trio.Event] = {}
        """The oldest first, with an event each for when it is settled: it is through with its handshake, or over."""


class Door(TCP, INotifee):
    """The transport of one host.

    Args:
        allowed: what a connection may send.
        secret: the key of a private network, 32 bytes, if it is one.
    """

    def __init__(self, allowed: Limits, secret: bytes | None = None) -> None:
        super().__init__()
        self._allowed, self._secret = allowed, secret
        self.on_connected: Callable[[INetConn], None] | None = None
        self.on_disconnected: Callable[[INetConn], None] | None = None
        """To be called with each connection that is through its handshake, and with each that has ended."""
        self._accepts = Bucket(limits.ACCEPTS, trio.current_time())
        self._handshakes = Bucket(limits.ALL_HANDSHAKES, trio.current_time())
        self._turn = trio.Lock()
        """Held by one place at a time, so each gets as many handshakes as any other."""
        self._places: dict[str, _Place] = {}
        self._visitors: dict[trio.SocketStream, _Place] = {}
        """Where each that was let in, and is not closed yet, comes from."""

    # --- what libp2p asks of a transport

    async def _dial_resolved(self, maddr: Multiaddr, source: tuple[str, int] | None = None) -> IRawConnection:
        """As TCP's; whom we dial is not trusted with more than who dials us."""
        raw = cast("RawConnection", await super()._dial_resolved(maddr, source))
        return RawConnection(self._tap(cast("TrioTCPStream", raw.stream).stream), initiator=True)

    def create_listener(self, handler_function: THandler) -> Any:
        """A listener whose connections come in through this door."""
        return _Listener(self, handler_function)

    def _tap(self, stream: trio.SocketStream) -> Tap:
        cipher = Cipher(self._secret) if self._secret is not None else None
        return Tap(stream, Bucket(self._allowed.stranger, trio.current_time()), cipher)

    # --- coming in

    async def pace(self) -> None:
        """Wait until one more connection may be looked at."""
        await _pay(self._accepts)

    def lets_in(self, stream: trio.SocketStream) -> bool:
        """Is there room for `stream`? It is taken then; if somebody must make room, it is gone.

        Raises:
            OSError: it has no other end any more.
        """
        name = place_of(stream.socket.getpeername()[0])
        place = self._places.get(name) or _Place(trio.current_time())
        if place.connections >= limits.PER_PLACE or len(place.pending) >= limits.PENDING:
            return False
        if sum(len(each.pending) for each in self._places.values()) >= limits.ALL_PENDING:
            crowded = max(self._places.values(), key=lambda each: len(each.pending))
            if len(crowded.pending) <= len(place.pending) + 1:
                return False
            evicted = next(iter(crowded.pending))
            drop(evicted)
            self._settle(evicted)
        self._places[name] = self._visitors[stream] = place
        place.connections += 1
        place.pending[stream] = trio.Event()
        return True

    async def welcome(self, stream: trio.SocketStream, handler: THandler) -> None:
        """Have `handler` talk with `stream`, which was let in, when it is its turn; return when it is closed."""
        place = self._visitors[stream]
        settled = place.pending[stream]
        try:
            async with trio.open_nursery() as nursery:
                if await self._queue(place, stream):
                    nursery.start_soon(self._handle, handler, stream)
                    with trio.move_on_after(limits.HANDSHAKE):
                        await settled.wait()
                if not settled.is_set():
                    drop(stream)
                while stream.socket.fileno() != -1:  # libp2p's handler returns when the host ends
                    await trio.sleep(1)
                nursery.cancel_scope.cancel()
        finally:
            stream.socket.close()
            place.pending.pop(stream, None)
            place.connections -= 1
            del self._visitors[stream]
            self._forget_idle_places()

    async def _queue(self, place: _Place, stream: trio.SocketStream) -> bool:
        """Wait until it is the turn of `stream`. Returns whether it is still there."""
        async with place.turn:
            await _pay(place.handshakes)
            async with self._turn:
                if not _is_open(stream):
                    return False
                await _pay(self._handshakes)
        return _is_open(stream)

    async def _handle(self, handler: THandler, stream: trio.SocketStream) -> None:
        try:
            await handler(self._tap(stream))
        except Exception:  # noqa: BLE001 - it is over for this connection only
            drop(stream)
        finally:
            self._settle(stream)

    def _settle(self, stream: trio.SocketStream) -> None:
        if (settled := self._visitors[stream].pending.pop(stream, None)) is not None:
            settled.set()

    def _forget_idle_places(self) -> None:
        now = trio.current_time()
        for name in [name for name, place in self._places.items() if not place.connections]:
            if self._places[name].handshakes.full(now) or len(self._places) > limits.ALL:
                del self._places[name]

    # --- what libp2p tells of connections

    async def connected(self, network: INetwork, conn: INetConn) -> None:  # noqa: ARG002
        """A connection has been through its handshake."""
        stream = socket_stream(conn.muxed_conn)
        if stream is not None and stream in self._visitors:
            self._settle(stream)
        if self.on_connected is not None:
            self.on_connected(conn)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:  # noqa: ARG002
        """A connection has ended."""
        if self.on_disconnected is not None:
            self.on_disconnected(conn)

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        """Nothing."""

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        """Nothing."""

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Nothing."""

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Nothing."""


class _Listener(IListener):
    """Listening sockets, by libp2p's interface."""

    background_nursery: trio.Nursery
    """Set by the swarm before it calls `listen`."""

    def __init__(self, door: Door, handler: THandler) -> None:
        self._door, self._handler = door, handler
        self._scope = trio.CancelScope()
        self._sockets: list[trio.SocketListener] = []

    async def listen(self, maddr: Multiaddr) -> None:
        """Listen on `maddr`, with whatever nobody else listens on; raises OSError."""
        host, port = extract_ip_from_multiaddr(maddr), int(maddr.value_for_protocol("tcp"))
        self._sockets += await trio.open_tcp_listeners(port, host=host, backlog=128)
        self.background_nursery.start_soon(self._serve, list(self._sockets))

    async def _serve(self, sockets: list[trio.SocketListener]) -> None:
        with self._scope:
            await trio.serve_listeners(self._welcome, [_Accepting(self._door, one) for one in sockets])

    async def _welcome(self, stream: trio.SocketStream) -> None:
        await self._door.welcome(stream, self._handler)

    def get_addrs(self) -> tuple[Multiaddr, ...]:
        """Where it listens."""
        return tuple(multiaddr_from_socket(one.socket) for one in self._sockets)

    async def close(self) -> None:
        """Stop, and close what came in."""
        self._scope.cancel()
        for one in self._sockets:
            await one.aclose()
        self._sockets.clear()


class _Accepting(trio.abc.Listener[trio.SocketStream]):
    """A listening socket that keeps the pace, and drops whom the door does not let in."""

    def __init__(self, door: Door, listener: trio.SocketListener) -> None:
        self._door, self._listener = door, listener

    async def accept(self) -> trio.SocketStream:
        while True:
            await self._door.pace()
            stream = await self._listener.accept()
            with contextlib.suppress(OSError):  # gone already
                if self._door.lets_in(stream):
                    return stream
            drop(stream)

    async def aclose(self) -> None:
        await self._listener.aclose()


async def _pay(bucket: Bucket) -> None:
    """Wait for one token, and take it."""
    while (pause := bucket.wait(1, trio.current_time())) > 0:
        await trio.sleep(pause)
    bucket.take(1, trio.current_time())


def _is_open(stream: trio.SocketStream) -> bool:
    """Have neither we nor the other end closed it?"""
    with contextlib.suppress(OSError):
        return stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED
    return False


def drop(stream: trio.SocketStream) -> None:
    """Close a socket at once, and let nothing of it linger."""
    with contextlib.suppress(OSError):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    stream.socket.close()


def socket_stream(conn: Any) -> trio.SocketStream | None:
    """The socket under a Yamux connection."""
    layer = conn
    for name in ("secured_conn", "conn", "read_writer", "read_write_closer", "stream", "stream"):
        layer = getattr(layer, name, None)
    return layer if isinstance(layer, trio.SocketStream) else None
