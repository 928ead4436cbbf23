"""HTTP/1.1 on a unix socket, many requests on a connection: what takes least between a client and a prediction.

A thread for each connection, of the standard library's server. The socket is in a folder for this user only, so what is
bounded here is accidents, not attacks: how many connections there are, how long one may idle, and how large a body is.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

from gossipfl.errors import LocalError
from gossipfl_nodes.control.web.problems import MEDIA_TYPE, Refusal, problem

CONNECTIONS = 32
"""Open at a time, each with a thread; one more is told to try again."""
IDLE = 60.0
"""Seconds that a connection may be silent."""

LINGER = 1.0
"""Seconds for a client that was refused to see it and to go."""

Answer = Callable[[bytes], bytes]
"""From the body of a request to that of its answer, both in JSON."""


def reply(status: HTTPStatus, body: bytes, media: str, *, close: bool) -> bytes:
    """An answer as it goes over the socket."""
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body if close else f"{head}\r\n".encode() + body


def turn_away(connection: socket.socket, detail: str) -> None:
    """Tell whoever is at the other end to try again later."""
    body = problem(HTTPStatus.SERVICE_UNAVAILABLE, detail)
    with connection:
        connection.sendall(reply(HTTPStatus.SERVICE_UNAVAILABLE, body, MEDIA_TYPE, close=True))


class Server(ThreadingMixIn, UnixStreamServer):
    """Answers at a socket that listens already.

    Args:
        listening: the socket.
        path: the only one that there is, as `/v1/predict`.
        room: bytes that a body may have.
        answer: what it does.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, path: str, room: int, answer: Answer) -> None:
        super().__init__("", _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.path, self.room, self.answer = path, room, answer
        self._free = threading.BoundedSemaphore(CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Have a thread for it, if one is free."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            turn_away(request, f"{CONNECTIONS} are asking already")

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As the base class has it."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong, unless it is that somebody has gone in the middle of it."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE
    server: Server

    def do_POST(self) -> None:
        try:
            body = self.server.answer(self._body())
        except Refusal as refusal:
            self._refuse(refusal.status, str(refusal))
        except LocalError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        else:
            self.wfile.write(reply(HTTPStatus.OK, body, "application/json", close=self.close_connection))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Refuse what the base class can't read, or has no method for."""
        self.close_connection = True
        self._refuse(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def _body(self) -> bytes:
        size = self.headers.get("Content-Length", "")
        if not (size.isascii() and size.isdecimal() and len(size) < 20):
            self.close_connection = True
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is needed")
        if int(size) > self.server.room:
            self.close_connection = True
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {self.server.room} bytes")
        body = self.rfile.read(int(size))
        if self.path != self.server.path:
            raise Refusal(HTTPStatus.NOT_FOUND, f"POST {self.path}: allowed is {self.server.path}")
        return body

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        self.wfile.write(reply(status, problem(status, detail), MEDIA_TYPE, close=self.close_connection))
        if self.close_connection:  # not before the client, which may be sending still, and would not see why
            self.connection.settimeout(LINGER)
            left = self.server.room
            with suppress(OSError):
                while left > 0 and (more := self.connection.recv(1 << 16)):
                    left -= len(more)

    def log_message(self, *_: Any) -> None:
        """Nothing: the answer tells."""
