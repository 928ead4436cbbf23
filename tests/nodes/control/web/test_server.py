"""Operations served on a unix socket, asked as the command line asks, and as nobody should."""

from __future__ import annotations

import random
import re
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import pytest
import trio
from msgspec import Meta, Struct

from gossipfl.errors import LocalError
from gossipfl_nodes.commands import client
from gossipfl_nodes.control.web import operations
from gossipfl_nodes.control.web.operations import Operation, application
from gossipfl_nodes.control.web.server import serve_socket
from gossipfl_nodes.disk.home import Home

ROOM = 1000


class Wish(Struct, forbid_unknown_fields=True):
    number: Annotated[int, Meta(ge=0, le=9)]


class Window(Struct, forbid_unknown_fields=True):
    last: Annotated[int, Meta(ge=1)] = 5


async def answer() -> dict[str, float]:
    """Answer."""
    return {"loss": float("nan"), "accuracy": 0.25}


async def take(body: Wish) -> Wish:
    """Take a wish."""
    if body.number == 7:
        raise LocalError("number = 7: allowed is any other")
    if body.number == 8:
        raise ZeroDivisionError("a secret")
    return body


async def look(query: Window) -> int:
    """Look back."""
    return query.last


@asynccontextmanager
async def serving(home: Home) -> AsyncIterator[None]:
    """A control API for `home`."""
    app = application(
        [
            Operation("GET", "/v1/wish", answer),
            Operation("PUT", "/v1/wish", take, room=ROOM),
            Operation("GET", "/v1/look", look),
        ]
    )
    home.create()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_socket, app, home.socket)
        with trio.fail_after(20):
            while not home.socket.exists():
                await trio.sleep(0.01)
        yield
        nursery.cancel_scope.cancel()


async def ask(home: Home, path: str) -> Any:
    """What the command line would get, asked from a thread."""
    return await trio.to_thread.run_sync(client.get, home, path)


async def put(home: Home, path: str, body: Any) -> Any:
    return await trio.to_thread.run_sync(client.put, home, path, body)


async def raw(home: Home, request: bytes) -> bytes:
    """What comes back for these bytes, until the other end closes."""
    answer = b""
    async with await trio.open_unix_socket(str(home.socket)) as stream:
        await stream.send_all(request)
        with trio.fail_after(20):
            while data := await stream.receive_some():
                answer += data
    return answer


def within(home: Path, check: Callable[[Home], Any]) -> None:
    """Run the async function `check` while a control API is there."""

    async def main() -> None:
        device = Home(home)
        async with serving(device):
            await check(device)

    trio.run(main)


