"""The demo's page: all daemons of a mesh on this machine in one browser window.

A process of its own, which knows the daemons' homes and asks their control APIs when somebody looks; it takes no
orders, and while nobody looks it costs the mesh nothing.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio

from gossipfl.errors import LocalError
from gossipfl_nodes.commands import client
from gossipfl_nodes.control.watch import Watch
from gossipfl_nodes.control.web import streams
from gossipfl_nodes.control.web.access import TOKEN_BYTES, Port, listening
from gossipfl_nodes.control.web.operations import Operation, application
from gossipfl_nodes.control.web.server import serve_port
from gossipfl_nodes.demo.mesh import end_with_parent
from gossipfl_nodes.disk.home import Home
from gossipfl_nodes.network import identity
from gossipfl_nodes.observing.diary import Diary
from gossipfl_nodes.observing.logs import Logs
from gossipfl_nodes.page import files

LOOK_EVERY = 0.5
"""Seconds between two looks at the daemons, however many browsers ask."""
PATIENCE = 2.0
"""Seconds for a daemon to answer; then it counts as down."""


@contextlib.contextmanager
def opened(homes: Sequence[Home]) -> Iterator[str]:
    """Serve the page of the daemons of `homes` meanwhile; gives its address, which holds what it takes to see it.

    Raises:
        LocalError: it can't be served.
    """
    command = [sys.executable, "-m", "gossipfl_nodes.demo.page", *(str(home.path) for home in homes)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - the demo has one thread
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                raise LocalError("the page can't be served; why stands above")
            yield address
        finally:
            process.kill()


class Watched:
    """The daemons of `homes`, as nodes 0, 1, 2, …"""

    def __init__(self, homes: Sequence[Home]) -> None:
        self._homes = {identity.id_of(home.key): home for home in homes}
        self._devices: list[dict[str, Any]] = []
        self._looking, self._next = trio.Lock(), 0.0
        self.diary = Diary()

    async def mesh(self) -> dict[str, Any]:
        """The status and the peers of each, as a daemon's own /v1/mesh has them."""
        async with self._looking:
            if trio.current_time() >= self._next:
                before, told = self._devices, await self._ask("/v1/mesh")
                self._devices = [
                    (told[device]["devices"][0] if device in told else {"id": device, "status": None, "peers": []})
                    | {"name": str(index)}
                    for index, device in enumerate(self._homes)
                ]
                self._note(before)
                self._next = trio.current_time() + LOOK_EVERY
            return {"time": time.time(), "me": None, "devices": self._devices}

    async def history(self) -> dict[str, Any]:
        """Of each daemon that runs, as its own /v1/history has it."""
        return {device: told[device] for device, told in (await self._ask("/v1/history")).items()}

    async def _ask(self, path: str) -> dict[str, Any]:
        """What the daemons answer, by id; those that don't are left out."""
        told: dict[str, Any] = {}

        async def ask(device: str, home: Home) -> None:
            look = partial(client.get, home, path)
            with contextlib.suppress(LocalError), trio.move_on_after(PATIENCE):
                told[device] = await trio.to_thread.run_sync(look, abandon_on_cancel=True)  # type: ignore[call-arg]

        async with trio.open_nursery() as nursery:
            for device, home in self._homes.items():
                nursery.start_soon(ask, device, home)
        return told

    def _note(self, before: list[dict[str, Any]]) -> None:
        """Tell what has changed since the last look."""
        for device, last in zip(self._devices, before, strict=False):
            states = [(one["status"] or {"state": "down"})["state"] for one in (last, device)]
            if states[0] != states[1]:
                self.diary.tell(states[1], peer=device["id"])


async def main(homes: Sequence[Home]) -> None:
    """Serve the page until cancelled, and say where."""
    watched = Watched(homes)
    watch = Watch(watched.diary, Logs("warning"))
    app = application(
        [
            Operation("GET", "/v1/mesh", watched.mesh),
            Operation("GET", "/v1/history", watched.history),
            Operation("GET", "/v1/events", watch.events, media=(streams.MEDIA_TYPE,)),
            *files.operations(),
        ]
    )
    with listening("127.0.0.1:0") as bound:
        port = Port(bound, secrets.token_urlsafe(TOKEN_BYTES), files.PATHS)
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_port, app, port)
            print(f"{port.address}/#{port.token}", flush=True)


if __name__ == "__main__":
    trio.run(main, [Home(Path(argument)) for argument in sys.argv[1:]])
