"""Fifty strangers flood a daemon that exchanges with honest peers: what it costs the honest, and the daemon.

Quiet and flood take turns in one run, so their ratio is fair on a noisy machine. The strangers have a core of their own
or, where there is only one, the lowest priority: what counts is what they make the daemon do, not that they compute as
well. Each has an address of its own on loopback. tests/nodes/network/flood/strangers.py tells what they do.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from gossipfl_nodes.demo.gauges import children
from tests.nodes.network.flood.strangers import KINDS
from tests.nodes.network.hosts import free_port
from tests.nodes.support import Daemon, clean_environment, end, mesh_key, wait_for

STRANGERS = 50
HONEST = 3
ROUNDS, SECONDS = 3, 10.0
MESH = "flooded"
CORES = sorted(os.sched_getaffinity(0))
NICE = () if len(CORES) > 1 else ("nice", "-n", "19")
SETTLE = 30.0
"""Seconds that the daemon has to close what the flood left open: deadlines are 10 s."""


class Figures(Struct, frozen=True):
    """What came of a flood."""

    quiet: float
    flood: float
    """Honest updates merged a second, by the victim and of it."""
    quiet_cpu: float
    flood_cpu: float
    """The victim's share of a core."""
    grown: int
    """Bytes of the victim's RSS, from before the flood to the most while it lasted."""
    files: tuple[int, int]
    """File descriptors of the victim before and after."""
    done: dict[str, int]
    """What the strangers did."""

    @property
    def kept(self) -> float:
        """Of the honest rate."""
        return self.flood / self.quiet


def main() -> None:
    print("flood        honest merges/s     kept  victim's CPU     RSS      files")
    print("             quiet    flood             quiet   flood")
    for name, kinds in [(kind, [kind]) for kind in KINDS] + [("all", list(KINDS))]:
        found = measure(kinds, ROUNDS, SECONDS)
        print(
            f"{name:10}  {found.quiet:6.1f}   {found.flood:6.1f}    {found.kept:6.0%}   {found.quiet_cpu:6.0%}  "
            f"{found.flood_cpu:6.0%}  {found.grown / 2**20:+5.1f} MiB  {found.files[0]} → {found.files[1]}",
            flush=True,
        )


def measure(kinds: Sequence[str], rounds: int, seconds: float) -> Figures:
    """A mesh that is quiet and flooded in turn, `rounds` times for `seconds` each."""
    with mesh() as (victim, honest), ExitStack() as stack:
        groups = [stack.enter_context(strangers(kind, group, victim)) for kind, group in _deal(kinds)]
        files, rss = _files(victim.pid), _rss(victim.pid)
        rates: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        grown, done = 0, dict[str, int]()
        for flooded in [False, True] * rounds:
            if flooded:
                for group in groups:
                    assert group.stdin is not None
                    group.stdin.write(f"{seconds}\n")
                    group.stdin.flush()
            else:
                rss = _rss(victim.pid)
            before, cpu, begun = _merges(victim, honest), _cpu(victim.pid), time.monotonic()
            while time.monotonic() < begun + seconds:
                time.sleep(0.1)
                if flooded:
                    grown = max(grown, _rss(victim.pid) - rss)
            took = time.monotonic() - begun
            rates[flooded].append(((_merges(victim, honest) - before) / took, (_cpu(victim.pid) - cpu) / took))
            for group in groups if flooded else []:
                assert group.stdout is not None
                for what, count in json.loads(group.stdout.readline()).items():
                    done[what] = done.get(what, 0) + count
        wait_for(lambda: _files(victim.pid) <= files, "files are closed", SETTLE)
        (quiet, quiet_cpu), (flood, flood_cpu) = (
            tuple(statistics.mean(column) for column in zip(*rates[flooded], strict=True)) for flooded in (False, True)
        )
        return Figures(quiet, flood, quiet_cpu, flood_cpu, grown, (files, _files(victim.pid)), done)


@contextmanager
def mesh() -> Iterator[tuple[Daemon, list[Daemon]]]:
    """A victim and its honest peers, all learning, on the first of our cores."""
    daemons: list[Daemon] = []
    with tempfile.TemporaryDirectory(prefix="gfl-", dir="/tmp") as folder:
        try:
            port = free_port()
            for index in range(1 + HONEST):
                daemon = Daemon(
                    Path(folder) / str(index), gossip__interval="0.5", gossip__mesh=MESH,
                    task__index=str(index), task__count=str(1 + HONEST),
                    network__listen=f"/ip4/127.0.0.1/tcp/{port if index == 0 else 0}",
                    network__bootstrap=f"/ip4/127.0.0.1/tcp/{port}/p2p/{daemons[0].id}" if index else "",
                )  # fmt: skip
                daemons.append(daemon)
                daemon.start()
                os.sched_setaffinity(daemon.pid, CORES[:1])
            for daemon in daemons:
                daemon.wait_until(lambda status: status["merges"] > 5 and status["peers"] == HONEST, "the mesh")
            yield daemons[0], daemons[1:]
        finally:
            for daemon in daemons:
                daemon.kill()


@contextmanager
def strangers(kind: str, places: list[str], victim: Daemon) -> Iterator[subprocess.Popen[str]]:
    """A process of strangers that waits for a line with how many seconds it shall flood `victim`."""
    given = {
        "kind": kind, "peer": victim.id, "places": places, "port": int(victim.address().split("/")[4]),
        "secret": mesh_key(MESH).hex(),
    }  # fmt: skip
    process = subprocess.Popen(
        [*NICE, sys.executable, "-m", "tests.nodes.network.flood.strangers", json.dumps(given)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    try:
        os.sched_setaffinity(process.pid, CORES[-1:])
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        end([process])


def _deal(kinds: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Each kind with the places of its strangers."""
    places = [f"127.1.{number // 200}.{number % 200 + 1}" for number in range(STRANGERS)]
    return [(kind, places[index :: len(kinds)]) for index, kind in enumerate(kinds)]


def _merges(victim: Daemon, honest: list[Daemon]) -> int:
    """Updates that the victim merged of the honest, and they of it."""
    ours = victim.peers()
    return sum(ours[one.id]["merges"] + one.peers()[victim.id]["merges"] for one in honest)


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _cpu(pid: int) -> float:
    """Seconds of the process itself, without its training process."""
    fields: list[Any] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert children(pid), "it trains"
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