def test_what_a_function_returns_is_json_even_where_it_is_no_number(home: Path) -> None:
    async def check(device: Home) -> None:
        assert await ask(device, "/v1/wish") == {"loss": None, "accuracy": 0.25}
        assert await put(device, "/v1/wish", {"number": 3}) == {"number": 3}
        assert await ask(device, "/v1/look") == 5
        assert await ask(device, "/v1/look?last=7") == 7

    within(home, check)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"number": 7}, "allowed is any other"),
        ({"number": "3"}, "Expected `int`"),
        ({"number": 10}, "<= 9"),
        ({"nombre": 3}, "unknown field"),
        ([3], "Expected `object`"),
        (None, "Input data was truncated"),
        ({"number": [[[]]] * 50}, "Expected `int`"),
        ({"number": "x" * ROOM}, f"may have {ROOM} bytes"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_the_reason(home: Path, body: Any, reason: str) -> None:
    async def check(device: Home) -> None:
        with pytest.raises(LocalError, match=reason):
            await put(device, "/v1/wish", body)
        assert await put(device, "/v1/wish", {"number": 3}) == {"number": 3}

    within(home, check)


@pytest.mark.parametrize("path", ["/v1/look?last=0", "/v1/look?last=x", "/v1/look?lats=3", "/v1/look?last=3&last=4"])
def test_a_parameter_that_does_not_fit_is_refused(home: Path, path: str) -> None:
    async def check(device: Home) -> None:
        with pytest.raises(LocalError, match=r"last|lats|more than once"):
            await ask(device, path)

    within(home, check)


def test_a_bug_is_the_daemon_s_fault_and_tells_nothing_else(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def check(device: Home) -> None:
        with pytest.raises(LocalError, match="a bug of gossipfl") as caught:
            await put(device, "/v1/wish", {"number": 8})
        assert "secret" not in str(caught.value)
        assert await ask(device, "/v1/look") == 5

    within(home, check)
    assert "a secret" in "".join(capsys.readouterr()), "the log has it"


@pytest.mark.parametrize(
    ("what", "rest", "status"),
    [
        (b"GET /v1/nothing", b"\r\n", b"404"),
        (b"GET /", b"\r\n", b"404"),
        (b"DELETE /v1/wish", b"\r\n", b"405"),
        (b"PUT /v1/wish", b"Content-Length: 99999999999\r\n\r\n", b"413"),
        (b"PUT /v1/wish", b'Content-Length: 9\r\n\r\n{"number\xff', b"400"),
        (b"PUT /v1/wish", b"Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + bytes(2000) + b"\r\n", b"413"),
    ],
)
def test_what_is_refused_is_refused_as_a_problem(home: Path, what: bytes, rest: bytes, status: bytes) -> None:
    async def check(device: Home) -> None:
        told = await raw(device, what + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + rest)
        head, _, body = told.partition(b"\r\n\r\n")
        assert head.split()[1] == status, told
        assert b"application/problem+json" in head
        assert b'"status":' + status in body
        (allowed,) = re.findall(rb"(?i)\r\nallow: ([^\r]*)", head) or [b""]
        assert set(allowed.split(b", ")) == ({b"GET", b"HEAD", b"PUT"} if status == b"405" else {b""})
        assert await ask(device, "/v1/look") == 5

    within(home, check)


def test_a_body_that_does_not_come_is_not_waited_for_for_ever(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "BODY_TIMEOUT", 0.3)

    async def check(device: Home) -> None:
        told = await raw(device, b"PUT /v1/wish HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        assert told.split()[1] == b"408"

    within(home, check)


def test_the_socket_is_this_user_s_only_and_gone_afterwards(home: Path) -> None:
    async def check(device: Home) -> None:
        assert stat.S_ISSOCK(device.socket.stat().st_mode)
        assert stat.S_IMODE(device.socket.parent.stat().st_mode) == 0o700

    within(home, check)
    assert not Home(home).socket.exists()


def test_a_socket_that_a_killed_daemon_left_is_no_obstacle(home: Path) -> None:
    device = Home(home)
    device.create()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(device.socket))
    with pytest.raises(client.NotRunning, match="gossipfl run starts one"):
        client.get(device, "/v1/look")

    async def main() -> None:
        async with serving(device):
            with trio.fail_after(20):
                while True:
                    try:
                        assert await ask(device, "/v1/look") == 5
                    except client.NotRunning:
                        await trio.sleep(0.05)
                    else:
                        break

    trio.run(main)


def lines(*given: str) -> bytes:
    return "\r\n".join([*given, "", ""]).encode()


GARBAGE = [
    b"", bytes(1000), b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", random.Random(0).randbytes(10_000),
    b"GET " + b"x" * 100_000,
    lines("PRI * HTTP/2.0", "", "SM") + bytes(100),
    lines("GET / HTTP/1.1", "Host: x", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA"),
    lines(
        "GET /v1/wish HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    lines("PUT /v1/wish HTTP/1.1", "Host: x", "Content-Length: -1"),
    lines("PUT /v1/wish HTTP/1.1", "Host: x", "Content-Length: 3", "Transfer-Encoding: chunked") + b"xyz",
    lines("PUT /v1/wish HTTP/1.1", "Host: x", "Content-Length: 100") + b"{",
    lines("GET /v1/look?%ff=%00&last=%C3%28 HTTP/1.1", "Host: x"),
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: repr(garbage[:12]))
def test_garbage_on_the_socket_harms_nobody(home: Path, garbage: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    async def check(device: Home) -> None:
        for waits in (False, True):
            async with await trio.open_unix_socket(str(device.socket)) as stream:
                with suppress(trio.BrokenResourceError):  # it need not hear it to the end
                    await stream.send_all(garbage)
                    if waits:
                        with trio.move_on_after(0.3):
                            await stream.receive_some()
            assert await ask(device, "/v1/look") == 5

    within(home, check)
    assert "Traceback" not in "".join(capsys.readouterr())


def test_a_client_that_says_nothing_does_not_hold_up_others(home: Path) -> None:
    async def check(device: Home) -> None:
        async with await trio.open_unix_socket(str(device.socket)):
            assert await ask(device, "/v1/look") == 5

    within(home, check)


def test_without_a_daemon_the_client_says_how_to_start_one(home: Path) -> None:
    with pytest.raises(client.NotRunning, match="gossipfl run starts one") as caught:
        client.get(Home(home), "/v1/status")
    assert str(home) in str(caught.value)
