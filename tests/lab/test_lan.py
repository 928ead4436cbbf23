"""The switch does to frames what it is told to, and leaves nothing behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.lan import Lan, Links, lan
from tests.nodes.support import runs, wait_for

PORT = 4000
PATIENCE = 0.3
"""Seconds until a datagram that should not come is not expected any more."""


class Stations:
    """A socket for datagrams at each place."""

    def __init__(self, net: Lan, stack: ExitStack) -> None:
        self._net = net
        self.sockets: list[socket.socket] = []
        for place in net.places:
            with place.entered():
                made = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            made.bind((place.address, PORT))
            made.settimeout(PATIENCE)
            self.sockets.append(made)

    def send(self, sender: int, receiver: int, data: bytes) -> None:
        self.sockets[sender].sendto(data, (self._net.places[receiver].address, PORT))

    def reaches(self, sender: int, receiver: int) -> bool:
        """Does a datagram come through?"""
        self.send(sender, receiver, b"hello")
        try:
            return self.sockets[receiver].recv(100) == b"hello"
        except TimeoutError:
            return False


def test_places_reach_each_other_but_for_what_is_cut() -> None:
    with lan(3) as net, ExitStack() as stack:
        at = Stations(net, stack)
        assert all(at.reaches(one, other) for one in range(3) for other in range(3))
        net.split([0, 1], [2])
        assert at.reaches(0, 1)
        assert not at.reaches(1, 2)
        assert not at.reaches(2, 0)
        net.split([0, 1], [1, 2])
        assert at.reaches(0, 1)
        assert at.reaches(2, 1)
        assert not at.reaches(0, 2)
        net.mute([0], [1, 2])
        assert not at.reaches(0, 1)
        assert at.reaches(1, 0)
        net.heal()
        assert at.reaches(0, 2)


def test_frames_are_late_and_few_and_slow_as_told() -> None:
    with lan(2) as net, ExitStack() as stack:
        at = Stations(net, stack)
        assert at.reaches(0, 1)
        net.links = Links(delay=0.1)
        begun = time.monotonic()
        assert at.reaches(0, 1)
        assert time.monotonic() - begun >= 0.1

        net.links = Links(loss=0.5)
        assert 20 < sum(_burst(at, 100, 10)) / 10 < 80

        net.links = Links(rate=1e6)
        begun = time.monotonic()
        sizes = _burst(at, 20, 1000)
        assert sum(sizes) == 20_000, "what waits for less than QUEUE is not dropped"
        assert time.monotonic() - begun - PATIENCE >= 0.15, "20 kB take 0.16 s"
        assert sum(_burst(at, 200, 1000)) < 150_000, "and what waits for longer is"


def _burst(at: Stations, count: int, size: int) -> list[int]:
    """Sizes of the datagrams that came of `count` of them."""
    for _ in range(count):
        at.send(0, 1, bytes(size))
    found = []
    while True:
        try:
            found.append(len(at.sockets[1].recv(2000)))
        except TimeoutError:
            return found


HOLDER = """
import subprocess, sys, time
from tests.lab.lan import lan
with lan(1) as net:
    daemon = subprocess.Popen([*net.places[0].within, "sleep", "1000"])
    print(daemon.pid, flush=True)
    daemon.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_a_test_is_killed(number: signal.Signals) -> None:
    with lan(1), subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        daemon = int(holder.stdout.readline())
        wait_for(lambda: _namespace(daemon) != _namespace(holder.pid), "it is in its namespace")
        holder.send_signal(number)
        wait_for(lambda: not runs(daemon), "it has ended")


def _namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())
