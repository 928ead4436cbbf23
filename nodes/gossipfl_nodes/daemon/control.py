"""The control API: HTTP/JSON under /v1 on a unix socket that only this user can reach.

The command line uses nothing else. Read-only but for POSTs: /v1/stop, and /v1/topology.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gossipfl.errors import LocalError
from gossipfl_nodes.observing import metrics


class Rewiring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a POST to /v1/topology."""

    topology: str


async def serve_control(
    socket: Path,
    status: Callable[[], Awaitable[dict[str, Any]]],
    peers: Callable[[], Awaitable[list[dict[str, Any]]]],
    stop: trio.Event,
    rewire: Callable[[str], Awaitable[str]],
) -> None:
    """Answer on `socket` until cancelled.

    A POST to /v1/stop sets `stop`; one to /v1/topology with {"topology": "NAME:k=4"} calls `rewire`.
    """

    async def get_status(_: Request) -> JSONResponse:
        return JSONResponse(await status())

    async def get_peers(_: Request) -> JSONResponse:
        return JSONResponse(await peers())

    async def get_metrics(_: Request) -> Response:
        return Response(metrics.exposition(await status()), media_type=metrics.CONTENT_TYPE)

    async def post_stop(_: Request) -> JSONResponse:
        stop.set()
        return JSONResponse({"stopping": True})

    async def post_topology(request: Request) -> JSONResponse:
        try:
            asked = msgspec.json.decode(await request.body(), type=Rewiring)
            return JSONResponse({"topology": await rewire(asked.topology)})
        except (msgspec.MsgspecError, UnicodeDecodeError, LocalError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    app = Starlette(
        routes=[
            Route("/v1/status", get_status),
            Route("/v1/peers", get_peers),
            Route("/v1/metrics", get_metrics),
            Route("/v1/stop", post_stop, methods=["POST"]),
            Route("/v1/topology", post_topology, methods=["POST"]),
        ]
    )
    socket.unlink(missing_ok=True)  # noqa: ASYNC240 - one system call
    config = HypercornConfig()
    config.bind = [f"unix:{socket}"]
    config.errorlog = None
    config.graceful_timeout = 0.5
    try:
        await serve(app, config, mode="asgi", shutdown_trigger=trio.sleep_forever)  # type: ignore[arg-type]
    finally:
        socket.unlink(missing_ok=True)  # noqa: ASYNC240
