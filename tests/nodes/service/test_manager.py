"""What a service manager hears: from made environments over real sockets, and from a daemon's process."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from gossipfl_nodes.service.manager import Manager
from tests.nodes.support import GENEROUS, Daemon, gossipfl


@pytest.fixture
def heard(home: Path) -> Iterator[socket.socket]:
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(home / "notify"))
        bound.settimeout(GENEROUS)
        yield bound


def waiting(heard: socket.socket) -> list[bytes]:
    """All that was said and is not yet heard."""
    heard.setblocking(False)
    found = []
    try:
        while True:
            found.append(heard.recv(100))
    except BlockingIOError:
        return found
    finally:
        heard.settimeout(GENEROUS)


def test_a_state_is_one_datagram(heard: socket.socket) -> None:
    Manager({"NOTIFY_SOCKET": heard.getsockname()}).tell("READY=1")
    assert heard.recv(100) == b"READY=1"


def test_an_abstract_name_begins_with_an_at_sign() -> None:
    name = f"gossipfl-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(f"\0{name}")
        bound.settimeout(GENEROUS)
        Manager({"NOTIFY_SOCKET": f"@{name}"}).tell("STOPPING=1")
        assert bound.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("name", ["", "relative", "vsock:2:1234", "/nobody/listens/here", "@nobody-listens-here"])
def test_where_nobody_listens_nothing_happens(name: str) -> None:
    Manager({"NOTIFY_SOCKET": name}).tell("READY=1")


def test_a_full_queue_holds_nobody_up(heard: socket.socket) -> None:
    manager = Manager({"NOTIFY_SOCKET": heard.getsockname()})
    most = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    for _ in range(most + 10):
        manager.tell("WATCHDOG=1")
    assert 0 < len(waiting(heard)) <= most + 1


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getppid())}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "60000000", "NOTIFY_SOCKET": ""}, 0.0),
    ],
)
def test_the_watchdog_is_ours_if_the_environment_says_so(environment: dict[str, str], seconds: float) -> None:
    assert Manager({"NOTIFY_SOCKET": "@nobody"} | environment).timeout == seconds


def test_a_stuck_peer_starves_the_watchdog(heard: socket.socket) -> None:
    manager = Manager({"NOTIFY_SOCKET": heard.getsockname(), "WATCHDOG_USEC": "20000"})

    async def starve() -> None:
        steady = trio.Lock()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(manager.keep_told, steady)
            while b"WATCHDOG=1" not in waiting(heard):
                await trio.sleep(0.01)
            async with steady:
                waiting(heard)
                await trio.sleep(0.2)
                assert waiting(heard) == []
            while b"WATCHDOG=1" not in waiting(heard):
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

    trio.run(starve)


def test_a_daemon_tells_when_it_is_ready_that_it_is_well_and_that_it_stops(
    heard: socket.socket, make_daemon: Callable[..., Daemon]
) -> None:
    daemon = make_daemon(network__mdns="false")
    daemon.start(NOTIFY_SOCKET=heard.getsockname(), WATCHDOG_USEC="400000")
    assert heard.recv(100) == b"READY=1"
    assert gossipfl("status", "--home", daemon.home.path).returncode == 0  # the first time that it is asked
    assert [heard.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    assert daemon.stop() == 0
    assert [state for state in waiting(heard) if state != b"WATCHDOG=1"] == [b"STOPPING=1"]


def test_a_frozen_daemon_feeds_no_watchdog(heard: socket.socket, make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(network__mdns="false")
    daemon.start(NOTIFY_SOCKET=heard.getsockname(), WATCHDOG_USEC="200000")
    while heard.recv(100) != b"WATCHDOG=1":
        pass
    os.kill(daemon.pid, signal.SIGSTOP)
    waiting(heard)
    heard.settimeout(1.0)
    with pytest.raises(TimeoutError):
        heard.recv(100)


def test_the_home_of_a_service_is_its_state_directory(home: Path) -> None:
    made = gossipfl("init", "--json", STATE_DIRECTORY=f"{home / 'one'}:{home / 'two'}")
    assert made.returncode == 0
    assert (home / "one" / "identity.key").exists()
    assert not (home / "two").exists()
    gossipfl("init", "--home", home / "flag", GOSSIPFL_HOME=str(home / "variable"), STATE_DIRECTORY=str(home / "one"))
    gossipfl("init", GOSSIPFL_HOME=str(home / "variable"), STATE_DIRECTORY=str(home / "two"))
    assert {path.name for path in home.iterdir()} == {"one", "flag", "variable"}
