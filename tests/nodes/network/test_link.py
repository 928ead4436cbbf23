"""A link over a real stream between two hosts: its queue, its keep-alives, and peers that break the framing."""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol

from gossipfl.errors import RemoteError
from gossipfl.protocol.events import Connected, Disconnected, Received
from gossipfl.wire.frames import KEEP_ALIVE, FrameDecoder
from gossipfl_nodes.network import cures, link
from gossipfl_nodes.network.link import Link
from gossipfl_nodes.network.network import PROTOCOL
from tests.gossipfl.builders import frame
from tests.nodes.network.hosts import PATIENT, Party, party, unlimited

RAW = "/test/raw"


@asynccontextmanager
async def raw_stream() -> AsyncIterator[tuple[INetStream, INetStream]]:
    """Both ends of one stream between two hosts."""
    async with party() as near, party() as far:
        arrived: list[INetStream] = []

        async def keep(stream: INetStream) -> None:
            arrived.append(stream)
            await trio.sleep_forever()

        far.host.set_stream_handler(TProtocol(RAW), cures.guard(keep))
        await cures.dial(near.host, far.peer_id, far.multiaddrs, PATIENT)
        stream = await cures.open_stream(near.host, far.peer_id, RAW, PATIENT)
        with trio.fail_after(PATIENT):
            while not arrived:
                await trio.sleep(0.01)
        yield stream, arrived[0]


async def bodies(stream: INetStream, count: int) -> list[bytes]:
    """The first `count` frame bodies that come."""
    decoder, found = FrameDecoder(1 << 20), list[bytes]()
    with trio.fail_after(PATIENT):
        while len(found) < count:
            found += filter(None, decoder.feed(await stream.read(1 << 16)))
    return found


def sent_by(waiting: Link, count: int) -> list[bytes]:
    """What the link sends of that which waits in it."""
    found: list[bytes] = []

    async def main() -> None:
        async with raw_stream() as (near, far), trio.open_nursery() as nursery:
            nursery.start_soon(waiting.write_to, near)
            found.extend(await bodies(far, count))
            with trio.fail_after(PATIENT):
                while not waiting.idle:
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

    trio.run(main)
    return found


def link_with(*frames: tuple[bytes, bool]) -> Link:
    made: list[Link] = []

    async def main() -> None:
        made.append(Link(unlimited(1 << 29)))
        for body, supersedes in frames:
            made[0].put(body, supersedes=supersedes)

    trio.run(main)
    return made[0]


def test_frames_leave_in_the_order_in_which_they_were_put() -> None:
    waiting = link_with(*((b"frame %d" % number, False) for number in range(5)))
    assert sent_by(waiting, 5) == [b"frame %d" % number for number in range(5)]
    assert waiting.bytes_sent == 5 * (4 + len(b"frame 0"))


def test_a_newer_update_takes_the_place_of_one_that_still_waits_and_of_nothing_else() -> None:
    waiting = link_with(
        (b"hello", False), (b"update 1", True), (b"peers", False), (b"update 2", True), (b"update 3", True)
    )
    assert sent_by(waiting, 3) == [b"hello", b"peers", b"update 3"]


def test_a_slow_peer_s_queue_is_bounded_and_the_oldest_frame_makes_room() -> None:
    surplus = 44
    waiting = link_with(*((b"%d" % number, False) for number in range(link.MAX_QUEUED + surplus)))
    assert sent_by(waiting, link.MAX_QUEUED)[:2] == [b"%d" % surplus, b"%d" % (surplus + 1)]


