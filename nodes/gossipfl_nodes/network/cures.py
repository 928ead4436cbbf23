"""Cures for py-libp2p 0.8.1: everything that we do differently from the stock library, and why; nothing elsewhere.

    trap                                                        cure here
    1 an exception in a stream handler ends the whole host      guard
    2 a cancelled write leaves half a frame on the connection   PatientStream.write: a frame once begun is finished
    3 a reader idle for 5 s kills its sender's stream           PatientStream.write: waits STALL_TIMEOUT for the window
    4 only the first address of a peer is dialled               dial: one after the other, a little apart
    5 a failed dial blocks the peer for 60 s                    dial: lifts the block
    6 a frozen peer goes unnoticed                              silence: how long no byte has come, for the link's rule
    7 the 257th open stream waits for ever without a word       open_stream: refuses at once
    8 three bytes in a stream's negotiation end the whole host  guard_negotiation
    9 a sender that ignores its window fills the memory         PatientStream.recv_window: ends the connection
   10 each inbound connection keeps its slot of 300 for ever   door.Door.welcome: until it is closed
   11 a Noise message in over 100 pieces kills its connection  _noise_message: waits for as many as there are
   12 a length in a negotiation is believed, up to 2**64       _read_delim: refuses more than MAX_NAME
   13 a peer opens, and fills, as many streams as it likes     PatientStream: ends the connection
   14 frames of twelve bytes cost more than they weigh         _read_header: counts them for more
   15 the host dials, prunes and asks of its own accord        disarm: what has links is the core's to say

Three more cost speed: Yamux frames longer than a Noise message are cut in two, each Noise message is written on its
own and read in small pieces that are put together three times, and a dial always waits 250 ms. All of it touches
private names, so `install` insists on the exact version that it was tried with.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from typing import Any, cast

import structlog
import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import ParseError
from libp2p.identity.identify.identify import ID as ID_IDENTIFY
from libp2p.identity.identify_push.identify_push import ID_PUSH
from libp2p.io.exceptions import ConnectionClosedError, IncompleteReadError, MessageTooLarge
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.protocol_muxer import multiselect_communicator
from libp2p.security.noise.io import NoiseTransportReadWriter
from libp2p.security.secure_session import SecureSession
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux import yamux
from libp2p.utils.varint import read_varint_prefixed_bytes_limited
from multiaddr import Multiaddr

from gossipfl.errors import LocalError
from gossipfl_nodes.network import limits
from gossipfl_nodes.network.discovery.addresses import resolved
from gossipfl_nodes.network.door import Tap, socket_stream
from gossipfl_nodes.network.limits import Bucket
from gossipfl_nodes.network.pieces import Pieces

log = structlog.get_logger("network")

PIN = "0.8.1"
NOISE_PLAINTEXT = 65519
"""Longest plaintext of one Noise message (65,535 less the tag); a longer Yamux frame becomes two."""
FRAME = NOISE_PLAINTEXT - yamux.HEADER_SIZE
BATCH = 4
"""Frames in one write to the socket: fewer turns of the event loop, at both ends. More gained nothing."""
STALL_TIMEOUT = 300.0
"""Seconds that a reader may take to open its window: as long as a training step on a slow device may hold it up."""
FRAME_TIMEOUT = 60.0
"""Seconds for one 64 KiB frame to enter TCP's buffer: below 9 kbit/s a link is dead."""
MAX_NAME = 1024
"""Bytes of a protocol's name, in a negotiation: go-libp2p's longest are below 100."""
TCP_INFO_SIZE, LAST_DATA_RECV = 104, 52
"""Of Linux's struct tcp_info, and where in it stands how many milliseconds ago data came."""
ADDRESS_TTL = 3600
HEAD_START = 0.5
"""Seconds that an address has before the next is tried as well: two round trips of a slow link."""


def install() -> None:
    """Put the cures in force. Call before the first host is made; more calls do no harm.

    Raises:
        LocalError: another version of libp2p is installed.
    """
    found = version("libp2p")
    if found != PIN:
        raise LocalError(f"libp2p {found} is installed, but gossipfl mends {PIN}; pip install libp2p=={PIN}")
    yamux.MAX_MESSAGE_SIZE = NOISE_PLAINTEXT
    # A ping's answer waits behind what is being written, and nothing is read meanwhile. One sizes the window.
    yamux.RTT_MEASURE_INTERVAL = 10**9
    # muxer_opt ignores subclasses of Yamux, and Yamux makes its streams by this global name.
    yamux.YamuxStream = PatientStream  # type: ignore[misc]
    SecureSession.read = _read_plaintext  # type: ignore[method-assign]
    yamux.Yamux._read_data_body = _read_body  # type: ignore[method-assign]
    yamux.bytearray = Pieces  # type: ignore[attr-defined]
    yamux.read_exactly = _read_header  # type: ignore[attr-defined, assignment]
    yamux.MAX_WINDOW_SIZE = limits.WINDOW
    multiselect_communicator.read_delim = _read_delim  # type: ignore[attr-defined]


