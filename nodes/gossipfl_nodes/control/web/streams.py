"""Streams: the lines of a ring as server-sent events (WHATWG HTML, §9.2), for as long as somebody listens.

A stream keeps nothing but the number that it has come to. Who doesn't read in time is told how many lines it missed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from starlette.responses import Response

from gossipfl_nodes.observing.ring import Ring

MEDIA_TYPE = "text/event-stream"
LOOK_EVERY = 0.05
"""Seconds between two looks at the ring: any thread may add to it, and none is to wake readers. Half of what a daemon
takes to end at the least, so that readers hear of it."""
BATCH = 64
"""Lines sent at once."""
QUIET = 15.0
"""Seconds without a line until an empty one tells that the stream lives."""


class Stream(Response):
    """All lines of `ring` after number `since`, and all that come.

    Args:
        ring: where lines come from.
        since: the number of the last one that the client knows.
        life: names the ring, as numbers begin anew with each: an id is LIFE-NUMBER.
        count: called with 1 when it begins and with -1 when it has ended.
    """

    media_type = MEDIA_TYPE

    def __init__(self, ring: Ring, since: int, life: str, count: Callable[[int], None]) -> None:
        super().__init__(headers={"Cache-Control": "no-store"})
        self._ring, self._since, self._life, self._count = ring, since, life, count
        del self.headers["content-length"]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI has it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body"})
            return
        self._count(1)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell, send)
                while (await receive())["type"] != "http.disconnect":
                    pass
                nursery.cancel_scope.cancel()
        finally:
            self._count(-1)

    async def _tell(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        number, quiet = self._since, QUIET
        while True:
            missed, lines = self._ring.after(number, BATCH)
            body = b'data: {"event":"missed","lines":%d}\n\n' % missed if missed else b""
            for number, line in lines:
                body += b"id: %s-%d\ndata: %s\n\n" % (self._life.encode(), number, line)
            quiet = 0.0 if body else quiet + LOOK_EVERY
            if quiet >= QUIET:
                body, quiet = b":\n\n", 0.0
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
            if len(lines) < BATCH:
                await trio.sleep(LOOK_EVERY)


def since(ring: Ring, life: str, last_event_id: str | None, last: int) -> int:
    """The number of the last line that a client knows.

    Args:
        ring: what it reads.
        life: of the ring.
        last_event_id: the last id that it saw, if it did. All that there is comes after one of another life.
        last: otherwise, so many of the last lines are new to it.
    """
    if last_event_id is None:
        return max(0, ring.newest - last)
    name, _, number = last_event_id.rpartition("-")
    if name != life or not (number.isascii() and number.isdecimal() and len(number) <= len(str(ring.newest))):
        return 0
    return min(int(number), ring.newest)
