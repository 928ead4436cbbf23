"""A LAN for tests: network namespaces, and a switch between them that delays, loses and cuts as it is told.

The switch is a thread of this process that carries Ethernet frames between TAP devices, so it needs no queueing
discipline of the kernel. Nothing has a name: namespaces and devices end with the processes that hold them, and what was
started `within` a place ends with this process, even if that is killed.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from itertools import permutations, product

import pytest
from msgspec import Struct

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
OURS = "/proc/thread-self/ns/net"
FRAME = 1 << 16
QUEUE = 0.5
"""Seconds of its uplink's rate that a place may have waiting; more is dropped, as a router does."""
AT_ONCE = 64
"""Frames that are taken from one place before the next has its turn."""

_libc = ctypes.CDLL(None, use_errno=True)


class Place(Struct, frozen=True):
    """A network namespace with an Ethernet device, eth0."""

    namespace: int
    """Its file."""
    tap: int
    """The other end of eth0."""
    address: str

    @property
    def within(self) -> tuple[str, ...]:
        """What runs a command there, until it or this process ends."""
        return ("setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/proc/{os.getpid()}/fd/{self.namespace}")

    def ip(self, command: str) -> None:
        """Run one command of iproute2 there."""
        subprocess.run([*self.within, "ip", *command.split()], check=True)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread makes meanwhile are there, and stay there."""
        ours = os.open(OURS, os.O_RDONLY)
        try:
            _check(_libc.setns(self.namespace, CLONE_NEWNET))
            yield
        finally:
            _check(_libc.setns(ours, CLONE_NEWNET))
            os.close(ours)


class Links(Struct):
    """What the switch does to each frame."""

    delay: float = 0.0
    """Seconds, one way."""
    loss: float = 0.0
    """Part of the frames that is lost."""
    rate: float = 0.0
    """Bits a second that a place can send; 0 is no limit."""


class Lan:
    """Places on one switch. `links` may be changed at any time."""

    def __init__(self, places: list[Place]) -> None:
        self.places = places
        self.links = Links()
        self._cut: frozenset[tuple[int, int]] = frozenset()
        self._free = [0.0] * len(places)
        """When the uplink of each place has sent what waits."""
        self._due: list[tuple[float, int, int, bytes]] = []
        """Frames on their way: when they arrive, a number, where, and what."""
        self._number = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="switch", daemon=True)
        self._thread.start()

    def split(self, *sides: Iterable[int]) -> None:
        """Nobody reaches who is on no side with it; somebody may be on several."""
        together = {pair for side in sides for pair in permutations(side, 2)}
        self._cut = frozenset(permutations(range(len(self.places)), 2)) - together

    def mute(self, senders: Iterable[int], receivers: Iterable[int]) -> None:
        """What `senders` send does not reach `receivers`; the other way all is well."""
        self._cut = frozenset(product(senders, receivers))

    def heal(self) -> None:
        """Everybody reaches everybody, over links without fault."""
        self._cut, self.links = frozenset(), Links()

    def close(self) -> None:
        """Stop the switch."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        taps = {place.tap: index for index, place in enumerate(self.places)}
        with select.epoll() as waiting:
            for tap in taps:
                waiting.register(tap, select.EPOLLIN)
            while not self._over.is_set():
                wait = min(max(self._due[0][0] - time.monotonic(), 0.0), 0.1) if self._due else 0.1
                for tap, _ in waiting.poll(wait):
                    self._take(tap, taps[tap])
                while self._due and self._due[0][0] <= time.monotonic():
                    _, _, receiver, frame = heapq.heappop(self._due)
                    with suppress(OSError):  # its queue is full, or it is down
                        os.write(self.places[receiver].tap, frame)

    def _take(self, tap: int, sender: int) -> None:
        with suppress(OSError):  # there are no more, or it is down
            for _ in range(AT_ONCE):
                frame = os.read(tap, FRAME)
                if frame[0] & 1:  # for many
                    receivers = [index for index in range(len(self.places)) if index != sender]
                else:
                    receivers = [frame[5] - 1] if frame[:5] == b"\2\0\0\0\0" else []
                for receiver in receivers:
                    self._pass(sender, receiver, frame)

    def _pass(self, sender: int, receiver: int, frame: bytes) -> None:
        links, leaves = self.links, time.monotonic()
        if (sender, receiver) in self._cut:
            return
        if links.rate:
            begins = max(leaves, self._free[sender])
            if begins - leaves > QUEUE:
                return
            leaves = self._free[sender] = begins + len(frame) * 8 / links.rate
        if random.random() >= links.loss:
            self._number += 1
            heapq.heappush(self._due, (leaves + links.delay, self._number, receiver, frame))


@cache
def why_not() -> str:
    """Why this machine can't have a LAN; nothing if it can."""
    for command in ("setpriv", "nsenter", "ip"):
        if shutil.which(command) is None:
            return f"needs {command}, of util-linux and iproute2"
    try:
        with place("10.77.0.1", 1):
            return ""
    except OSError as error:
        return f"needs network namespaces and /dev/net/tun, as root has them: {error.strerror}"


@contextmanager
def lan(count: int) -> Iterator[Lan]:
    """`count` places, 10.77.0.1 and so on. Skips the test where that can't be."""
    if reason := why_not():
        pytest.skip(reason)
    with ExitStack() as stack:
        places = [stack.enter_context(place(f"10.77.0.{number}", number)) for number in range(1, count + 1)]
        made = Lan(places)
        stack.callback(made.close)
        yield made


@contextmanager
def place(address: str, number: int) -> Iterator[Place]:
    """A network namespace whose eth0 has `address`, and a MAC address that ends with `number`."""
    with ExitStack() as stack:
        ours = _opened(stack, OURS, os.O_RDONLY)
        _check(_libc.unshare(CLONE_NEWNET))
        try:
            namespace = _opened(stack, OURS, os.O_RDONLY)
            tap = _opened(stack, "/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"eth0", IFF_TAP | IFF_NO_PI))
        finally:
            _check(_libc.setns(ours, CLONE_NEWNET))
        made = Place(namespace, tap, address)
        made.ip("link set lo up")
        made.ip(f"link set eth0 address 02:00:00:00:00:{number:02x}")
        made.ip(f"address add {address}/24 brd + dev eth0")
        made.ip("link set eth0 up")
        yield made


def _opened(stack: ExitStack, path: str, flags: int) -> int:
    file = os.open(path, flags)
    stack.callback(os.close, file)
    return file


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