def test_a_frame_that_is_put_while_the_link_waits_leaves_at_once_and_not_with_the_next_keep_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "KEEP_ALIVE_EVERY", 3600.0)

    async def main() -> None:
        async with raw_stream() as (near, far), trio.open_nursery() as nursery:
            used = Link(unlimited(1 << 29))
            assert used.idle
            nursery.start_soon(used.write_to, near)
            for number in range(3):
                await trio.sleep(0.05)
                used.put(b"frame %d" % number, supersedes=True)
                assert await bodies(far, 1) == [b"frame %d" % number]
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_link_with_nothing_to_say_says_so_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "KEEP_ALIVE_EVERY", 0.05)

    async def main() -> None:
        async with raw_stream() as (near, far), trio.open_nursery() as nursery:
            used = Link(unlimited(1 << 29))
            nursery.start_soon(used.write_to, near)
            heard = b""
            with trio.fail_after(PATIENT):
                while len(heard) < 5 * len(KEEP_ALIVE):
                    heard += await far.read(1 << 10)
            assert heard == bytes(len(heard)), "a keep-alive is a length of zero"
            assert used.bytes_sent >= len(heard)
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_reading_delivers_each_body_once_however_the_stream_is_cut_and_swallows_keep_alives() -> None:
    wanted = [b"one", os.urandom(100_000), b"three"]
    wire = KEEP_ALIVE + frame(wanted[0]) + frame(wanted[1]) + KEEP_ALIVE * 3 + frame(wanted[2])
    heard: list[bytes] = []

    async def deliver(body: bytes) -> None:
        heard.append(body)

    async def main() -> None:
        async with raw_stream() as (near, far):
            used = Link(unlimited(1 << 20))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(used.read_from, far, deliver, lambda: None)
                for start in range(0, len(wire), 7919):
                    await near.write(wire[start : start + 7919])
                with trio.fail_after(PATIENT):
                    while len(heard) < len(wanted):
                        await trio.sleep(0.01)
                nursery.cancel_scope.cancel()
            assert heard == wanted
            assert used.bytes_received == len(wire)

    trio.run(main)


def test_a_length_over_the_limit_is_refused_before_its_body_comes() -> None:
    async def deliver(body: bytes) -> None:
        raise AssertionError(body)

    async def main() -> None:
        async with raw_stream() as (near, far):
            await near.write(struct.pack(">I", 1001))
            with trio.fail_after(PATIENT), pytest.raises(RemoteError, match="1001 bytes; at most 1000"):
                await Link(unlimited(1000)).read_from(far, deliver, lambda: None)

    trio.run(main)


async def link_up(caller: Party, callee: Party) -> None:
    caller.network.dial(callee.id, callee.addresses)
    await caller.next(Connected, callee.id)
    await callee.next(Connected, caller.id)


@pytest.mark.parametrize(
    "breaker",
    [
        pytest.param(b"\xff\xff\xff\xff" + bytes(100), id="lying length"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another protocol"),
        pytest.param(os.urandom(4096).replace(b"\0", b"\1"), id="noise"),
    ],
)
def test_a_peer_that_breaks_the_framing_loses_its_own_link_only_and_is_accused_by_name(breaker: bytes) -> None:
    async def main() -> None:
        async with party(max_body=10_000) as victim, party() as honest, party() as hostile:
            await link_up(honest, victim)
            await cures.dial(hostile.host, victim.peer_id, victim.multiaddrs, PATIENT)
            stream = await cures.open_stream(hostile.host, victim.peer_id, PROTOCOL, PATIENT)
            await stream.write(breaker)
            await victim.next(Disconnected, hostile.id)
            assert [peer for peer, _ in victim.refused] == [hostile.id]
            assert "at most 10000" in victim.refused[0][1]
            assert set(victim.network.links) == {honest.id}
            honest.network.send(victim.id, b"still here", supersedes=False)
            assert await victim.next(Received, honest.id) == Received(honest.id, b"still here")

    trio.run(main)


def test_a_frame_that_breaks_off_in_the_middle_is_never_delivered() -> None:
    async def main() -> None:
        async with party() as victim, party() as hostile:
            await cures.dial(hostile.host, victim.peer_id, victim.multiaddrs, PATIENT)
            stream = await cures.open_stream(hostile.host, victim.peer_id, PROTOCOL, PATIENT)
            await stream.write(frame(b"whole") + frame(bytes(1000))[:500])
            assert await victim.next(Received, hostile.id) == Received(hostile.id, b"whole")
            await stream.close()
            with trio.fail_after(PATIENT):
                async for event in victim.events:
                    assert not isinstance(event, Received)
                    if event == Disconnected(hostile.id):
                        break

    trio.run(main)


def test_silence_is_counted_from_the_last_byte_and_from_the_link_s_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SILENCE", 0.5)

    async def main() -> None:
        with trio.fail_after(PATIENT):
            begun = trio.current_time()
            await link.watch(lambda: float("inf"))
            assert trio.current_time() - begun >= 0.5
            heard_until = trio.current_time() + 1.0
            await link.watch(lambda: max(0.0, trio.current_time() - heard_until))
            assert trio.current_time() >= heard_until + 0.5

    trio.run(main)
