"""Access over TCP, where every user of the device, and every page in a browser on it, can knock.

Two checks before anything else: the request must name this host, as a page that was led here by a DNS answer that
changed ("rebinding") names its own; and it must bring the token, which only this device's user can read, unless it only
looks at what is free to read. The unix socket needs neither.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Container
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from gossipfl.errors import LocalError
from gossipfl.output.files import read_private, write_durably
from gossipfl_nodes.control.web.operations import response
from gossipfl_nodes.daemon.config import loopback

TOKEN_BYTES = 32
OUR_SITES = {b"same-origin", b"none"}
"""Of Sec-Fetch-Site, by which a browser says whose page asks (W3C Fetch Metadata, 2021): this port's, or a person."""


def listening(text: str) -> socket.socket:
    """A socket that is bound to `text`, see `loopback`.

    Raises:
        LocalError: it can't be.
    """
    host, port = loopback(text)
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise LocalError(
            f"control.listen = {text!r}: can't listen there: {error.strerror}; is the port taken?"
        ) from None
    return bound


class Port(NamedTuple):
    """A port of this device, and who may ask there."""

    bound: socket.socket
    token: str
    """What it takes to be answered."""
    free: Container[str]
    """Paths that anybody may read."""

    @property
    def number(self) -> int:
        """Of TCP."""
        return int(self.bound.getsockname()[1])

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        host = self.bound.getsockname()[0]
        return f"http://[{host}]:{self.number}" if ":" in host else f"http://{host}:{self.number}"


def token_in(path: Path) -> str:
    """The token in the file `path`, which is made if there is none.

    Raises:
        LocalError: others may read it, or there is none in it.
    """
    if not path.exists():
        write_durably(path, f"{secrets.token_urlsafe(TOKEN_BYTES)}\n".encode(), mode=0o600)
    anew = "remove it, and a new one is made"
    token = read_private(path, anew, anew).decode(errors="replace").strip()
    if len(token) < TOKEN_BYTES or not (token.isascii() and token.isprintable()):
        raise LocalError(f"{path}: not a token; {anew}")
    return token


class Guard:
    """The ASGI application `app`, for who may ask at `port`."""

    def __init__(self, app: Any, port: Port) -> None:
        self._app, self._port, self._free = app, port.number, port.free
        self._bearer = f"Bearer {port.token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI has it."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
        elif not self._is_ours(headers.get(b"host", [])):
            detail = f"Host: allowed is localhost, or a loopback address, with port {self._port}"
            await response(HTTPStatus.MISDIRECTED_REQUEST, detail)(scope, receive, send)
        elif not (self._is_free(scope, headers) or self._has_token(headers)):
            detail = "Authorization: Bearer TOKEN is needed; the token is in control.token in the daemon's home"
            await response(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _has_token(self, headers: dict[bytes, list[bytes]]) -> bool:
        return any(secrets.compare_digest(value, self._bearer) for value in headers.get(b"authorization", []))

    def _is_free(self, scope: Any, headers: dict[bytes, list[bytes]]) -> bool:
        """May anybody on this device ask for that? Others' pages may not; but a person may follow a link from there."""
        ours = set(headers.get(b"sec-fetch-site", [])) <= OUR_SITES or headers.get(b"sec-fetch-dest") == [b"document"]
        return scope["path"] in self._free and scope["method"] in ("GET", "HEAD") and ours

    def _is_ours(self, hosts: list[bytes]) -> bool:
        if len(hosts) != 1:
            return False
        name, _, port = hosts[0].decode("latin-1").rpartition(":")
        try:
            return port == str(self._port) and (
                name.lower() == "localhost" or loopback(f"{name}:{port}")[1] == self._port
            )
        except ValueError:
            return False
