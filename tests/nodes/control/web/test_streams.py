"""Streams whose readers don't read until every buffer between is full."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from gossipfl_nodes.control.web import server
from gossipfl_nodes.control.web.operations import Operation, application
from gossipfl_nodes.control.web.server import serve_socket
from gossipfl_nodes.control.web.streams import Stream, since
from gossipfl_nodes.disk.home import Home
from gossipfl_nodes.observing.ring import Ring

LINE = b'"' + b"x" * 1000 + b'"'


class Tap:
    """A stream of a ring, and how many read it."""

    def __init__(self) -> None:
        self.ring = Ring()
        self.readers = 0

    async def open(self) -> Stream:
        """Open."""
        return Stream(self.ring, 0, "life", self._count)

    def _count(self, change: int) -> None:
        self.readers += change

    async def overfill(self, times: int = 20) -> None:
        """Add more than all buffers on the way hold, in several turns."""
        for _ in range(times):
            for _ in range(200):
                self.ring.add(LINE)
            await trio.sleep(0.06)


def within(home: Path, check: Callable[[Tap, trio.SocketStream], Any]) -> float:
    """Run the async `check` with a reader of a stream, and return how many seconds the server took to end."""
    device = Home(home)

    async def main() -> float:
        tap = Tap()
        device.create()
        async with trio.open_nursery() as nursery:
            app = application([Operation("GET", "/v1/stream", tap.open)])
            nursery.start_soon(serve_socket, app, device.socket)
            while not device.socket.exists():
                await trio.sleep(0.01)
            async with await trio.open_unix_socket(str(device.socket)) as reader:
                await reader.send_all(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
                while not tap.readers:
                    await trio.sleep(0.01)
                await check(tap, reader)
                begun = trio.current_time()
                nursery.cancel_scope.cancel()
        return trio.current_time() - begun

    return trio.run(main)


async def everything(reader: trio.SocketStream) -> bytes:
    """What a reader can still read."""
    found = b""
    with suppress(trio.BrokenResourceError):
        while data := await reader.receive_some():
            found += data
    return found


def test_a_reader_that_never_reads_holds_up_nobody_not_even_the_end(home: Path) -> None:
    async def check(tap: Tap, reader: trio.SocketStream) -> None:
        await tap.overfill()
        assert tap.ring.newest == 4000
        assert sum(len(line) for _, line in tap.ring.after(0)[1]) <= 256 << 10
        assert tap.readers == 1, "it is stuck"
        del reader

    assert within(home, check) < server.WRITE_TIMEOUT / 2


def test_a_reader_that_doesn_t_read_in_time_is_cut_off(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WRITE_TIMEOUT", 0.2)

    async def check(tap: Tap, reader: trio.SocketStream) -> None:
        await tap.overfill()
        with trio.fail_after(20):
            while tap.readers:
                await trio.sleep(0.01)
        assert b"id: life-1\n" in await everything(reader)

    within(home, check)


def test_a_slow_reader_is_told_how_many_lines_it_has_missed(home: Path) -> None:
    async def check(tap: Tap, reader: trio.SocketStream) -> None:
        await tap.overfill()
        found = b""
        with trio.fail_after(20):
            while b"id: life-4000\n" not in found:
                found += await reader.receive_some()
        told = found.count(b"\nid: life-")
        missed = [int(part.partition(b"}")[0]) for part in found.split(b'{"event":"missed","lines":')[1:]]
        assert missed
        assert told + sum(missed) == 4000

    within(home, check)


def test_a_reader_that_goes_is_forgotten(home: Path) -> None:
    async def check(tap: Tap, reader: trio.SocketStream) -> None:
        await reader.aclose()
        with trio.fail_after(20):
            while tap.readers:
                await trio.sleep(0.01)

    within(home, check)


@pytest.mark.parametrize(
    ("last_event_id", "last", "number"),
    [
        (None, 0, 7), (None, 3, 4), (None, 1000, 0), ("life-5", 3, 5), ("life-7", 0, 7), ("life-9", 0, 7),
        ("lief-5", 0, 0), ("life-", 0, 0), ("life--5", 0, 0), ("life-5x", 0, 0), ("5", 0, 0), ("life-99999", 0, 0),
        ("life-\u0665", 0, 0),
    ],
)  # fmt: skip
def test_where_a_reader_goes_on(last_event_id: str | None, last: int, number: int) -> None:
    ring = Ring()
    for _ in range(7):
        ring.add(b"")
    assert since(ring, "life", last_event_id, last) == number
