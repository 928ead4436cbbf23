"""The home of a daemon on disk: key, configuration, incarnation, lock and control socket.

HOME/identity.key   the device's key, 0600
HOME/config.toml    what the user edits
HOME/incarnation    a number that grows at each start, so that peers tell this life from earlier ones
HOME/run/           0700: lock (names the daemon's process) and control.sock
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from gossipfl.errors import LocalError
from gossipfl.output.files import write_durably

MAX_SOCKET_PATH = 107
"""Bytes that Linux has for a socket's path."""


class Home:
    """Paths below one folder, and the little that is kept there."""

    def __init__(self, path: Path | None) -> None:
        given = path or Path(os.environ.get("GOSSIPFL_HOME") or platformdirs.user_data_dir("gossipfl"))
        self.path = given.absolute()
        self.key = self.path / "identity.key"
        self.config = self.path / "config.toml"
        self._run = self.path / "run"
        self._incarnation = self.path / "incarnation"

    def create(self) -> None:
        """Make the folders; what can command the daemon is for this user only.

        Raises:
            LocalError: they can't be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._run.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise LocalError(f"{self.path}: can't be made: {error.strerror}; choose another --home") from error

    @property
    def socket(self) -> Path:
        """Where the daemon answers.

        Raises:
            LocalError: the path is longer than a socket's may be.
        """
        path = self._run / "control.sock"
        if len(os.fsencode(path)) > MAX_SOCKET_PATH:
            raise LocalError(
                f"{path}: longer than {MAX_SOCKET_PATH} bytes, too long for a socket; choose a shorter --home"
            )
        return path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this home for one daemon.

        Raises:
            LocalError: another daemon has it; the message names its process.
        """
        self.create()
        with open(self._run / "lock", "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise LocalError(f"{self.path}: process {holder} runs a daemon here; gossipfl stop ends it") from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def next_incarnation(self, now: int) -> int:
        """A number larger than in any earlier life, on disk before it is returned.

        Args:
            now: seconds since 1970; keeps the number growing if the file was lost.

        Raises:
            LocalError: the file holds something else, or can't be written.
        """
        last = 0
        if self._incarnation.exists():
            text = self._incarnation.read_text(errors="replace").strip()
            if not re.fullmatch("[0-9]{1,15}", text):
                raise LocalError(f"{self._incarnation}: {text[:40]!r} is not a number; remove the file")
            last = int(text)
        incarnation = max(last + 1, now)
        write_durably(self._incarnation, f"{incarnation}\n".encode())
        return incarnation
