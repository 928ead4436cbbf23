"""A ring: the last lines of something that goes on, numbered, for readers who come when they like.

Whoever adds never waits, and nothing is kept for a reader but what the ring has anyway: a reader remembers the number
that it has come to, asks for what is after it, and is told how many lines it missed. So a slow reader costs nothing.
Any thread may add and read. Knows neither what the lines say nor who reads them.
"""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice

LINES = 1000
"""A quarter of an hour of a node that publishes once a second."""
ROOM = 256 << 10
"""Bytes of them: next to nothing beside a daemon's 60 MB."""


class Ring:
    """At most so many `lines`, of at most `room` bytes together; the oldest make room."""

    def __init__(self, lines: int = LINES, room: int = ROOM) -> None:
        self._lines: deque[bytes] = deque()
        self._most, self._room = lines, room
        self._size = 0
        self._lock = threading.Lock()
        self.newest = 0
        """The number of the last line; the first one is 1."""

    def add(self, line: bytes) -> None:
        """Take in a line."""
        with self._lock:
            self._lines.append(line)
            self._size += len(line)
            self.newest += 1
            while len(self._lines) > self._most or self._size > self._room:
                self._size -= len(self._lines.popleft())

    def after(self, number: int, most: int = LINES) -> tuple[int, list[tuple[int, bytes]]]:
        """How many lines after number `number` are gone, and the first `most` of those that are there, numbered."""
        with self._lock:
            first = self.newest - len(self._lines) + 1
            start = max(number + 1, first)
            lines = list(islice(self._lines, start - first, start - first + most))
        return max(0, first - number - 1), list(enumerate(lines, start))
