"""The traps of py-libp2p 0.8.1: each test here fails when its cure is taken out."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamError
from libp2p.stream_muxer.exceptions import MuxedStreamError
from multiaddr import Multiaddr

from gossipfl.errors import LocalError
from gossipfl.protocol.events import Connected, Disconnected, Received
from gossipfl_nodes.network import cures, limits, link
from tests.nodes.network.hosts import (
    ECHO,
    MAX_BODY,
    PATIENT,
    Party,
    Proxy,
    answers,
    free_port,
    party,
    read_exactly,
)
from tests.nodes.support import end

SINK = "/test/sink"
"""A protocol that reads when it is told to."""


OVER_THE_WINDOW = 40 << 20
"""More bytes than libp2p takes for a stream that nobody reads: it lets a window grow to 16 MiB."""


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here needs a link, without which a connection does not last."""
    monkeypatch.setattr(limits, "FIRST_WORD", 3600.0)


class Sink:
    """Reads a stream only once it is opened, and counts."""

    def __init__(self, owner: Party) -> None:
        self.open = trio.Event()
        self.count = 0
        owner.host.set_stream_handler(TProtocol(SINK), cures.guard(self._read))

    async def _read(self, stream: INetStream) -> None:
        await self.open.wait()
        while data := await stream.read(1 << 16):
            self.count += len(data)

    async def have(self, size: int) -> None:
        with trio.fail_after(PATIENT):
            while self.count < size:
                await trio.sleep(0.02)


async def connect(caller: Party, callee: Party, *addresses: Multiaddr) -> None:
    await cures.dial(caller.host, callee.peer_id, addresses or callee.multiaddrs, timeout=PATIENT)


def port_of(callee: Party) -> int:
    return int(callee.addresses[0].rpartition("/")[2])


# --- 0: the pin


def test_the_version_that_the_cures_were_tried_with_is_installed() -> None:
    assert version("libp2p") == cures.PIN
    cures.install()


def test_another_version_of_libp2p_is_refused_and_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cures, "PIN", "0.8.0")
    with pytest.raises(LocalError, match=r"libp2p 0\.8\.1 is installed.*pip install libp2p==0\.8\.0"):
        cures.install()


# --- 1: an exception in a stream handler ends the whole host


def test_a_handler_that_raises_costs_its_stream_and_not_the_host() -> None:
    async def boom(stream: INetStream) -> None:
        await stream.read(1)
        raise RuntimeError("boom")

    async def main() -> None:
        async with party() as near, party() as far:
            far.host.set_stream_handler(TProtocol("/test/boom"), cures.guard(boom))
            await connect(near, far)
            for _ in range(3):
                stream = await cures.open_stream(near.host, far.peer_id, "/test/boom", PATIENT)
                await stream.write(b"!")
                with pytest.raises((StreamError, MuxedStreamError)), trio.fail_after(PATIENT):
                    await stream.read(1)
            assert await answers(near, far)

    trio.run(main)


# --- 2: a cancelled write leaves half a frame on the connection


def test_a_write_cancelled_while_tcp_takes_nothing_leaves_the_connection_usable() -> None:
    async def main() -> None:
        async with party() as near, party() as far, trio.open_nursery() as nursery:
            sink, proxy = Sink(far), Proxy(port_of(far))
            sink.open.set()
            await nursery.start(proxy.run)
            await connect(near, far, proxy.address)
            streams = [await cures.open_stream(near.host, far.peer_id, SINK, PATIENT) for _ in range(8)]
            for stream in streams:
                await stream.write(b"begun")
            proxy.stall()
            cancelled = 0

            async def write_and_give_up(stream: INetStream) -> None:
                nonlocal cancelled
                with trio.move_on_after(0.5) as scope:
                    await stream.write(bytes(1 << 20))
                cancelled += scope.cancelled_caught

            async with trio.open_nursery() as writers:
                for stream in streams:
                    writers.start_soon(write_and_give_up, stream)
                await trio.sleep(1.0)
                proxy.resume()
            assert cancelled == len(streams), "the stall did not hold the writers up"
            assert await answers(near, far)
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_writes_cancelled_while_the_window_is_full_leave_the_connection_usable() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            Sink(far)  # does not read
            await connect(near, far)
            for _ in range(4):
                stream = await cures.open_stream(near.host, far.peer_id, SINK, PATIENT)
                with trio.move_on_after(0.3) as scope:
                    await stream.write(bytes(OVER_THE_WINDOW))
                assert scope.cancelled_caught, "the window was not full"
                assert await answers(near, far)

    trio.run(main)


