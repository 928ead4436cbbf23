"""A mesh on this machine: N homes, N daemons as processes of their own, meeting over libp2p on loopback.

Owns the processes: whatever happens, none is left behind. Knows their homes and control sockets; nothing of their
insides.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Container, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from gossipfl.errors import LocalError
from gossipfl.membership.charter import Charter
from gossipfl.output.files import write_durably
from gossipfl_nodes.commands import client
from gossipfl_nodes.daemon.config import template
from gossipfl_nodes.demo.gauges import children
from gossipfl_nodes.disk import trust
from gossipfl_nodes.disk.home import Home
from gossipfl_nodes.network import identity
from gossipfl_topology.wiring import Wiring

STOP_SECONDS = 10.0
COUNTERS = ("bytes_sent", "bytes_received", "merges", "steps")
MESH = "demo"
TAIL = 12
"""Lines of a dead daemon's log that are shown."""


class Member:
    """One device of the mesh."""

    def __init__(self, home: Home, peer: str, flags: Sequence[str] = ()) -> None:
        self.home = home
        self.flags = flags
        """Of its `gossipfl run`."""
        self.id = peer
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self.status: dict[str, Any] = {}
        """The last status that it gave, in this life or an earlier one."""
        self.before = dict.fromkeys(COUNTERS, 0)
        """Counters of earlier lives."""
        self.curve: list[tuple[float, float]] = []
        """Seconds since the start, and the accuracy of the served model."""

    @property
    def alive(self) -> bool:
        """Does its process run?"""
        return self.process is not None and self.process.poll() is None

    @property
    def accuracy(self) -> float | None:
        """Of the served model; None until it has been evaluated in this life."""
        metrics: dict[str, float] = self.status.get("metrics", {}) if self.alive else {}
        return metrics.get("accuracy")

    def total(self, counter: str) -> int:
        """A counter of the status, over all lives."""
        return self.before[counter] + int(self.status.get(counter, 0))


class Plan(Struct, frozen=True):
    """What kind of mesh."""

    wiring: Wiring
    task: str
    data: str
    seed: int
    gossip: dict[str, str]
    """Keys of [gossip], by their full names, and their values as text."""
    options: dict[str, Any] = {}
    """Of the task."""


