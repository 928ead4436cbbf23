"""What the kernel says: bytes over loopback, and memory of processes. None where it doesn't say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path


def loopback_bytes() -> int | None:
    """Bytes sent over this network namespace's loopback since it came up: everything, headers and acknowledgements too.

    Other programs' traffic counts as well; only in a namespace of one's own is it the mesh's alone.
    """
    try:
        lines = Path("/proc/self/net/dev").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split(":")[1].split()[8]) for line in lines if line.strip().startswith("lo:")), None)


def children(pid: int) -> list[int]:
    """The processes that `pid` started, from whichever of its threads."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, file.read_text().split())
    return found


def proportional_memory(pids: Iterable[int]) -> int | None:
    """Proportional set size of the processes together, in bytes: memory that they share counts once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except PermissionError:
                return None
            total += next(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss:"))
    return total or None