class CutError(trio.TooSlowError):
    """Raised where Yamux takes in a frame, it ends the connection with all its streams: only this kind does."""


class PatientStream(yamux.YamuxStream):
    """A Yamux stream that waits for a slow reader, and whose writes can be cancelled."""

    def __init__(self, stream_id: int, conn: yamux.Yamux, is_initiator: bool) -> None:  # noqa: FBT001
        if not is_initiator and sum(not one.is_initiator for one in conn.streams.values()) >= limits.STREAMS:
            raise CutError(f"more than {limits.STREAMS} streams")
        self._window_opened = trio.lowlevel.ParkingLot()
        self._send_window = 0
        self._recv_window = 0
        self._not_credited = 0
        """Bytes that were read, and that the peer has not yet been told that it may send again."""
        super().__init__(stream_id, conn, is_initiator)

    @property
    def send_window(self) -> int:
        """Bytes that the reader is ready for."""
        return self._send_window

    @send_window.setter
    def send_window(self, value: int) -> None:
        self._send_window = value
        if value > 0:
            self._window_opened.unpark_all()

    @property
    def recv_window(self) -> int:
        """Bytes that the peer may still send."""
        return self._recv_window

    @recv_window.setter
    def recv_window(self, value: int) -> None:
        self._recv_window = value
        if value < 0:
            raise CutError("more bytes than the window has")
        if sum(map(len, self.conn.stream_buffers.values())) > limits.UNREAD:
            raise CutError(f"more than {limits.UNREAD} bytes that nobody has read")

    async def read(self, n: int | None = -1) -> bytes:
        """Up to `n` bytes, or what there is; raises as the stock one where there can be none."""
        conn, number = self.conn, self.stream_id
        while not (buffer := conn.stream_buffers.get(number)):
            if buffer is None or self.recv_closed or self.closed or conn.event_shutting_down.is_set():
                return await super().read(n)
            event = conn.stream_events[number]
            await event.wait()
            if number in conn.stream_events:
                conn.stream_events[number] = trio.Event()
        data = cast("Pieces", buffer).some(n if n is not None and n >= 0 else len(buffer))
        if self.closed and not buffer:
            await conn._finalize_stream(self, fully_closed=True)
        self._not_credited += len(data)
        if self._not_credited >= self._grow_threshold():
            credit, self._not_credited = self._not_credited, 0
            await self._auto_tune_and_send_window_update(bytes_read=credit)
        return data

    async def write(self, data: bytes) -> None:
        """Write all of `data`; a frame that has been begun is finished even if this task is cancelled."""
        view, sent = memoryview(data), 0
        while sent < len(view):
            await self._wait_for_window()
            await self.conn._write_lock.acquire()  # nothing is on the wire yet, so cancelling here is harmless
            try:
                size = min(self.send_window, BATCH * FRAME, len(view) - sent)
                if size <= 0:
                    continue
                self.send_window -= size
                with trio.CancelScope(deadline=trio.current_time() + BATCH * FRAME_TIMEOUT, shield=True) as scope:
                    await self._write_frames(view[sent : sent + size])
            finally:
                self.conn._write_lock.release()
            if scope.cancelled_caught:
                with trio.CancelScope(shield=True):
                    await self.conn._cleanup_on_error()
                raise MuxedStreamError("the connection took no byte for minutes")
            sent += size

    async def _write_frames(self, data: memoryview) -> None:
        """`data` as Yamux frames of one Noise message each, in a single write to the socket."""
        noise = cast("SecureSession", self.conn.secured_conn).conn
        assert isinstance(noise, NoiseTransportReadWriter)  # nothing else is offered
        wire = []
        for start in range(0, len(data), FRAME):
            chunk = data[start : start + FRAME]
            header = struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_DATA, 0, self.stream_id, len(chunk))
            message = noise.encrypt(header + chunk)
            wire += [len(message).to_bytes(2, "big"), message]
        await noise.read_writer.read_write_closer.write(b"".join(wire))

    async def _wait_for_window(self) -> None:
        deadline = trio.current_time() + STALL_TIMEOUT
        while True:
            if self.send_closed or self.closed or self.conn.event_shutting_down.is_set():
                raise MuxedStreamError("stream is closed")
            if self.send_window > 0:
                return
            if trio.current_time() > deadline:
                raise MuxedStreamError("the reader did not open its window")
            with trio.move_on_after(1):  # nobody unparks us when the stream closes
                await self._window_opened.park()


