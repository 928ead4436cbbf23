"""The daemon's end of predicting: a socket, a process behind it once somebody knocks, and the served model for that.

The process takes over the listening socket (as inetd's and systemd's services do), so the daemon is no part of a
prediction: it only says when there is another model. A device that nobody asks has no such process.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
import trio

from gossipfl.errors import LocalError
from gossipfl.protocol.peer import Peer
from gossipfl_nodes.control.view import version
from gossipfl_nodes.daemon.config import TaskConfig
from gossipfl_nodes.daemon.driver import Driver
from gossipfl_nodes.daemon.process import TaskProcess, copy
from gossipfl_nodes.serving.predictor import Fresh
from gossipfl_nodes.serving.server import CONNECTIONS, turn_away

LOOK_EVERY = 0.1
"""Seconds between two looks at whether there is another model."""
SHARE = 0.1
"""Of the time that handing over a large model may take."""

log = structlog.get_logger("serving")


async def serve_predictions(
    path: Path, task: TaskConfig, peer: Peer, driver: Driver, *, task_status: Any = trio.TASK_STATUS_IGNORED
) -> None:
    """Have whoever connects to the unix socket `path` answered from the model that `peer` serves, until cancelled."""
    with _bound(path) as listening:
        process = TaskProcess(
            "predicting", "gossipfl_nodes.serving.predictor", task, trains=False, files=(listening.fileno(),)
        )
        task_status.started()
        while True:
            await trio.lowlevel.wait_readable(listening.fileno())
            try:
                await process.start()
                await process.introduce()
                log.info("predicting")
                await _feed(process, peer, driver)
            except LocalError as error:
                log.warning("no predictions", reason=str(error))
                _turn_away(listening, str(error))
            finally:
                with trio.CancelScope(shield=True):
                    await process.stop()


async def _feed(process: TaskProcess, peer: Peer, driver: Driver) -> None:
    """Give the process each model that is served, until the process ends, which it does only if something broke it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_hand_over, process, peer, driver)
        status = await process.ended()
        log.warning("the predicting process died", status=status)
        nursery.cancel_scope.cancel()


async def _hand_over(process: TaskProcess, peer: Peer, driver: Driver) -> None:
    given = None
    while True:
        begun = trio.current_time()
        if given != (given := (peer.seq, peer.replica.served.count)):
            async with driver.steady:
                fresh = Fresh(version(peer))
                await copy(process.slot, peer.replica.full_served())
            await process.ask(fresh)
            try:
                await process.receive()
            except LocalError:  # it died, which `_feed` tells
                return
        await trio.sleep(max(LOOK_EVERY, (trio.current_time() - begun) / SHARE))


@contextmanager
def _bound(path: Path) -> Iterator[socket.socket]:
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(CONNECTIONS)
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)


def _turn_away(listening: socket.socket, reason: str) -> None:
    """Tell all who have knocked that there are no predictions."""
    listening.setblocking(False)
    with suppress(OSError):
        while True:
            turn_away(listening.accept()[0], reason)
