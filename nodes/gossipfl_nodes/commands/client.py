"""The command line's end of the control API: HTTP over the daemon's unix socket."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl_nodes.control.web.unix import UnixConnection
from gossipfl_nodes.disk.home import Home

TIMEOUT = 5.0
"""Seconds for an answer, or for more of it."""
STREAM_TIMEOUT = 40.0
"""As well, where a daemon that has nothing to tell says so every 15 s."""


class NotRunning(LocalError):  # noqa: N818 - a state, as an exit status names it
    """No daemon answers in this home."""

    exit_status = Exit.NOT_RUNNING


class Refused(LocalError):  # noqa: N818 - as above
    """The daemon does not do what it was asked for."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status
        self.exit_status = Exit.TRY_AGAIN if status == http.client.SERVICE_UNAVAILABLE else Exit.FAILED


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


def post(home: Home, path: str, body: Any = None, *, timeout: float = TIMEOUT) -> Any:
    """As `get`, with POST and `body` as JSON, for an answer within `timeout` seconds."""
    return json.loads(_ask(home, "POST", path, body, timeout=timeout))


def put(home: Home, path: str, body: Any) -> Any:
    """As `post`, with PUT."""
    return json.loads(_ask(home, "PUT", path, body))


def follow(home: Home, path: str) -> Iterator[Any]:
    """The lines of the stream at `path`, as long as the daemon runs.

    Raises:
        NotRunning, LocalError: as `get`.
    """
    with asked(home, "GET", path, timeout=STREAM_TIMEOUT) as response:
        for line in response:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


def _ask(home: Home, method: str, path: str, body: Any = None, *, timeout: float = TIMEOUT) -> bytes:
    with asked(home, method, path, body, timeout=timeout) as response:
        return response.read()


@contextlib.contextmanager
def asked(
    home: Home, method: str, path: str, body: Any = None, *, timeout: float = TIMEOUT
) -> Iterator[http.client.HTTPResponse]:
    """The answer, still to be read; raises as `get`."""
    connection = UnixConnection(str(home.socket), timeout)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        if response.status != http.client.OK:
            reason = f"{method} {path}: {response.status} {response.reason}"
            with contextlib.suppress(ValueError, TypeError, KeyError):
                reason = json.loads(response.read())["detail"]
            raise Refused(f"{home.socket}: {reason}", response.status)
        yield response
    except (OSError, http.client.HTTPException) as error:
        raise NotRunning(f"{home.path}: no daemon answers here ({error}); gossipfl run starts one") from error
    finally:
        connection.close()
