"""The control API: HTTP over a unix socket, asked as the command line asks it."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from gossipfl.errors import LocalError
from gossipfl_nodes.commands import client
from gossipfl_nodes.daemon.control import serve_control
from gossipfl_nodes.disk.home import Home

STATUS: dict[str, Any] = {"id": "12D3KooW", "pid": 1, "loss": 0.5, "metrics": {"accuracy": 0.25}}


@asynccontextmanager
async def serving(home: Home, status: dict[str, Any]) -> AsyncIterator[trio.Event]:
    """A control API for `home`; gives the event that stops the daemon."""

    async def get_status() -> dict[str, Any]:
        return status

    async def get_peers() -> list[dict[str, Any]]:
        return [{"id": "a"}, {"id": "b"}]

    async def rewire(text: str) -> str:
        if text != "ring":
            raise LocalError("allowed is ring")
        return text

    stop = trio.Event()
    home.create()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_control, home.socket, get_status, get_peers, stop, rewire)
        with trio.fail_after(20):
            while not home.socket.exists():
                await trio.sleep(0.01)
        yield stop
        nursery.cancel_scope.cancel()


async def ask(home: Home, path: str, *, post: bool = False) -> Any:
    """What the command line would get, asked from a thread."""
    return await trio.to_thread.run_sync(client.post if post else client.get, home, path)


def test_status_and_peers_are_what_the_daemon_says(home: Path) -> None:
    async def main() -> None:
        device = Home(home)
        async with serving(device, STATUS) as stop:
            assert await ask(device, "/v1/status") == STATUS
            assert await ask(device, "/v1/peers") == [{"id": "a"}, {"id": "b"}]
            assert not stop.is_set()
            assert await ask(device, "/v1/stop", post=True) == {"stopping": True}
            assert stop.is_set()

    trio.run(main)


def test_a_topology_is_set_or_refused_with_the_reason(home: Path) -> None:
    def post(device: Home, body: Any) -> Any:
        return client.post(device, "/v1/topology", body)

    async def main() -> None:
        device = Home(home)
        async with serving(device, STATUS):
            said = await trio.to_thread.run_sync(post, device, {"topology": "ring"})
            assert said == {"topology": "ring"}
            for body, reason in (
                ({"topology": "rnig"}, "allowed is ring"),
                ({"topology": 3}, "Expected `str`"),
                ({"topologie": "ring"}, "unknown field"),
                (["ring"], "Expected `object`"),
                (None, "Input data was truncated"),
            ):
                with pytest.raises(LocalError, match=reason):
                    await trio.to_thread.run_sync(post, device, body)

    trio.run(main)


def test_the_socket_is_this_user_s_only_and_gone_afterwards(home: Path) -> None:
    async def main() -> None:
        device = Home(home)
        async with serving(device, STATUS):
            assert stat.S_ISSOCK(device.socket.stat().st_mode)
            assert stat.S_IMODE(device.socket.parent.stat().st_mode) == 0o700
        assert not device.socket.exists()

    trio.run(main)


def test_a_socket_that_a_killed_daemon_left_is_no_obstacle(home: Path) -> None:
    device = Home(home)
    device.create()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(device.socket))
    with pytest.raises(client.NotRunning, match="gossipfl run starts one"):
        client.get(device, "/v1/status")

    async def main() -> None:
        async with serving(device, STATUS):
            with trio.fail_after(20):
                while True:
                    try:
                        assert await ask(device, "/v1/status") == STATUS
                    except client.NotRunning:
                        await trio.sleep(0.05)
                    else:
                        break

    trio.run(main)


@pytest.mark.parametrize(
    ("path", "post"), [("/v1/nothing", False), ("/", False), ("/v1/stop", False), ("/v1/status", True)]
)
def test_what_is_not_there_or_not_meant_so_is_refused_and_changes_nothing(home: Path, path: str, post: bool) -> None:  # noqa: FBT001
    async def main() -> None:
        device = Home(home)
        async with serving(device, STATUS) as stop:
            with pytest.raises(LocalError, match=r"40[45]"):
                await ask(device, path, post=post)
            assert not stop.is_set()
            assert await ask(device, "/v1/status") == STATUS

    trio.run(main)


def test_garbage_on_the_socket_harms_nobody(home: Path) -> None:
    async def main() -> None:
        device = Home(home)
        async with serving(device, STATUS):
            for garbage in (b"", b"\0" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", os.urandom(10_000)):
                stream = await trio.open_unix_socket(str(device.socket))
                async with stream:
                    await stream.send_all(garbage)
            assert await ask(device, "/v1/status") == STATUS

    trio.run(main)


def test_a_client_that_says_nothing_does_not_hold_up_others(home: Path) -> None:
    async def main() -> None:
        device = Home(home)
        async with serving(device, STATUS), await trio.open_unix_socket(str(device.socket)):
            assert await ask(device, "/v1/status") == STATUS

    trio.run(main)


def test_without_a_daemon_the_client_says_how_to_start_one(home: Path) -> None:
    with pytest.raises(client.NotRunning, match="gossipfl run starts one") as caught:
        client.get(Home(home), "/v1/status")
    assert str(home) in str(caught.value)