def abort(conn: Any) -> None:
    """End a Yamux connection at once: its socket is closed, so nothing waits for it any more."""
    conn.event_shutting_down.set()
    stream = socket_stream(conn)
    if stream is not None:
        stream.socket.close()


def meter(conn: Any) -> Bucket:
    """Of the bytes that come on a Yamux connection."""
    tap: Tap = conn.secured_conn.conn.read_writer.read_write_closer.stream
    return tap.meter


def near_end(conn: Any) -> str:
    """The address of ours that a Yamux connection is bound to; empty if its socket is closed."""
    stream = socket_stream(conn)
    with contextlib.suppress(OSError):
        return str(stream.socket.getsockname()[0]).partition("%")[0] if stream is not None else ""
    return ""


_stock_read_exactly = yamux.read_exactly  # type: ignore[attr-defined]


def _ahead(of: Any) -> Pieces:
    """What was read out of a Noise message before anybody asked for it."""
    ahead: Pieces | None = getattr(of, "_gossipfl_ahead", None)
    if ahead is None:
        ahead = of._gossipfl_ahead = Pieces()
    return ahead


async def _noise_message(noise: NoiseTransportReadWriter) -> bytes:
    """The plaintext of the next Noise message; empty where the connection has ended."""
    tap: Tap = cast("Any", noise.read_writer.read_write_closer).stream
    ahead, length, head = tap.ahead, 0, 2
    while True:
        if not length and len(ahead) >= head:
            length = int.from_bytes(ahead.take(head), "big")
        elif length and len(ahead) >= length:
            return noise.decrypt(ahead.take(length))
        elif not (data := await tap.fetch()):
            return b""
        else:
            ahead.extend(data)


async def _read_plaintext(self: SecureSession, n: int | None = None) -> bytes:
    """`n` bytes, or less where the connection ends; or, without `n`, what comes next."""
    noise = self.conn
    assert isinstance(noise, NoiseTransportReadWriter)  # nothing else is offered
    if n == 0:
        return b""
    ahead = _ahead(self)
    while len(ahead) < (1 if n is None else n):
        if not (message := await _noise_message(noise)):
            if not len(ahead):
                raise ConnectionClosedError("Connection closed")
            break
        ahead.extend(message)
    return ahead.take(len(ahead) if n is None else n)


async def _read_body(self: Any, length: int) -> bytes:
    """The body of a Yamux frame of `length` bytes."""
    if len(ahead := _ahead(self.secured_conn)) >= length:
        return ahead.take(length)
    with trio.fail_after(yamux._yamux_data_read_timeout()):
        body: bytes = await self.secured_conn.read(length)
    if len(body) < length:
        raise IncompleteReadError("frame ends early", expected_bytes=length, received_bytes=len(body))
    return body


async def _read_header(reader: Any, n: int) -> bytes:
    """The header of the next Yamux frame, when its sender may have one more."""
    tap: Tap = reader.conn.read_writer.read_write_closer.stream
    await tap.settle()
    header = await _stock_read_exactly(reader, n)
    tap.meter.take(limits.WEIGHT, trio.current_time())
    return header


async def _read_delim(reader: Any) -> bytes:
    """The next message of a negotiation, without the line feed that ends it."""
    try:
        message = await read_varint_prefixed_bytes_limited(reader, MAX_NAME)
    except MessageTooLarge as error:
        raise ParseError(str(error)) from error
    if not message.endswith(b"\n"):
        raise ParseError("a message without an end")
    return message[:-1]


def silence(host: IHost, peer: ID) -> float:
    """Seconds since the last byte came from `peer`, on any connection, by the kernel; infinite if there is none.

    The kernel knows of bytes below Yamux and Noise, whose 64 KiB units take minutes on a slow link, and of bytes that
    wait to be read: Yamux doesn't read on while a ping's answer waits behind the data that is being written.
    """
    least = float("inf")
    for connection in host.get_network().get_connections(peer):
        stream = socket_stream(cast("Any", connection).muxed_conn)
        if stream is not None:
            with contextlib.suppress(OSError):  # closed meanwhile
                info = stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE)
                least = min(least, struct.unpack_from("=I", info, LAST_DATA_RECV)[0] / 1000)
    return least


def guard(handler: Callable[[INetStream], Awaitable[None]]) -> Callable[[INetStream], Awaitable[None]]:
    """`handler` with its exceptions contained: they cost the stream, not the host."""

    async def guarded(stream: INetStream) -> None:
        try:
            await handler(stream)
        except Exception as error:  # noqa: BLE001
            log.debug("stream failed", reason=repr(error))
            with contextlib.suppress(Exception), trio.move_on_after(2):
                await stream.reset()
        else:
            with contextlib.suppress(Exception), trio.move_on_after(2):
                await stream.close()

    return guarded


