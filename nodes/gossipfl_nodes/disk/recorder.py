"""The recorder: writes what this node's peer goes through to a file, for `gossipfl sim replay`.

What must be taken at once is taken at once, as bytes; a thread deflates and writes them, and holds nothing back, so a
killed daemon loses what was on its way in the last moment. Trouble with the file ends the recording, never the node.
The format is the core's (`gossipfl/protocol/recording/`). Whoever reads the file learns what this node has learnt.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec
import numpy as np
import structlog

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.protocol.events import Effect, Event, Stopping
from gossipfl.protocol.peer import Peer
from gossipfl.protocol.recording.records import Followed, Happened, Origin, Raw, Record, State, encode
from gossipfl.protocol.recording.stream import MAGIC, pack

STATE_EVERY = 64
"""Events between two hashes of the state: at a node's usual pace some ten seconds, and next to nothing per event."""
MAX_BEHIND = 64 << 20
"""Bytes that may wait for the disk, as many as a small device can spare; then the disk is too slow to go on."""
END_TIMEOUT = 3.0
"""Seconds for what is still to be written when the node stops; a disk that hangs must not keep it."""

log = structlog.get_logger("recorder")


class RecordingError(LocalError):
    """A recording can't be begun."""

    exit_status = Exit.CANNOT_CREATE


class Recorder:
    """A recording of the peer that was made from `origin`, in a new file at `path`, until the context ends.

    Call `before` and `after` around each `Peer.handle`, one at a time, from any thread.

    Raises:
        RecordingError: there is such a file already, or it can't be written.
        LocalError: a model or topology that can't be recorded.
    """

    def __init__(self, path: Path, origin: Origin) -> None:
        self._path = path
        made_with = {"gossipfl": version("gossipfl"), "numpy": np.__version__}
        begin = MAGIC + pack(encode(msgspec.structs.replace(origin, made_with=made_with)))
        self._file = _new_file(path, begin)
        self._events = 0
        self._last = False
        self._queue: queue.SimpleQueue[Raw | None] = queue.SimpleQueue()
        self._taken = self._written = 0
        """Bytes ever put into the queue, and taken out and written: each is counted by one thread only."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        log.info("recording", file=str(self._path), private="it holds what this node learns")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join(END_TIMEOUT)

    def before(self, event: Event, now: float) -> None:
        """`event` is about to be handled; it may change from here on."""
        self._last = isinstance(event, Stopping)
        self._take(Happened(now, event))

    def after(self, effects: list[Effect], peer: Peer) -> None:
        """The event has been handled by `peer`, and `effects` followed."""
        if self._over.is_set():
            return
        self._take(Followed.of(effects))
        if self._events % STATE_EVERY == 0 or self._last:
            self._take(State.of(peer))
        self._events += 1

    def _take(self, record: Record) -> None:
        """Put `record` on its way."""
        if self._over.is_set():
            return
        try:
            raw = encode(record)
        except LocalError as error:
            self._give_up(str(error))
            return
        if self._taken - self._written > MAX_BEHIND:
            self._give_up(f"the disk is {MAX_BEHIND >> 20} MiB behind")
            return
        self._taken += len(raw.body)
        self._queue.put(raw)

    def _write(self) -> None:
        try:
            with self._file as file:  # closes the file even if it can't be written
                while (raw := self._queue.get()) is not None:
                    file.write(pack(raw))
                    if self._queue.empty():
                        file.flush()
                    self._written += len(raw.body)
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def _give_up(self, reason: str) -> None:
        if not self._over.is_set():
            self._over.set()
            self._queue.put(None)
            log.warning("recording ends here", file=str(self._path), reason=reason)


def _new_file(path: Path, begin: bytes) -> BinaryIO:
    """A file for this user only that starts with `begin`; there is none if that fails."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise RecordingError(f"{path}: there is such a file; a recording is always a new one") from None
    except OSError as error:
        raise RecordingError(f"{path}: can't be made: {error.strerror}") from error
    file = open(descriptor, "wb")  # noqa: SIM115 - the caller's to close
    try:
        file.write(begin)
        file.flush()
    except OSError as error:
        with contextlib.suppress(OSError):
            file.close()
        os.unlink(path)
        raise RecordingError(f"{path}: can't be written: {error.strerror}") from error
    return file
