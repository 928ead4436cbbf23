"""An uplink: the line on which one device sends, one frame after another where its bandwidth is limited.

Keeps what waits. As on the daemon's links, a newer update takes the place of an older one for the same receiver.
Knows no clock: the world tells it when it may begin.
"""

from __future__ import annotations


class Uplink:
    """The uplink of one device; `line` counts how often it was hung up, and what was under way then is lost."""

    __slots__ = ("_waiting", "flushing", "line", "sending")

    def __init__(self) -> None:
        self._waiting: list[tuple[str, bytes, bool]] = []
        self.line = 0
        self.sending = False
        """Is a frame under way?"""
        self.flushing = False
        """Has its process stopped, and waits only until all has left?"""

    def put(self, receiver: str, body: bytes, *, supersedes: bool) -> None:
        """Let a frame wait; with `supersedes`, in the place of an earlier such frame: its turn stays its turn."""
        turn = next((i for i, one in enumerate(self._waiting) if supersedes and one[2] and one[0] == receiver), None)
        if turn is None:
            self._waiting.append((receiver, body, supersedes))
        else:
            self._waiting[turn] = (receiver, body, supersedes)

    def take(self) -> tuple[str, bytes] | None:
        """The frame whose turn it is, and its receiver: it is under way now."""
        self.sending = bool(self._waiting)
        return self._waiting.pop(0)[:2] if self.sending else None

    def hang_up(self) -> None:
        """Nothing of what waits or is under way will arrive."""
        self.line += 1
        self._waiting.clear()
        self.sending = self.flushing = False
