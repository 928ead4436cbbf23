"""Traces: what happened, in order, as a hash, and if asked for as a file that can be compared with another.

Each event is hashed by its time, machine, kind, and, for a frame, its header, which carries the checksum of the rest.
Hashing whole frames would cost as much as merging them.
"""

from __future__ import annotations

import hashlib
import struct
from itertools import zip_longest
from pathlib import Path
from typing import IO

from msgspec import Struct

from gossipfl.errors import LocalError
from gossipfl.protocol import events as ev
from gossipfl.wire import frames

KINDS = {
    kind: number
    for number, kind in enumerate(
        (
            ev.Started, ev.Connected, ev.Disconnected, ev.DialFailed, ev.Received, ev.Trained, ev.TrainingFailed,
            ev.TimerFired, ev.Rewired, ev.Stopping, ev.Found, ev.Readdressed, ev.Revoke,
        )
    )
}  # fmt: skip
_ENTRY = struct.Struct(f"<dIB{frames.OVERHEAD}s")
CHUNK = 1 << 16
"""Bytes hashed at a time: one call per event would cost more than the hash."""


class Trace:
    """The events so far.

    Args:
        file: where to write them as well, one line each.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._pending = bytearray()
        self.file = file
        self.events = 0

    def note(self, now: float, index: int, name: str, event: ev.Event) -> None:
        """`event` happens to machine number `index`, called `name`, at time `now`."""
        self.events += 1
        header = event.body[: frames.OVERHEAD] if type(event) is ev.Received else b""
        self._pending += _ENTRY.pack(now, index, KINDS[type(event)], header)
        if len(self._pending) > CHUNK:
            self._flush()
        if self.file is not None:
            self.file.write(f"{now!r} {name} {told(event)}\n")

    @property
    def digest(self) -> str:
        """The hash of all events so far, 32 hex digits."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        self._hash.update(self._pending)
        self._pending.clear()


def told(event: ev.Event) -> str:
    """`event` in a few words."""
    match event:
        case ev.Received(peer, body):
            return f"Received from {peer} {len(body)} bytes {body[: frames.OVERHEAD].hex()}"
        case ev.Connected(peer, _) | ev.Disconnected(peer) | ev.DialFailed(peer):
            return f"{type(event).__name__} {peer}"
        case ev.TimerFired(timer):
            return f"TimerFired {timer}"
        case ev.Trained(training, _, steps):
            return f"Trained {training} {steps} steps"
        case _:
            return type(event).__name__


class Divergence(Struct, frozen=True):
    """Where two traces part: the number of the first line that differs, from 1, and what each says there."""

    line: int
    one: str
    other: str


def compare(one: Path, other: Path) -> Divergence | None:
    """The first event in which two trace files differ; None if they are equal.

    Raises:
        LocalError: a file can't be read.
    """
    for path in (one, other):
        if not path.is_file():
            raise LocalError(f"{path}: there is no such trace; gossipfl sim run … --trace FILE writes one")
    with _opened(one) as first, _opened(other) as second:
        for number, (left, right) in enumerate(zip_longest(first, second, fillvalue="(the trace ends here)"), start=1):
            if left != right:
                return Divergence(number, left.rstrip("\n"), right.rstrip("\n"))
    return None


def _opened(path: Path) -> IO[str]:
    try:
        return path.open(encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise LocalError(f"{path}: can't be read: {error.strerror}") from error
