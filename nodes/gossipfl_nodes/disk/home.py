"""The home of a daemon on disk: key, configuration, incarnation, saved state, lock and control socket.

HOME/identity.key   the device's key, 0600
HOME/config.toml    what the user edits
HOME/mesh.key       the key that all devices of the mesh share, 0600, and
HOME/trust.json     who is of it (see `trust`)
HOME/control.token  who may command the daemon over TCP, 0600; only if it listens there
HOME/incarnation    a number that grows at each start, so that peers tell this life from earlier ones
HOME/state/         0700: what the peer must remember (see `store`), and the incarnation once more
HOME/run/           0700: lock (names the daemon's process), control.sock and predict.sock
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
        # Of a service: the first of the folders that its unit names, by systemd.exec(5).
        service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        given = path or Path(os.environ.get("GOSSIPFL_HOME") or service or platformdirs.user_data_dir("gossipfl"))
        self.path = given.absolute()
        self.key = self.path / "identity.key"
        self.config = self.path / "config.toml"
        self.mesh_key = self.path / "mesh.key"
        self.trust = self.path / "trust.json"
        self.token = self.path / "control.token"
        self.state = self.path / "state"
        self._run = self.path / "run"
        self._incarnations = (self.path / "incarnation", self.state / "incarnation")

    def create(self) -> None:
        """Make the folders; what can command the daemon is for this user only.

        Raises:
            LocalError: they can't be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for private in (self.state, self._run):
                private.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise LocalError(f"{self.path}: can't be made: {error.strerror}; choose another --home") from error

    @property
    def socket(self) -> Path:
        """Where the daemon answers.

        Raises:
            LocalError: the path is longer than a socket's may be.
        """
        return self._socket("control.sock")

    @property
    def predictions(self) -> Path:
        """Where predictions are answered; raises as `socket`."""
        return self._socket("predict.sock")

    def _socket(self, name: str) -> Path:
        path = self._run / name
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

    def next_incarnation(self, now: int, seen: int = 0) -> int:
        """A number larger than in any earlier life, on disk twice before it is returned.

        Args:
            now: seconds since 1970; keeps the number growing if all that is on disk was lost.
            seen: that of an earlier life, if it is known from elsewhere.

        Raises:
            LocalError: no file holds a number, and one holds something else; or they can't be written.
        """
        self.create()
        found = {file: _number(file) for file in self._incarnations}
        wrong = [file for file, number in found.items() if number is None]
        last = max(seen, *(number or 0 for number in found.values()))
        if wrong and not last:
            raise LocalError(f"{wrong[0]}: {wrong[0].read_bytes()[:40]!r} is not a number; remove the file")
        incarnation = max(last + 1, now)
        for file in self._incarnations:
            write_durably(file, f"{incarnation}\n".encode())
        return incarnation


def _number(file: Path) -> int | None:
    """What is in a file: 0 if there is none, None if it is not a number."""
    try:
        text = file.read_text(errors="replace").strip()
    except FileNotFoundError:
        return 0
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else None