def test_writes_cancelled_in_the_midst_of_a_flowing_transfer_leave_the_connection_usable() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            sink = Sink(far)
            sink.open.set()
            await connect(near, far)
            for attempt in range(6):
                stream = await cures.open_stream(near.host, far.peer_id, SINK, PATIENT)
                with trio.move_on_after(0.05 + 0.01 * attempt) as scope:
                    await stream.write(bytes(200 << 20))
                assert scope.cancelled_caught
                assert await answers(near, far)

    trio.run(main)


# --- 3: a reader idle for 5 s kills its sender's stream


def test_a_reader_that_pauses_for_longer_than_five_seconds_gets_the_whole_transfer() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            sink, done = Sink(far), trio.Event()
            await connect(near, far)
            stream = await cures.open_stream(near.host, far.peer_id, SINK, PATIENT)

            async def write() -> None:
                await stream.write(bytes(OVER_THE_WINDOW))
                done.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await trio.sleep(6.5)
                assert not done.is_set(), "the window was not full"
                sink.open.set()
                await sink.have(OVER_THE_WINDOW)

    trio.run(main)


def test_a_reader_that_never_comes_back_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cures, "STALL_TIMEOUT", 1.0)

    async def main() -> None:
        async with party() as near, party() as far:
            Sink(far)
            await connect(near, far)
            stream = await cures.open_stream(near.host, far.peer_id, SINK, PATIENT)
            with trio.fail_after(PATIENT), pytest.raises(StreamError) as caught:
                await stream.write(bytes(OVER_THE_WINDOW))
            assert "reader did not open its window" in str(caught.value.__cause__)

    trio.run(main)


# --- 4: only the first address of a peer is dialled


