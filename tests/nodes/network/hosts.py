"""Networks and hosts for the tests of the network room: as the daemon makes them, on loopback, with an echo."""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from msgspec.structs import replace
from multiaddr import Multiaddr

from gossipfl.protocol.events import Event
from gossipfl_nodes.network import cures
from gossipfl_nodes.network.limits import Limits, Rate
from gossipfl_nodes.network.network import PROTOCOL, Network, open_network

LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)
MAX_BODY = 1 << 24
ECHO = "/test/echo"
PATIENT = 20.0
"""Seconds until something that should take a fraction of one is given up."""


def unlimited(max_body: int) -> Limits:
    """What tests of other things than limits allow."""
    anything = Rate(1e15, 1e15)
    return replace(Limits.of(max_body, 1.0), stranger=anything, link=anything, frames=anything)


class Party:
    """One network, what happened to it, and where it is."""

    def __init__(
        self, network: Network, events: trio.MemoryReceiveChannel[Event], refused: list[tuple[str, str]]
    ) -> None:
        self.network = network
        self.id = network.id
        self.addresses = network.addresses
        self.events = events
        self.refused = refused
        """Peer and reason of every stream that could not be read on."""

    @property
    def host(self) -> IHost:
        """The libp2p host underneath."""
        return self.network._host

    @property
    def peer_id(self) -> ID:
        """Its id, as libp2p wants it."""
        return self.host.get_id()

    @property
    def multiaddrs(self) -> list[Multiaddr]:
        """Its addresses, as libp2p wants them."""
        return [Multiaddr(address) for address in self.addresses]

    async def next(self, kind: type[Event], peer: str, seconds: float = PATIENT) -> Event:
        """The next event of this kind about `peer`; others are passed over."""
        with trio.fail_after(seconds):
            async for event in self.events:
                if isinstance(event, kind) and getattr(event, "peer", None) == peer:
                    return event
        raise AssertionError("the network has ended")


@asynccontextmanager
async def party(
    key: bytes | None = None,
    listen: tuple[str, ...] = LOOPBACK,
    max_body: int = MAX_BODY,
    allowed: Limits | None = None,
    announce: tuple[str, ...] = (),
    secret: bytes | None = None,
) -> AsyncIterator[Party]:
    """A network as the daemon opens it, which also echoes on /test/echo. By default, peers may send what they like."""
    outbox, inbox = trio.open_memory_channel[Event](math.inf)
    refused: list[tuple[str, str]] = []

    def refuse(peer: str, reason: str) -> None:
        refused.append((peer, reason))

    key, allowed = key or os.urandom(32), allowed or unlimited(max_body)
    opened = open_network(key, listen, outbox, max_body, refuse, allowed=allowed, announce=announce, secret=secret)
    async with inbox, opened as network:
        network._host.set_stream_handler(TProtocol(ECHO), cures.guard(echo))
        yield Party(network, inbox, refused)


async def echo(stream: INetStream) -> None:
    """Say again what was said, until the other end is done."""
    with contextlib.suppress(Exception):
        while data := await stream.read(1 << 16):
            await stream.write(data)


def say_nothing(hostile: Party) -> None:
    """From now on, `hostile` has no links of its own: it takes in what peers send, and says only what a test says."""

    async def take_in(stream: INetStream) -> None:
        while await stream.read(1 << 16):
            pass

    hostile.host.set_stream_handler(TProtocol(PROTOCOL), cures.guard(take_in))


async def answers(caller: Party, callee: Party, seconds: float = PATIENT) -> bool:
    """Does a fresh stream to `callee` echo?"""
    with trio.move_on_after(seconds):
        stream = await cures.open_stream(caller.host, callee.peer_id, ECHO, seconds)
        await stream.write(b"anybody there?")
        heard = await read_exactly(stream, 14)
        await stream.close()
        return heard == b"anybody there?"
    return False


async def read_exactly(stream: INetStream, size: int) -> bytes:
    """`size` bytes of the stream."""
    data = b""
    while len(data) < size:
        data += await stream.read(size - len(data))
    return data


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


class Proxy:
    """A TCP relay on loopback to `target`, as slow as it is told, and stopped while `stalled`.

    Its own buffers are small, so that who sends feels the back-pressure.
    """

    def __init__(self, target: int, rate: float = math.inf, piece: int = 2048) -> None:
        self._target = target
        self._rate = rate
        self._piece = piece
        """Bytes passed on at a time."""
        self._open = trio.Event()
        self._open.set()
        self.port = 0
        self.carried = 0

    @property
    def address(self) -> Multiaddr:
        """Where it listens."""
        return Multiaddr(f"/ip4/127.0.0.1/tcp/{self.port}")

    def stall(self) -> None:
        """Pass nothing on until `resume`."""
        self._open = trio.Event()

    def resume(self) -> None:
        """Pass on again."""
        self._open.set()

    async def run(self, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Relay until cancelled."""
        listener = trio.socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        self.port = listener.getsockname()[1]
        await trio.serve_listeners(self._relay, [trio.SocketListener(listener)], task_status=task_status)

    async def _relay(self, near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream("127.0.0.1", self._target)
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, near, far, nursery.cancel_scope)
            nursery.start_soon(self._pump, far, near, nursery.cancel_scope)

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await source.receive_some(self._piece):
                await self._open.wait()
                await trio.sleep(len(data) / self._rate)
                await sink.send_all(data)
                self.carried += len(data)
        scope.cancel()
