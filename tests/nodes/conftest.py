"""Fixtures of the daemon's tests: homes and daemons that are gone afterwards, whatever happened."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.nodes.support import Daemon

# A shell lets background jobs ignore Ctrl-C, and their children inherit that; what is tested here must heed it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder whose path is short enough for a socket's."""
    with tempfile.TemporaryDirectory(prefix="gfl-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def make_daemon(home: Path) -> Iterator[Callable[..., Daemon]]:
    """Makes daemons, not yet started, with the given keys of the configuration."""
    with ExitStack() as stack:
        made: list[Daemon] = []

        def make(**keys: str) -> Daemon:
            daemon = Daemon(home / f"node-{len(made)}", **keys)
            made.append(daemon)
            stack.callback(daemon.kill)
            return daemon

        yield make
