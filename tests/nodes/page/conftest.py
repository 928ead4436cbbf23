"""A browser, and a mesh of eight daemons with its page."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser

from gossipfl_nodes.demo.page import opened
from tests.nodes.page.browsing import Tab, browsing
from tests.nodes.support import Daemon

NODES = 8


class Watched(NamedTuple):
    """Daemons, the first of which can be read by all of this machine over TCP, the second with its token only."""

    daemons: list[Daemon]
    url: str
    """Of the page that shows all of them."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests."""
    with browsing() as found:
        yield found


@pytest.fixture(scope="session")
def mesh(browser: Browser) -> Iterator[Watched]:
    """Eight daemons that learn together; a test leaves them as it found them."""
    assert browser
    keys = {"task__count": str(NODES), "gossip__mesh": "shown", "gossip__interval": "0.5", "network__mdns": "false"}
    with tempfile.TemporaryDirectory(prefix="gfl-", dir="/tmp") as folder, ExitStack() as stack:
        daemons: list[Daemon] = []
        for index in range(NODES):
            more = {"network__bootstrap": daemons[0].address()} if daemons else {"control__readable": "true"}
            if index < 2:
                more["control__listen"] = "127.0.0.1:0"
            daemon = Daemon(Path(folder) / str(index), task__index=str(index), **keys, **more)
            stack.callback(daemon.kill)
            daemon.start()
            daemons.append(daemon)
        for daemon in daemons:
            daemon.wait_until(lambda status: status, "it answers")
        yield Watched(daemons, stack.enter_context(opened([daemon.home for daemon in daemons])))


@pytest.fixture
def tab(browser: Browser) -> Iterator[Callable[..., Tab]]:
    """Opens tabs, which have not complained in the end."""
    tabs: list[Tab] = []

    def make(url: str, **context: Any) -> Tab:
        tabs.append(Tab(browser, url, **context))
        return tabs[-1]

    yield make
    for one in tabs:
        one.close()
    assert [one.complaints for one in tabs] == [[] for _ in tabs]
