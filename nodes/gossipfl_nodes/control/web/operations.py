"""Operations: from a function with types to a path of the API that checks what comes in, and answers in JSON.

A function names what it takes: `body` is decoded from the request's JSON into its type, `query` from the parameters in
the URL, and what it returns is encoded; a Response goes out as it is. Whatever a client sends ends in an answer:
nothing is read beyond an operation's `room`, and no exception leaves. Knows no daemon.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, get_type_hints

import msgspec
import structlog
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gossipfl.errors import LocalError
from gossipfl_nodes.control.web.problems import MEDIA_TYPE, Refusal, problem

ROOM = 64 << 10
"""Bytes of a body, if an operation doesn't say otherwise: orders are short."""
BODY_TIMEOUT = 30.0
"""Seconds for a body to come."""

log = structlog.get_logger("control")


class Operation(msgspec.Struct, frozen=True):
    """One method of one path. The first line of the function's docstring tells people what it is for."""

    method: str
    path: str
    function: Callable[..., Awaitable[Any]]
    room: int = ROOM
    """Bytes that a body may have."""
    media: tuple[str, ...] = ()
    """What the answer may be, where the function returns a Response."""

    @property
    def types(self) -> dict[str, Any]:
        """Of what the function takes and returns, by name; without what is None."""
        return {name: kind for name, kind in get_type_hints(self.function).items() if kind is not type(None)}

    @property
    def about(self) -> str:
        """What it is for."""
        return inspect.getdoc(self.function) or ""


def application(operations: Iterable[Operation]) -> Starlette:
    """The ASGI application of `operations`."""
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation
    return Starlette(
        routes=[Route(path, _endpoint(methods), methods=list(methods)) for path, methods in paths.items()],
        exception_handlers={HTTPException: _refuse},
    )


def _endpoint(methods: dict[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        operation = methods["GET" if request.method == "HEAD" else request.method]
        try:
            return await _answer(operation, request)
        except Refusal as refusal:
            return response(refusal.status, str(refusal), refusal.headers)
        except LocalError as error:
            return response(HTTPStatus.BAD_REQUEST, str(error))
        except ClientDisconnect:
            return Response()  # nobody reads it
        except Exception:
            log.exception("a request met a bug", method=operation.method, path=operation.path)
            return response(HTTPStatus.INTERNAL_SERVER_ERROR, "a bug of gossipfl; the daemon's log has more")

    return endpoint


async def _answer(operation: Operation, request: Request) -> Response:
    types, given = operation.types, {}
    if "query" in types:
        given["query"] = _checked(lambda: msgspec.convert(_single(request), types["query"], strict=False))
    if "request" in types:
        given["request"] = request
    body = await _body(request, operation.room)
    if "body" in types:
        given["body"] = _checked(lambda: msgspec.json.decode(body, type=types["body"]))
    answer = await operation.function(**given)
    if isinstance(answer, Response):
        return answer
    return Response(msgspec.json.encode(answer), media_type="application/json")


def response(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """The answer that tells of a problem."""
    return Response(problem(status, detail), status, headers, MEDIA_TYPE)


def _checked(decode: Callable[[], Any]) -> Any:
    try:
        return decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from None


def _single(request: Request) -> dict[str, str]:
    """The parameters in the URL, each of which may be there once."""
    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) < len(pairs):
        raise Refusal(HTTPStatus.BAD_REQUEST, "a parameter is there more than once")
    return dict(pairs)


async def _body(request: Request, room: int) -> bytes:
    """All of the body, if it is not too large; what is too large is not read."""
    too_large = Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {room} bytes")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced[:20]) > room:
        raise too_large
    body = bytearray()
    with trio.move_on_after(BODY_TIMEOUT):
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > room:
                    raise too_large
        return bytes(body)
    raise Refusal(HTTPStatus.REQUEST_TIMEOUT, f"no whole body in {BODY_TIMEOUT:g} s")


async def _refuse(request: Request, error: Exception) -> Response:
    """What the framework refuses: paths and methods that there are none of."""
    assert isinstance(error, HTTPException)
    detail = f"{request.method} {request.url.path}: {error.detail}"
    return response(error.status_code, detail, dict(error.headers or {}))
