"""The server: an application on a unix socket that only this user can reach, as the folder that it is in is private."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

GRACE = 0.5
"""Seconds for answers that are on their way when the daemon stops."""


async def serve_socket(app: Any, socket: Path) -> None:
    """Answer on `socket` until cancelled."""
    socket.unlink(missing_ok=True)  # noqa: ASYNC240 - one system call
    try:
        await _serve(app, f"unix:{socket}")
    finally:
        socket.unlink(missing_ok=True)  # noqa: ASYNC240


async def _serve(app: Any, where: str) -> None:
    config = Config()
    config.bind = [where]
    config.errorlog = None
    config.graceful_timeout = GRACE
    await serve(app, config, mode="asgi", shutdown_trigger=trio.sleep_forever)