class Daemons:
    """A context: entering starts the daemons of `members`, leaving ends them."""

    def __init__(self, members: Sequence[Member] = ()) -> None:
        self.members = list(members)
        self.started = time.monotonic()

    def __enter__(self) -> Self:
        try:
            for member in self.members:
                self.start(member)
        except BaseException:
            self._kill_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stop_all()
        finally:
            self._kill_all()

    @property
    def elapsed(self) -> float:
        """Seconds since the mesh was begun."""
        return time.monotonic() - self.started

    def start(self, member: Member) -> None:
        """Start the daemon of `member`."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GOSSIPFL_")}
        with open(member.home.path / "log", "ab") as log:
            member.process = subprocess.Popen(
                [sys.executable, "-m", "gossipfl", "run", "--home", str(member.home.path), *member.flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the demo, which ends its daemons gracefully
                preexec_fn=end_with_parent,  # noqa: PLW1509 - the demo has one thread
            )

    def kill(self, member: Member) -> None:
        """kill -9."""
        assert member.process is not None
        member.process.kill()
        member.process.wait()
        member.before = {counter: member.total(counter) for counter in COUNTERS}
        member.status = {}

    def restart(self, member: Member) -> None:
        """Start a killed daemon again, with what it has on disk."""
        member.restarts += 1
        self.start(member)

    def observe(self) -> None:
        """Take every daemon's status, and a point of its accuracy curve.

        Raises:
            LocalError: a daemon that should run has died; the message has the end of its log.
        """
        for index, member in enumerate(self.members):
            if not member.alive:
                if member.process is None or member.process.returncode == -signal.SIGKILL:
                    continue
                log = _tail(member.home.path / "log")
                raise LocalError(f"node {index} died with status {member.process.returncode}:\n{log}")
            with contextlib.suppress(LocalError):
                member.status = client.get(member.home, "/v1/status")
                accuracy = member.status["metrics"].get("accuracy")
                if accuracy is not None:
                    member.curve.append((self.elapsed, accuracy))

    def processes(self) -> list[int]:
        """Ids of the daemons and their training processes."""
        pids = [member.process.pid for member in self.members if member.process is not None and member.alive]
        return pids + [child for pid in pids for child in children(pid)]

    def _stop_all(self) -> None:
        for member in self.members:
            if member.alive:
                assert member.process is not None
                member.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while any(member.alive for member in self.members) and time.monotonic() < deadline:
            time.sleep(0.05)

    def _kill_all(self) -> None:
        for member in self.members:
            if member.process is not None:
                member.process.kill()
                member.process.wait()


class Mesh(Daemons):
    """Daemons whose homes are made, as `plan` says, before they start."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        super().__init__()
        self._folder = folder
        self._plan = plan

    def __enter__(self) -> Self:
        ports = free_ports(self._plan.wiring.nodes)
        self.members = [self._make_home(index) for index in range(len(ports))]
        topology = self._plan.wiring.topology
        if (drawn := self._plan.wiring.file([member.id for member in self.members])) is not None:
            topology = str(self._folder.absolute() / "graph.json")
            write_durably(Path(topology), drawn.encode())
        close([member.home for member in self.members], MESH)
        for index, port in enumerate(ports):
            self._configure(index, port, topology, bootstrap=self._address(0, ports) if index else "")
        return super().__enter__()

    def _make_home(self, index: int) -> Member:
        home = Home(self._folder / f"node-{index}")
        shutil.rmtree(home.state, ignore_errors=True)  # each demo begins untrained
        home.create()
        return Member(home, identity.id_of(home.key) if home.key.exists() else identity.create(home.key))

    def _configure(self, index: int, port: int, topology: str, bootstrap: str) -> None:
        plan = self._plan
        given = {
            "network.listen": f"/ip4/127.0.0.1/tcp/{port}",
            "network.bootstrap": bootstrap,
            "task.name": plan.task,
            "task.data": plan.data,
            "task.options": ",".join(f"{name}={value}" for name, value in plan.options.items()),
            "task.index": str(index),
            "task.count": str(plan.wiring.nodes),
            "task.seed": str(plan.seed),
            "gossip.mesh": MESH,
            "gossip.topology": topology,
            "gossip.role": plan.wiring.role(index),
            **plan.gossip,
        }
        write_durably(self.members[index].home.config, template(given).encode())

    def _address(self, index: int, ports: list[int]) -> str:
        return f"/ip4/127.0.0.1/tcp/{ports[index]}/p2p/{self.members[index].id}"


_libc = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel end this process when the demo is killed without a word."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def close(homes: list[Home], mesh: str, admins: Container[int] = ()) -> None:
    """Make one closed mesh of these homes, which have keys; the first one has founded it.

    It takes one who has all their keys in one place, as here. Devices of their own join by invitation.

    Args:
        homes: of all devices.
        mesh: its name.
        admins: the numbers of those that may admit and ban others.
    """
    first, *others = homes
    founder = identity.id_of(first.key)
    trust.found(first.trust, first.mesh_key, founder)
    members, secret = trust.Trust(first.trust, founder, mesh).members, trust.load_key(first.mesh_key)
    sign = identity.signer(identity.load(first.key))
    for number, home in enumerate(others, 1):
        credential = members.admit(identity.id_of(home.key), founder, sign, admin=number in admins)
        trust.settle(home.trust, home.mesh_key, Charter(founder, credential), secret)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that are free now; all are held while they are looked for, so none is given twice."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            held = stack.enter_context(socket.socket())
            held.bind(("127.0.0.1", 0))
            ports.append(int(held.getsockname()[1]))
        return ports


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL:])
    return "(no log)"
