"""The command line's end of the control API: HTTP over the daemon's unix socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import Any

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl_nodes.disk.home import Home

TIMEOUT = 5.0


class NotRunning(LocalError):  # noqa: N818 - a state, as an exit status names it
    """No daemon answers in this home."""

    exit_status = Exit.NOT_RUNNING


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


def get(home: Home, path: str) -> Any:
    """The JSON that the daemon of `home` answers to GET `path`.

    Raises:
        NotRunning: no daemon answers.
        LocalError: it answers something else.
    """
    return json.loads(_ask(home, "GET", path))


def text(home: Home, path: str) -> str:
    """As `get`, for an answer that is text."""
    return _ask(home, "GET", path).decode()


def post(home: Home, path: str, body: Any = None) -> Any:
    """As `get`, with POST and `body` as JSON."""
    return json.loads(_ask(home, "POST", path, body))


def put(home: Home, path: str, body: Any) -> Any:
    """As `post`, with PUT."""
    return json.loads(_ask(home, "PUT", path, body))


def _ask(home: Home, method: str, path: str, body: Any = None) -> bytes:
    connection = _UnixConnection(str(home.socket))
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NotRunning(f"{home.path}: no daemon answers here ({error}); gossipfl run starts one") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        reason = f"{method} {path}: {response.status} {response.reason}"
        with contextlib.suppress(ValueError, TypeError, KeyError):
            reason = json.loads(answer)["detail"]
        raise LocalError(f"{home.socket}: {reason}")
    return answer
