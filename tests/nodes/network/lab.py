"""A LAN for tests: network namespaces on one bridge. They have no names, and end with the processes that hold them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from msgspec import Struct

from tests.nodes.support import end, wait_for

LONGEST = "300"
"""Seconds that a namespace lasts if nobody is left to end it."""


class Place(Struct, frozen=True):
    """A network namespace."""

    holder: int
    """A process in it."""

    @property
    def within(self) -> tuple[str, ...]:
        """What runs a command there."""
        return ("nsenter", f"--net=/proc/{self.holder}/ns/net")

    def ip(self, command: str) -> None:
        """Run one command of iproute2 there."""
        subprocess.run([*self.within, "ip", *command.split()], check=True)


def require_namespaces() -> None:
    """Skip a test where network namespaces can't be made."""
    for command in ("unshare", "nsenter", "ip"):
        if shutil.which(command) is None:
            pytest.skip(f"needs {command}, of util-linux and iproute2")
    if subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs to make network namespaces, as root may")


@contextmanager
def lan(count: int) -> Iterator[list[Place]]:
    """`count` places, 10.77.0.1 and so on, whose eth0 are on one bridge."""
    require_namespaces()
    with ExitStack() as stack:
        bridge, *places = [stack.enter_context(place()) for _ in range(count + 1)]
        bridge.ip("link add br0 type bridge")
        bridge.ip("link set br0 up")
        for number, one in enumerate(places, 1):
            bridge.ip(f"link add port{number} type veth peer name eth0 netns {one.holder}")
            bridge.ip(f"link set port{number} master br0 up")
            one.ip("link set lo up")
            one.ip(f"address add 10.77.0.{number}/24 brd + dev eth0")
            one.ip("link set eth0 up")
        yield places


@contextmanager
def place() -> Iterator[Place]:
    """A network namespace with nothing in it."""
    holder: subprocess.Popen[Any] = subprocess.Popen(["unshare", "--net", "sleep", LONGEST])
    try:
        ours = os.stat("/proc/self/ns/net").st_ino
        wait_for(lambda: os.stat(f"/proc/{holder.pid}/ns/net").st_ino != ours, "a namespace")
        yield Place(holder.pid)
    finally:
        end([holder])