def test_a_dead_first_address_does_not_hide_the_live_second() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            dead = Multiaddr(f"/ip4/127.0.0.1/tcp/{free_port()}")
            await connect(near, far, dead, *far.multiaddrs)
            assert await answers(near, far)

    trio.run(main)


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that swallows every attempt to connect: its queue is full, and nobody accepts."""
    with socket.socket() as listener, ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            guest = stack.enter_context(socket.socket())
            guest.setblocking(False)
            guest.connect_ex(listener.getsockname())
        yield f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}"


def test_a_first_address_that_swallows_everything_holds_the_second_up_for_half_a_second() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            with black_hole() as hole:
                with trio.fail_after(4):
                    await cures.dial(near.host, far.peer_id, [hole, hole, *far.addresses], timeout=PATIENT)
                assert await answers(near, far)

    trio.run(main)


def test_a_name_that_nobody_knows_does_not_hide_the_address_behind_it() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            await cures.dial(near.host, far.peer_id, ["/dns4/no-such.invalid/tcp/1", *far.addresses], timeout=PATIENT)
            assert await answers(near, far)

    trio.run(main)


def test_when_no_address_answers_the_error_tells_of_each() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            dead = [Multiaddr(f"/ip4/127.0.0.1/tcp/{free_port()}") for _ in range(2)]
            with pytest.raises(ConnectionError) as caught:
                await cures.dial(near.host, far.peer_id, dead, timeout=PATIENT)
            assert all(str(address) in str(caught.value) for address in dead)
            with pytest.raises(ConnectionError, match="no address"):
                await cures.dial(near.host, far.peer_id, [], timeout=PATIENT)

    trio.run(main)


def test_somebody_else_at_the_address_is_not_taken_for_the_peer() -> None:
    async def main() -> None:
        async with party() as near, party() as far, party() as impostor:
            with pytest.raises(ConnectionError):
                await cures.dial(near.host, far.peer_id, impostor.multiaddrs, timeout=PATIENT)

    trio.run(main)


# --- 5: a failed dial blocks the peer for 60 s


def test_a_peer_that_did_not_answer_is_dialled_again_at_once() -> None:
    key, port = os.urandom(32), free_port()
    where = f"/ip4/127.0.0.1/tcp/{port}"

    async def main() -> None:
        async with party(key) as earlier:
            peer = earlier.peer_id
        async with party() as near:
            for _ in range(2):
                with pytest.raises(ConnectionError):
                    await cures.dial(near.host, peer, [Multiaddr(where)], timeout=PATIENT)
            async with party(key, (where,)) as far:
                assert far.peer_id == peer
                with trio.fail_after(PATIENT):
                    await cures.dial(near.host, peer, [Multiaddr(where)], timeout=PATIENT)
                assert await answers(near, far)

    trio.run(main)


# --- 6: a frozen peer goes unnoticed


@contextmanager
def lone_node(**given: Any) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    program = Path(__file__).with_name("lone_node.py")
    process = subprocess.Popen(
        [sys.executable, str(program), json.dumps(given)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        end([process])


def test_a_peer_whose_process_is_frozen_is_noticed_by_its_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SILENCE", 2.0)
    monkeypatch.setattr(link, "KEEP_ALIVE_EVERY", 0.3)

    async def main(process: subprocess.Popen[str], peer: str, addresses: list[str]) -> None:
        async with party() as near:
            near.network.dial(peer, tuple(addresses))
            await near.next(Connected, peer)
            with trio.move_on_after(4):  # nothing but keep-alives for longer than SILENCE
                await near.next(Disconnected, peer)
                raise AssertionError("a living but silent peer was cut")
            process.send_signal(signal.SIGSTOP)
            await near.next(Disconnected, peer)
            assert peer not in near.network.links

    with lone_node(key=os.urandom(32).hex(), silence=60, keep_alive=0.3) as (process, said):
        trio.run(main, process, said["id"], said["addresses"])


async def transfer_slowly(sender: Party, receiver: Party, body: bytes) -> None:
    """Send `body` over an open link, and see it arrive without either end cutting the link."""
    sender.network.send(receiver.id, body, supersedes=False)
    with trio.fail_after(60):
        async for event in receiver.events:
            assert not isinstance(event, Disconnected), "the slow link was cut"
            if isinstance(event, Received):
                assert event.body == body
                break
    assert sender.events.statistics().current_buffer_used == 0, "the slow link was cut"


def test_a_slow_transfer_whose_frames_take_longer_than_the_silence_is_not_taken_for_a_dead_peer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silence, rate, size = 1.2, 30e3, 240_000
    assert cures.NOISE_PLAINTEXT / rate > 1.5 * silence, "one frame must take longer than the silence that is allowed"
    monkeypatch.setattr(link, "SILENCE", silence)
    monkeypatch.setattr(link, "KEEP_ALIVE_EVERY", 0.3)

    async def main() -> None:
        async with party() as near, party() as far, trio.open_nursery() as nursery:
            proxy = Proxy(port_of(far), rate)
            await nursery.start(proxy.run)
            near.network.dial(far.id, (str(proxy.address),))
            await near.next(Connected, far.id)
            await far.next(Connected, near.id)
            await transfer_slowly(near, far, os.urandom(size))
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_receiver_counts_the_bytes_of_an_unfinished_frame_as_life(monkeypatch: pytest.MonkeyPatch) -> None:
    silence, rate, size = 1.2, 30e3, 160_000
    assert cures.NOISE_PLAINTEXT / rate > 1.5 * silence, "one frame must take longer than the silence that is allowed"
    monkeypatch.setattr(link, "SILENCE", silence)
    monkeypatch.setattr(link, "KEEP_ALIVE_EVERY", 0.3)

    async def main(peer: str, addresses: list[str]) -> None:
        async with party() as near, trio.open_nursery() as nursery:
            proxy = Proxy(int(addresses[0].rpartition("/")[2]), rate)
            await nursery.start(proxy.run)
            near.network.dial(peer, (str(proxy.address),))
            await near.next(Connected, peer)
            with trio.fail_after(60):
                async for event in near.events:
                    assert not isinstance(event, Disconnected), "the receiver cut the slow link"
                    if isinstance(event, Received):
                        assert len(event.body) == size
                        break
            nursery.cancel_scope.cancel()

    with lone_node(key=os.urandom(32).hex(), silence=60, keep_alive=0.3, say_once=size) as (_, said):
        trio.run(main, said["id"], said["addresses"])


def test_for_how_long_no_byte_came_is_known_for_connected_peers_only() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            assert cures.silence(near.host, far.peer_id) == float("inf")
            await connect(near, far)
            assert await answers(near, far)
            await trio.sleep(0.7)  # past Yamux's first ping
            before = cures.silence(near.host, far.peer_id)
            await trio.sleep(0.3)
            assert before + 0.25 < cures.silence(near.host, far.peer_id) < PATIENT
            assert await answers(near, far)
            assert cures.silence(near.host, far.peer_id) < 0.25

    trio.run(main)


# --- 7: the 257th open stream waits for ever without a word


def test_the_257th_open_stream_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAMS", 1000)

    async def main() -> None:
        async with party() as near, party() as far:
            await connect(near, far)
            streams: list[INetStream] = []
            with trio.fail_after(60):
                while len(streams) < 256:
                    # Some are held by libp2p's own protocols for a moment, and given back.
                    try:
                        streams.append(await cures.open_stream(near.host, far.peer_id, ECHO, PATIENT))
                    except ConnectionError:
                        await trio.sleep(0.1)
            with pytest.raises(ConnectionError, match="256 streams"), trio.fail_after(10):
                await cures.open_stream(near.host, far.peer_id, ECHO, timeout=60)
            for stream in streams[:3]:
                await stream.reset()
            assert await answers(near, far), "a slot that was given back can be used"

    trio.run(main)


def test_a_stream_to_nobody_or_of_an_unknown_protocol_is_a_connection_error() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            with pytest.raises(ConnectionError, match="not connected"):
                await cures.open_stream(near.host, far.peer_id, ECHO, PATIENT)
            await connect(near, far)
            with pytest.raises(ConnectionError, match="no stream"):
                await cures.open_stream(near.host, far.peer_id, "/test/nobody-speaks-this", PATIENT)

    trio.run(main)


# --- 11: a Noise message in many pieces


def test_a_noise_message_that_comes_in_hundreds_of_pieces_arrives() -> None:
    piece, rate = 250, 250e3
    assert cures.NOISE_PLAINTEXT / piece > 200, "libp2p gives up after 100"

    async def main() -> None:
        async with party() as near, party() as far, trio.open_nursery() as nursery:
            proxy = Proxy(port_of(far), rate, piece)
            await nursery.start(proxy.run)
            await connect(near, far, proxy.address)
            stream = await cures.open_stream(near.host, far.peer_id, ECHO, PATIENT)
            data = os.urandom(100_000)
            with trio.fail_after(PATIENT):
                nursery.start_soon(stream.write, data)
                assert await read_exactly(stream, len(data)) == data
            nursery.cancel_scope.cancel()

    trio.run(main)


# --- speed: what is read ahead of a Noise message is not lost


def test_a_transfer_larger_than_any_buffer_arrives_byte_for_byte_in_both_directions() -> None:
    data = os.urandom(3 << 20)

    async def main() -> None:
        async with party() as near, party() as far:
            await connect(near, far)
            stream = await cures.open_stream(near.host, far.peer_id, ECHO, PATIENT)
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(stream.write, data)
                    assert await read_exactly(stream, len(data)) == data
            assert len(data) < MAX_BODY

    trio.run(main)


@pytest.mark.parametrize("size", [1, 100, 70_000, 1 << 20])
def test_a_reader_of_any_step_gets_every_byte_while_the_writer_waits_for_its_window(size: int) -> None:
    data = os.urandom(2 << 20 if size > 1 else 3000)

    async def main() -> None:
        async with party() as near, party() as far, trio.open_nursery() as nursery:
            got = bytearray()

            async def read(stream: INetStream) -> None:
                while len(got) < len(data):
                    piece = await stream.read(size)
                    assert 0 < len(piece) <= size
                    got.extend(piece)
                nursery.cancel_scope.cancel()

            far.host.set_stream_handler(TProtocol(SINK), cures.guard(read))
            await connect(near, far)
            stream = await cures.open_stream(near.host, far.peer_id, SINK, PATIENT)
            with trio.fail_after(PATIENT):
                await stream.write(data)
                await trio.sleep_forever()
        assert got == data

    trio.run(main)
