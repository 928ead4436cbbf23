"""A program for tests and benchmarks: strangers that flood a daemon, each from a place of its own.

Its argument is a JSON object: kind (a name in KINDS), peer and port of the victim, and places (addresses of loopback,
one for each stranger). It says "ready"; then it floods once for each line that it reads, for so many seconds, and says
how often each thing was done.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.stream_muxer.yamux import yamux
from multiaddr import Multiaddr

from gossipfl.wire import messages as msg
from gossipfl.wire.frames import KEEP_ALIVE
from gossipfl_nodes.network.network import PROTOCOL
from gossipfl_nodes.observing.logs import Logs
from tests.gossipfl.builders import frame
from tests.nodes.network.hosts import Party, party, say_nothing

MULTISTREAM = b"\x13/multistream/1.0.0\n"
NOISE = b"\x07/noise\n"
done: Counter[str] = Counter()

Attack = Callable[[dict[str, Any], str], Awaitable[None]]


async def connect(given: dict[str, Any], place: str) -> trio.SocketStream:
    """A TCP connection to the victim from `place`."""
    stream = trio.socket.socket()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    await stream.bind((place, 0))
    with trio.fail_after(10):
        await stream.connect(("127.0.0.1", given["port"]))
    done["connected"] += 1
    return trio.SocketStream(stream)


async def until_it_ends(stream: trio.SocketStream) -> None:
    while await stream.receive_some(1 << 16):
        pass


async def garbage(given: dict[str, Any], place: str) -> None:
    """Random bytes, as fast as they go."""
    async with await connect(given, place) as stream:
        while True:
            await stream.send_all(os.urandom(1 << 14))


async def half_open(given: dict[str, Any], place: str) -> None:
    """Ten connections at a time that say nothing, or begin a handshake and don't go on."""
    async with trio.open_nursery() as nursery:
        for opening in (
            b"",
            b"",
            b"",
            MULTISTREAM,
            MULTISTREAM + NOISE,
            b"",
            b"",
            b"",
            MULTISTREAM,
            MULTISTREAM + NOISE,
        ):

            async def hold(opening: bytes = opening) -> None:
                async with await connect(given, place) as stream:
                    await stream.send_all(opening)
                    await until_it_ends(stream)

            nursery.start_soon(again, hold)


async def lengths(given: dict[str, Any], place: str) -> None:
    """Lengths of messages that never come: of a negotiation's, and of Noise's."""
    for opening in (
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        MULTISTREAM + b"\x80\x80\x80\x80\x10",
        MULTISTREAM + NOISE + b"\xff\xff" + bytes(65_000),
    ):
        async with await connect(given, place) as stream:
            await stream.send_all(opening)
            with trio.move_on_after(3):
                await until_it_ends(stream)


async def slow(given: dict[str, Any], place: str) -> None:
    """A handshake of one byte every quarter of a second."""
    async with await connect(given, place) as stream:
        for byte in MULTISTREAM + NOISE + bytes(1000):
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.25)


async def again(attack: Callable[[], Awaitable[None]]) -> None:
    """Do it again and again, whatever comes of it."""
    while True:
        with contextlib.suppress(Exception):
            await attack()
        done["ended"] += 1
        await trio.sleep(0.01)


async def through_noise(given: dict[str, Any], place: str, then: Callable[[Party, Any], Awaitable[None]]) -> None:
    """A handshake as an honest peer makes it, and then something else; in a closed mesh they have its key."""
    async with party(listen=(), secret=bytes.fromhex(given.get("secret", "")) or None) as here:
        say_nothing(here)
        network: Any = here.host.get_network()
        while True:
            with contextlib.suppress(Exception):
                where = Multiaddr(f"/ip4/127.0.0.1/tcp/{given['port']}")
                with trio.fail_after(10):
                    connection = await network.dial_addr(where, ID.from_string(given["peer"]), (place, 0))
                done["handshakes"] += 1
                with contextlib.suppress(Exception):
                    await then(here, connection)
                await connection.close()
            done["ended"] += 1
            await trio.sleep(0.01)


async def idle(given: dict[str, Any], place: str) -> None:
    """Through the handshake, and then nothing."""

    async def wait(_: Party, connection: Any) -> None:
        await connection.muxed_conn.event_closed.wait()

    await through_noise(given, place, wait)


async def frames(given: dict[str, Any], place: str) -> None:
    """A link, and on it whatever could cost its reader most: valid frames of nobody, junk, lengths, keep-alives."""
    other = msg.Hello("another mesh", bytes(16), bytes(16), 1, 1, 0.0, (), "", "int4", heard=False)
    floods = [
        frame(msg.encode(msg.NeedSnapshot())) * 1000,
        frame(msg.encode(other)) * 100,
        frame(os.urandom(1000)) * 100,
        struct.pack(">I", 0xFFFFFFF0) + bytes(1 << 16),
        struct.pack(">I", 200_000) + bytes(100_000),
        KEEP_ALIVE * 10_000,
        frame(
            msg.encode(
                msg.Peers(tuple(msg.KnownPeer(f"p{i}", ("/ip4/127.0.0.1/tcp/1",)) for i in range(64)), asks=True)
            )
        )
        * 50,
    ]

    async def flood(here: Party, connection: Any) -> None:
        stream = await here.host.new_stream(connection.muxed_conn.peer_id, [TProtocol(PROTOCOL)])
        done["links"] += 1
        data = floods[done["links"] % len(floods)]
        while True:
            await stream.write(data)
            done["bytes"] += len(data)

    await through_noise(given, place, flood)


async def muxer(given: dict[str, Any], place: str) -> None:
    """Through the handshake, and then what Yamux has to answer: pings, streams without end, updates of no stream."""

    async def flood(_: Party, connection: Any) -> None:
        kinds = [
            struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_PING, yamux.FLAG_SYN, 0, 7) * 1000,
            b"".join(
                struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_WINDOW_UPDATE, yamux.FLAG_SYN, number, 0)
                for number in range(1001, 3001, 2)
            ),
            struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_WINDOW_UPDATE, 0, 99, 1) * 1000,
            struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_DATA, 0, 99, 1 << 24) + bytes(1 << 16),
        ]
        data = kinds[done["handshakes"] % len(kinds)]
        while not connection.muxed_conn.event_closed.is_set():  # where a write to it may raise nothing
            await connection.muxed_conn.secured_conn.write(data)
            done["bytes"] += len(data)

    await through_noise(given, place, flood)


PLAIN: dict[str, Attack] = {"garbage": garbage, "half_open": half_open, "lengths": lengths, "slow": slow}
SECURED: dict[str, Attack] = {"idle": idle, "frames": frames, "muxer": muxer}
KINDS = PLAIN | SECURED


async def flood(given: dict[str, Any], seconds: float) -> None:
    """All strangers at once, for `seconds`."""
    attack = KINDS[given["kind"]]
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for place in given["places"]:
                nursery.start_soon(again, partial(attack, given, place))


if __name__ == "__main__":
    Logs("error")
    logging.disable(logging.CRITICAL)
    print("ready", flush=True)
    for line in sys.stdin:
        done.clear()
        trio.run(flood, json.loads(sys.argv[1]), float(line))
        print(json.dumps(done), flush=True)
