"""What the tests of the daemon share: commands and daemons as real processes, and waiting for what must come true."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from gossipfl.errors import LocalError
from gossipfl.membership.charter import Charter
from gossipfl.output.files import write_durably
from gossipfl.protocol.settings import Settings
from gossipfl_nodes.commands import client
from gossipfl_nodes.daemon.config import template
from gossipfl_nodes.demo.gauges import children
from gossipfl_nodes.disk import trust
from gossipfl_nodes.disk.home import Home
from gossipfl_nodes.network import identity
from tests.gossipfl.builders import Device

GENEROUS = 40.0
"""Seconds until something that takes three is given up: other work shares this machine."""
LOOPBACK = "/ip4/127.0.0.1/tcp/0"

T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = GENEROUS) -> T:
    """What `condition` returns as soon as that is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def clean_environment(**more: str) -> dict[str, str]:
    """This process' environment, without what configures a daemon, tells of its service, or colours its output."""
    others = ("GOSSIPFL_", "PYTEST_", "NOTIFY_", "WATCHDOG_", "STATE_DIRECTORY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**kept, "NO_COLOR": "1", **more}


def gossipfl(*arguments: str | Path, seconds: float = GENEROUS, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gossipfl", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        env=clean_environment(**environment),
    )


def runs(pid: int) -> bool:
    """Is there a process `pid` that is not a zombie?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def mesh_key(mesh: str) -> bytes:
    """Of a mesh of the tests."""
    return sha256(mesh.encode()).digest()


class Daemon:
    """One device: a home, and the process of its daemon. All are of one closed mesh, if nothing else is said."""

    def __init__(self, folder: Path, **keys: str) -> None:
        """Keys of the configuration, with __ for the dot."""
        self.home = Home(folder)
        self.home.create()
        self.id = identity.create(self.home.key)
        given = {"network.listen": LOOPBACK} | {key.replace("__", "."): value for key, value in keys.items()}
        write_durably(self.home.config, template(given).encode())
        if given.get("network.open") != "true":
            founder = Device(1, mesh=given.get("gossip.mesh", Settings().mesh))
            trust.settle(
                self.home.trust, self.home.mesh_key, Charter(founder.id, founder.admit(self.id)), mesh_key(founder.mesh)
            )
        self.process: subprocess.Popen[bytes] | None = None
        self.within: tuple[str, ...] = ()
        """A command that runs the daemon's, as in another network namespace."""

    def start(self, *flags: str, **environment: str) -> None:
        """Start the daemon and return at once."""
        with open(self.home.path / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*self.within, sys.executable, "-m", "gossipfl", "run", "--home", str(self.home.path), *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(**environment),
            )

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self.process is not None
        return self.process.pid

    def status(self) -> dict[str, Any]:
        """What it says of itself; empty while it doesn't answer."""
        assert self.process is not None
        assert self.process.poll() is None, f"the daemon died:\n{self.log()}"
        with contextlib.suppress(LocalError):
            found: dict[str, Any] = client.get(self.home, "/v1/status")
            return found
        return {}

    def peers(self) -> dict[str, dict[str, Any]]:
        """What it says of its peers, by id."""
        return {row["id"]: row for row in client.get(self.home, "/v1/peers")}

    def wait_until(
        self, condition: Callable[[dict[str, Any]], object], what: str, seconds: float = GENEROUS
    ) -> dict[str, Any]:
        """Its status, as soon as that meets `condition`."""

        def look() -> dict[str, Any] | None:
            status = self.status()
            return status if status and condition(status) else None

        return wait_for(look, what, seconds)

    def address(self) -> str:
        """Where it listens, with its id."""
        addresses: list[str] = self.wait_until(lambda status: bool(status["addresses"]), "an address")["addresses"]
        return addresses[0]

    def log(self) -> str:
        """All that it has said."""
        with contextlib.suppress(FileNotFoundError):
            return (self.home.path / "log").read_text(errors="replace")
        return ""

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log that tell of `name`."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def workers(self) -> list[int]:
        """Its training processes."""
        return children(self.pid)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(GENEROUS)


def settle(daemon: Daemon) -> None:
    """Pause its training, and wait until the model that it serves has come to rest."""
    client.post(daemon.home, "/v1/pause")

    def rests() -> bool:
        before = client.get(daemon.home, "/v1/model")["sha256"]
        time.sleep(0.5)  # ten intervals of 0.05 s
        return bool(client.get(daemon.home, "/v1/model")["sha256"] == before)

    wait_for(rests, "the average has come to rest")


def end(processes: Sequence[subprocess.Popen[Any]]) -> None:
    """Kill what still runs of the processes that a test has started, and close their pipes."""
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