def disarm(host: IHost) -> None:
    """Before the host runs: it does nothing that nobody asked it for, and keeps no books of its own.

    Stock, it dials whomever it has an address of until there are 150 connections, closes all but the newest beyond 300,
    asks everybody who connects to identify itself, believes what they push, and remembers it for ever. It also tells
    whoever asks where it listens and what it speaks.
    """
    network = cast("Any", host.get_network())
    network.set_resource_manager(None)
    network.retry_config.max_retries = 0  # the core dials again, when it wants to
    network.notifees.clear()
    host.remove_stream_handler(ID_PUSH)
    host.remove_stream_handler(ID_IDENTIFY)

    async def idle() -> None:
        pass

    network.auto_connector.start = network.connection_pruner.start = idle


def guard_negotiation(host: IHost) -> None:
    """Contain what goes wrong before a stream has a protocol, in libp2p's own part of it."""
    network = cast("Swarm", host.get_network())
    network.set_stream_handler(guard(network.common_stream_handler))


async def dial(host: IHost, peer: ID | None, addresses: Sequence[str | Multiaddr], timeout: float) -> ID:
    """Connect to `peer` at the first of `addresses` that answers, or without `peer` to whoever that is; return its id.

    Each address is given `timeout` seconds, and HEAD_START until the next is tried beside it (RFC 8305, 2017). Names
    are looked up anew.

    Raises:
        ConnectionError: none answers.
    """
    network = cast("Swarm", host.get_network())
    if peer is not None and network.get_connections(peer):
        return peer
    reasons: list[str] = []
    met: list[tuple[ID, Multiaddr]] = []

    async def attempt(address: str | Multiaddr, failed: trio.Event) -> None:
        try:
            with trio.fail_after(timeout):
                met.append(await _connect(network, peer, str(address)))
        except Exception as error:  # noqa: BLE001
            reasons.append(f"{address}: {error or type(error).__name__}")
            failed.set()
        else:
            nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            for address in addresses:
                nursery.start_soon(attempt, address, failed := trio.Event())
                with trio.move_on_after(HEAD_START):
                    await failed.wait()
    finally:
        if peer is not None:
            network.unblock_peer(peer)
    if not met:
        raise ConnectionError("; ".join(reasons) or "no address is known")
    found, where = met[0]
    host.get_peerstore().add_addrs(found, [where], ADDRESS_TTL)
    return found


async def _connect(network: Swarm, peer: ID | None, address: str) -> tuple[ID, Multiaddr]:
    errors: list[Exception] = []
    for place in await resolved(address):
        try:
            if peer is None:
                return await _connect_to_anybody(network, Multiaddr(place)), Multiaddr(place)
            connection = await network.dial_addr(Multiaddr(place), peer)
            await connection.event_started.wait()
            return peer, Multiaddr(place)
        except Exception as error:  # noqa: BLE001
            errors.append(error)
    raise errors[0]


async def _connect_to_anybody(network: Swarm, address: Multiaddr) -> ID:
    transport = network.transport_manager.transport_for_dialing(address)
    if transport is None:
        raise ConnectionError("no TCP address")
    raw = await transport.dial(address)
    try:
        # The swarm insists on an id, Noise doesn't: its handshake proves whichever id the other end tells.
        secured = await network.upgrader.security_multistream.secure_outbound(raw, cast("ID", None))
        if (found := secured.get_remote_peer()) == network.get_peer_id():
            raise ConnectionError("that is this device itself")
        await network.add_conn(await network.upgrader.upgrade_connection(secured, found), direction="outbound")
    except BaseException:
        with trio.CancelScope(shield=True):
            await raw.close()
        raise
    return found


async def open_stream(host: IHost, peer: ID, protocol: str, timeout: float) -> INetStream:
    """A new stream to a connected `peer`.

    Raises:
        ConnectionError: no connection, no stream left on it, or no answer within `timeout` seconds.
    """
    connections = host.get_network().get_connections(peer)
    if not connections:
        raise ConnectionError("not connected")
    if all(cast("Any", connection).muxed_conn.stream_backlog_semaphore.value == 0 for connection in connections):
        raise ConnectionError("256 streams are open to this peer; close some first")
    try:
        with trio.fail_after(timeout):
            return await host.new_stream(peer, [TProtocol(protocol)])
    except Exception as error:
        raise ConnectionError(f"no stream: {error or type(error).__name__}") from error
