"""Two daemons that learn together, for the tests that look at running ones."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.support import Daemon


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Daemon, Daemon]]:
    """Two daemons with a link, both of which have merged. A test leaves them as it found them."""
    keys = {"gossip__interval": "0.2", "gossip__mesh": "operated", "network__mdns": "false", "task__count": "2"}
    with tempfile.TemporaryDirectory(prefix="gfl-", dir="/tmp") as folder:
        first = Daemon(Path(folder) / "a", task__index="0", **keys)
        try:
            first.start()
            second = Daemon(Path(folder) / "b", task__index="1", network__bootstrap=first.address(), **keys)
            try:
                second.start()
                for daemon in (first, second):
                    daemon.wait_until(lambda status: status["merges"] > 3 and status["metrics"], "they merge")
                yield first, second
                assert "a request met a bug" not in first.log() + second.log()
            finally:
                second.kill()
        finally:
            first.kill()
