"""Access over TCP, where every user of the device, and every page in a browser on it, can knock.

Two checks before anything else: the request must name this host, as a page that was led here by a DNS answer that
changed ("rebinding") names its own; and it must bring the token, which only this device's user can read. The unix
socket needs neither.
"""

from __future__ import annotations

import secrets
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Any

from gossipfl.errors import LocalError
from gossipfl.output.files import read_private, write_durably
from gossipfl_nodes.control.web.operations import response
from gossipfl_nodes.daemon.config import loopback

TOKEN_BYTES = 32


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
    """The ASGI application `app`, for whoever brings `token` to `port`."""

    def __init__(self, app: Any, token: str, port: int) -> None:
        self._app, self._port = app, port
        self._bearer = f"Bearer {token}".encode()

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
        elif not any(secrets.compare_digest(value, self._bearer) for value in headers.get(b"authorization", [])):
            detail = "Authorization: Bearer TOKEN is needed; the token is in control.token in the daemon's home"
            await response(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
        else:
            await self._app(scope, receive, send)

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
