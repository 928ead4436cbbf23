"""Watching a daemon: its events and its log, from where a client was before, or from now on."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from gossipfl_nodes.control.answers import Level
from gossipfl_nodes.control.web.problems import Refusal
from gossipfl_nodes.control.web.streams import Stream, since
from gossipfl_nodes.observing.diary import Diary
from gossipfl_nodes.observing.logs import Logs
from gossipfl_nodes.observing.ring import LINES, Ring

STREAMS = 16
"""Open at a time; each is a connection."""

Last = Annotated[int, Meta(ge=0, le=LINES, description="So many of the last ones first.")]


class Events(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events."""

    last: Last = 0


class Lines(Struct, frozen=True, forbid_unknown_fields=True):
    """Which log lines."""

    last: Last = 100
    follow: Annotated[bool, Meta(description="Whether to go on with those that come, as server-sent events.")] = False


class Watch:
    """Gives readers what they ask for, and bounds how many there are."""

    def __init__(self, diary: Diary, logs: Logs) -> None:
        self._diary, self._logs = diary, logs
        self._streams = 0

    async def events(self, query: Events, request: Request) -> Response:
        """What happens, as server-sent events.

        With a Last-Event-ID header they go on after that one.
        """
        return self._follow(self._diary.ring, self._diary.life, request, query.last)

    async def logs(self, query: Lines, request: Request) -> Response:
        """The last log lines.

        A list; or with `follow`, those that come as well, as server-sent events.
        """
        ring = self._logs.ring
        if query.follow:
            return self._follow(ring, self._logs.life, request, query.last)
        _, lines = ring.after(ring.newest - query.last)
        return Response(b"[" + b",".join(line for _, line in lines) + b"]", media_type="application/json")

    async def level(self) -> Level:
        """The least level of log lines that are shown."""
        return msgspec.convert({"level": self._logs.level}, Level)

    def _follow(self, ring: Ring, life: str, request: Request, last: int) -> Response:
        if self._streams >= STREAMS:
            detail = f"{STREAMS} streams are open; close one first"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "10"})
        start = since(ring, life, request.headers.get("last-event-id"), last)
        return Stream(ring, start, life, self._count)

    def _count(self, change: int) -> None:
        self._streams += change
