"""The door and what stands behind it: each limit is met by somebody who goes beyond it, and an honest peer gets in."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable
from typing import Any

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.stream_muxer.yamux import yamux
from msgspec.structs import replace

from gossipfl.protocol.events import Disconnected, Received
from gossipfl_nodes.network import cures, limits
from gossipfl_nodes.network.limits import Limits, Rate
from gossipfl_nodes.network.network import PROTOCOL
from tests.gossipfl.builders import frame
from tests.nodes.network.flood.strangers import MULTISTREAM
from tests.nodes.network.hosts import MAX_BODY, PATIENT, Party, party, say_nothing, unlimited
from tests.nodes.network.test_network import exchange, link_up


async def knock(victim: Party, place: str = "127.0.0.1") -> trio.SocketStream:
    """A TCP connection from `place`."""
    stream = trio.socket.socket()
    await stream.bind((place, 0))
    with contextlib.suppress(ConnectionResetError):  # it may be dropped before we know that it was taken
        await stream.connect(("127.0.0.1", int(victim.addresses[0].split("/")[4])))
    return trio.SocketStream(stream)


async def ends(stream: trio.SocketStream, seconds: float = PATIENT) -> bool:
    """Does the victim end it within that time?"""
    with trio.move_on_after(seconds):
        with contextlib.suppress(trio.BrokenResourceError):
            while await stream.receive_some(1 << 16):
                pass
        return True
    return False


async def come_true(condition: Callable[[], bool], what: str) -> None:
    with trio.move_on_after(PATIENT):
        while not condition():
            await trio.sleep(0.02)
        return
    raise AssertionError(f"not within {PATIENT} s: {what}")


async def enter(hostile: Party, victim: Party) -> Any:
    """Through the handshake as an honest peer goes, and no further: the connection."""
    say_nothing(hostile)
    await cures.dial(hostile.host, victim.peer_id, victim.network.addresses, PATIENT)
    connections: list[Any] = hostile.host.get_network().get_connections(victim.peer_id)
    return connections[0].muxed_conn


async def write_until_it_ends(connection: Any, data: bytes) -> None:
    """What no library would write."""
    with trio.fail_after(PATIENT), contextlib.suppress(Exception):
        while not connection.event_closed.is_set():
            await connection.secured_conn.write(data)
            await trio.sleep(0.01)
        return
    await come_true(connection.event_closed.is_set, "the connection ends")


def test_who_says_nothing_or_half_a_handshake_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE", 0.5)

    async def main() -> None:
        async with party() as victim:
            for opening in (b"", MULTISTREAM):
                async with await knock(victim) as stream:
                    await stream.send_all(opening)
                    assert await ends(stream)

    trio.run(main)


def test_one_place_may_wait_only_so_often_and_another_gets_in_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PENDING", 3)

    async def main() -> None:
        async with party() as victim, party() as friend:
            crowd = [await knock(victim, "127.0.0.2") for _ in range(3)]
            async with await knock(victim, "127.0.0.2") as one_more:
                assert await ends(one_more, 2.0)
            await link_up(friend, victim)
            for stream in crowd:
                await stream.aclose()

    trio.run(main)


def test_when_too_many_wait_the_most_crowded_place_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ALL_PENDING", 4)

    async def main() -> None:
        async with party() as victim, party() as friend:
            crowd = [await knock(victim, "127.0.0.2") for _ in range(4)]
            await trio.sleep(0.1)
            await link_up(friend, victim)
            assert await ends(crowd[0], 2.0)
            for stream in crowd:
                await stream.aclose()

    trio.run(main)


def test_one_place_has_only_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PER_PLACE", 2)

    async def main() -> None:
        async with party() as victim:
            crowd = [await knock(victim, "127.0.0.2") for _ in range(2)]
            async with await knock(victim, "127.0.0.2") as one_more, await knock(victim, "127.0.0.3") as other:
                assert await ends(one_more, 2.0)
                assert not await ends(other, 0.5)
            for stream in crowd:
                await stream.aclose()

    trio.run(main)


def test_what_has_ended_is_forgotten_with_its_place() -> None:
    async def main() -> None:
        async with party() as victim:
            for turn in range(5):
                async with await knock(victim, f"127.0.0.{turn + 2}"):
                    await trio.sleep(0.05)
            network: Any = victim.host.get_network()
            (door,) = network.transport_manager.get_transports()
            await come_true(lambda: not door._visitors and len(door._places) <= 5, "all are gone")

    trio.run(main)


def test_a_negotiation_that_announces_a_long_name_is_cut_at_once() -> None:
    async def main() -> None:
        async with party() as victim:
            for length in (b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x10"):
                async with await knock(victim) as stream:
                    await stream.send_all(MULTISTREAM + length + bytes(2000))
                    assert await ends(stream, limits.HANDSHAKE / 2)

    trio.run(main)


def test_a_connection_that_no_link_follows_on_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIRST_WORD", 0.5)

    async def main() -> None:
        async with party() as victim, party() as hostile, party() as friend:
            await link_up(friend, victim)
            await exchange(friend, victim, b"linked")
            connection = await enter(hostile, victim)
            await come_true(connection.event_closed.is_set, "the connection ends")
            await trio.sleep(0.5)
            await exchange(friend, victim, b"still linked")

    trio.run(main)


def test_a_stream_that_says_nothing_is_no_link_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with party() as victim, party() as hostile:
            await enter(hostile, victim)
            monkeypatch.setattr(limits, "FIRST_WORD", 0.5)  # not before, or the hostile one's own limit is met first
            await cures.open_stream(hostile.host, victim.peer_id, PROTOCOL, PATIENT)
            await victim.next(Disconnected, hostile.id)
            assert victim.refused == [(hostile.id, "it opened a stream and said nothing")]

    trio.run(main)


def test_of_too_many_strangers_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STRANGERS", 2)

    async def main() -> None:
        async with party() as victim, party() as one, party() as two, party() as three:
            oldest = await enter(one, victim)
            others = [await enter(each, victim) for each in (two, three)]
            await come_true(oldest.event_closed.is_set, "the oldest ends")
            assert not any(other.event_closed.is_set() for other in others)

    trio.run(main)


def test_a_peer_has_only_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PER_PEER", 2)
    key = os.urandom(32)

    async def main() -> None:
        async with party() as victim, party(key) as one, party(key) as two, party(key) as three:
            first = [await enter(each, victim) for each in (one, two)]
            last = await enter(three, victim)
            await come_true(last.event_closed.is_set, "one too many ends")
            assert not any(connection.event_closed.is_set() for connection in first)

    trio.run(main)


def test_a_peer_that_opens_streams_without_end_loses_its_connection() -> None:
    async def main() -> None:
        async with party() as victim, party() as hostile, party() as friend:
            await link_up(friend, victim)
            connection = await enter(hostile, victim)
            opened = b"".join(
                struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_WINDOW_UPDATE, yamux.FLAG_SYN, 101 + 2 * number, 0)
                for number in range(limits.STREAMS + 1)
            )
            await write_until_it_ends(connection, opened)
            await exchange(friend, victim, b"still linked")

    trio.run(main)


def test_a_peer_that_fills_streams_which_nobody_reads_loses_its_connection() -> None:
    async def never_read(_stream: Any) -> None:
        await trio.sleep_forever()

    async def fill(hostile: Party, victim: Party) -> None:
        with contextlib.suppress(Exception):  # however libp2p says it
            stream = await cures.open_stream(hostile.host, victim.peer_id, "/stall", PATIENT)
            while True:
                await stream.write(bytes(1 << 16))

    async def main() -> None:
        async with party() as victim, party() as hostile:
            victim.host.set_stream_handler(TProtocol("/stall"), never_read)
            connection = await enter(hostile, victim)
            async with trio.open_nursery() as nursery:
                for _ in range(limits.STREAMS // 2):  # each within its window
                    nursery.start_soon(fill, hostile, victim)
                await come_true(connection.event_closed.is_set, "the connection ends")
                nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_stranger_is_read_no_faster_than_its_share_and_tiny_frames_count_for_more() -> None:
    slow = replace(unlimited(MAX_BODY), stranger=Rate(1 << 16, 1 << 17))
    pings = struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_PING, yamux.FLAG_SYN, 0, 7) * 1000

    async def main() -> None:
        async with party(allowed=slow) as victim, party() as hostile:
            connection = await enter(hostile, victim)
            theirs: Any = victim.host.get_network().get_connections(hostile.peer_id)[0]
            meter = cures.meter(theirs.muxed_conn)
            with trio.move_on_after(2.0):
                while True:
                    await connection.secured_conn.write(pings)
            room = meter.room(trio.current_time())  # which has been refilled since, for as long as this process waited
            assert -limits.WEIGHT - (1 << 18) <= room < slow.stranger.burst / 2
            assert theirs.muxed_conn.secured_conn.conn.read_writer.read_write_closer.stream.meter is meter

    trio.run(main)


def test_a_link_that_sends_frames_faster_than_any_peer_would_waits() -> None:
    few = replace(unlimited(MAX_BODY), frames=Rate(20.0, 10.0))

    async def main() -> None:
        async with party(allowed=few) as victim, party() as hostile, trio.open_nursery() as nursery:
            await enter(hostile, victim)
            stream = await cures.open_stream(hostile.host, victim.peer_id, PROTOCOL, PATIENT)
            nursery.start_soon(stream.write, frame(b"junk") * 1000)
            for _ in range(10):
                await victim.next(Received, hostile.id)
            begun = trio.current_time()
            for _ in range(20):
                await victim.next(Received, hostile.id)
            assert trio.current_time() - begun > 0.8
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_when_unfinished_frames_take_too_much_the_link_with_most_of_them_goes() -> None:
    little = replace(unlimited(MAX_BODY), pool=300_000)

    async def begin(hostile: Party, victim: Party, size: int) -> None:
        await enter(hostile, victim)
        stream = await cures.open_stream(hostile.host, victim.peer_id, PROTOCOL, PATIENT)
        await stream.write(frame(b"hello") + struct.pack(">I", MAX_BODY) + bytes(size))
        await come_true(lambda: victim.network.links[hostile.id].unfinished >= size, "it has arrived")

    async def main() -> None:
        async with party(allowed=little) as victim, party() as small, party() as large, party() as last:
            await begin(small, victim, 50_000)
            await begin(large, victim, 200_000)
            with contextlib.suppress(KeyError):
                await begin(last, victim, 100_000)
            await victim.next(Disconnected, large.id)
            assert small.id in victim.network.links

    trio.run(main)


def test_a_host_left_alone_does_nothing() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            await link_up(near, far)
            network: Any = far.host.get_network()
            network.peerstore.add_addrs(near.peer_id, near.multiaddrs, 3600)
            near.network.disconnect(far.id)
            await far.next(Disconnected, near.id)
            await trio.sleep(1.0)
            assert not network.get_connections(near.peer_id), "nobody asked it to dial"

    trio.run(main)


def test_limits_by_default_let_an_honest_transfer_through() -> None:
    async def main() -> None:
        allowed = Limits.of(MAX_BODY, 1.0)
        async with party(allowed=allowed) as near, party(allowed=allowed) as far:
            await link_up(near, far)
            for size in (1, MAX_BODY, MAX_BODY, MAX_BODY):
                await exchange(near, far, bytes(size))

    trio.run(main)
