"""The device itself: its clock, disk, limits, files and interfaces. Looks, and changes nothing."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import time
from pathlib import Path

import psutil

from gossipfl.output.terminal import size
from gossipfl_nodes.doctor.findings import Finding, Patient
from gossipfl_nodes.network.limits import ALL

TOLERANCE = 3600.0
"""Seconds that the clock may be behind the last start, as after a change of the battery."""
LEAST_FREE = 64 << 20
"""Bytes on disk, beside what the next saves take."""
FILES = ALL + 192
"""File descriptors: all connections, both APIs', and what Python and the training process have open."""


def clock(patient: Patient) -> Finding:
    """Is the time of day plausible? Incarnations are made from it, and peers take older ones for old news."""
    made = Path(__file__).stat().st_mtime
    now = time.time()
    if now < made - TOLERANCE:
        return Finding("clock", "wrong", f"it is {_day(now)}, before this software was made", "set it; better, run NTP")
    last = max(_number(file) for file in (patient.home.path / "incarnation", patient.home.state / "incarnation"))
    if last > now + TOLERANCE:
        text = f"it is {_day(now)}, but the daemon was started on {_day(last)} already"
        return Finding("clock", "wrong", text, "set it; the daemon goes on counting from there until then")
    return Finding("clock", "ok", _day(now))


def keys(patient: Patient) -> Finding:
    """Is what makes this device itself there, and its user's alone?"""
    home = patient.home
    if not home.key.exists():
        return Finding("keys", "wrong", f"{home.key}: there is none", "gossipfl init")
    for path in (home.key, home.mesh_key, home.trust, home.token, home.state, home.socket.parent):
        if path.exists() and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
            fix = f"chmod {'700' if path.is_dir() else '600'} {path}"
            return Finding("keys", "wrong", f"{path}: mode {mode:04o} lets others in", fix)
        # Root may look at a service's home; then all of it has to belong to whoever the home does.
        if path.exists() and path.stat().st_uid != (owner := os.getuid() or home.path.stat().st_uid):
            fix = f"chown -R {owner} {home.path}, or run as that user"
            return Finding("keys", "wrong", f"{path}: belongs to user {path.stat().st_uid}", fix)
    return Finding("keys", "ok", f"{home.key} and what is beside it are this user's alone")


def disk(patient: Patient) -> Finding:
    """Can the state be saved?"""
    home = patient.home
    if patient.status is not None and patient.status["save_error"]:
        return Finding("disk", "wrong", patient.status["save_error"], "make room there, or mount it for writing")
    where = home.state if home.state.exists() else home.path if home.path.exists() else home.path.parent
    if not os.access(where, os.W_OK):
        return Finding("disk", "wrong", f"{where}: can't be written", "chown it, or mount it for writing; or --home")
    kept = max((file.stat().st_size for file in home.state.glob("[abn]*") if file.is_file()), default=0)
    free = shutil.disk_usage(where).free
    if free < 2 * kept + LEAST_FREE:
        text = f"{where}: {size(free)} are free, and a save takes {size(kept)}"
        return Finding("disk", "wrong", text, f"free {size(2 * kept + LEAST_FREE - free)}, or move the home")
    return Finding("disk", "ok", f"{size(free)} are free at {where}")


def files(_: Patient) -> Finding:
    """May the daemon have as many files open as it has connections?"""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit < FILES:
        fix = f"ulimit -n {FILES}, or LimitNOFILE={FILES} in the service"
        return Finding("file limit", "wrong", f"{limit} open files are allowed, {FILES} may be needed", fix)
    return Finding("file limit", "ok", f"{limit} open files are allowed")


def multicast(patient: Patient) -> Finding:
    """Can devices on this LAN find each other?"""
    if not patient.config.network.mdns:
        return Finding("multicast", "ok", "not used, as network.mdns = false")
    able = [
        name
        for name, stats in psutil.net_if_stats().items()
        if stats.isup and {"multicast", "up"} <= set(stats.flags.split(",")) and "loopback" not in stats.flags
    ]
    if not able:
        fix = "name a member in network.bootstrap; network.mdns = false silences this"
        return Finding("multicast", "hint", "no interface takes multicast, so nobody is found by mDNS", fix)
    return Finding("multicast", "ok", f"by {', '.join(able)}")


def _number(file: Path) -> int:
    try:
        return int(file.read_text().strip())
    except (OSError, ValueError):
        return 0


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
