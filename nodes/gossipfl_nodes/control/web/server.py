"""The server: an application on a unix socket, and on a port of the device for who has the token.

The socket is in a private folder, so that only this user can reach it.
Hypercorn speaks HTTP; this owns the connections: how many there are, how long one may take to read what it asked for,
and that none outlives the daemon or takes it along. Hypercorn's own loop has no bounds, and waits for readers for ever.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any, cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from gossipfl_nodes.control.web.access import Guard, Port

CONNECTIONS = 64
"""Open at a time; one more is closed at once. Each takes a file descriptor that peers need as well."""
WRITE_TIMEOUT = 10.0
"""Seconds for a client to take what is sent at once, at most 64 KiB beyond what the kernel holds."""
TO_BROWSERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    ),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
"""That nothing comes from elsewhere, and no other page gets hold of anything here (W3C CSP 3; Fetch, 2024)."""

log = structlog.get_logger("control")


async def serve_all(app: Any, path: Path, port: Port | None, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    """Answer on the unix socket `path`, and at `port` if there is one. It has started when it can be asked."""
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_socket, app, path)
        if port is not None:
            await nursery.start(serve_port, app, port)
        task_status.started()


async def serve_port(app: Any, port: Port, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    """Answer at `port` to who may ask there, until cancelled."""
    log.info("control API", address=port.address)
    await _serve(Guard(app, port), port.bound, task_status)


async def serve_socket(app: Any, path: Path, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    """Answer on the unix socket `path` until cancelled."""
    path.unlink(missing_ok=True)  # noqa: ASYNC240 - one system call
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        try:
            await _serve(app, bound, task_status)
        finally:
            path.unlink(missing_ok=True)  # noqa: ASYNC240


class _Connection(trio.abc.HalfCloseableStream):
    """One that is cut when its other end doesn't read."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream, self.socket = stream, stream.socket

    async def send_all(self, data: bytes | memoryview) -> None:
        """Send `data`, or break."""
        with trio.move_on_after(WRITE_TIMEOUT):
            await self._stream.send_all(data)
            return
        self.socket.close()
        raise trio.BrokenResourceError("its other end does not read")

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream's."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As the stream's."""
        return await self._stream.receive_some(max_bytes)

    async def send_eof(self) -> None:
        """As the stream's."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """As the stream's."""
        await self._stream.aclose()


def _once(app: Any) -> Any:
    """`app`, with one answer for a connection: hypercorn would wait for a second request, even of one who has gone.

    Each answer tells browsers what it is good for.
    """

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def closing(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                closed = [(b"connection", b"close")] if scope["http_version"] != "2" else []
                message["headers"] = [*message["headers"], *TO_BROWSERS, *closed]
            await send(message)

        await app(scope, receive, closing)

    return answer


async def _serve(app: Any, bound: socket.socket, task_status: Any) -> None:
    bound.listen(CONNECTIONS)
    task_status.started()
    config, context, wrapped = Config(), WorkerContext(None), ASGIWrapper(_once(app))
    config.errorlog = None
    connections: set[_Connection] = set()

    async def handle(stream: trio.SocketStream) -> None:
        if len(connections) >= CONNECTIONS:
            await stream.aclose()
            return
        connection = _Connection(stream)
        connections.add(connection)
        try:
            await TCPServer(wrapped, config, context, ConnectionState({}), cast("trio.SSLStream", connection))
        except Exception as error:  # noqa: BLE001 - hypercorn raises at some garbage, as HTTP2-Settings: AAMA
            log.debug("a connection broke", reason=repr(error))
        finally:
            connections.discard(connection)
            connection.socket.close()

    with contextlib.closing(trio.socket.from_stdlib_socket(bound)) as listening:
        async with trio.open_nursery() as nursery:
            try:
                await trio.serve_listeners(handle, [trio.SocketListener(listening)], handler_nursery=nursery)
            finally:
                for connection in connections:  # hypercorn shields what it sends from being cancelled
                    connection.socket.close()
