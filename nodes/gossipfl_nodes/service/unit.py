"""The unit that has systemd run a daemon: `gossipfl.service` beside this file, changed for one device.

The shipped text is for the system's service manager, a user of the daemon's own and the state directory that systemd
makes. Other homes, and a user's own service manager, need some lines to be others and some to be gone; a line goes
together with the comment above it. Reads the shipped file, and writes nothing.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from gossipfl.errors import LocalError

SHIPPED = Path(__file__).parent / "gossipfl.service"
NAME = SHIPPED.name

SYSTEM_ONLY = frozenset(
    (
        *("Wants", "After", "DynamicUser", "StateDirectory", "StateDirectoryMode"),
        *("ProtectSystem", "ProtectHome", "PrivateTmp", "ProtectProc", "ProtectControlGroups"),
        *("ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs"),
        *("CapabilityBoundingSet", "AmbientCapabilities"),
    )
)
"""What a user's own service manager may not do, or only where the kernel lets users make namespaces."""


def for_system(home: Path | None, owner: str) -> str:
    """The unit for the system's service manager.

    Args:
        home: the device's folder; None for the state directory that systemd makes.
        owner: whose that folder is; nobody's if there is none.

    Raises:
        LocalError: a path can't stand in a unit.
    """
    if home is None:
        return _changed({"ExecStart": _command(None)})
    theirs = f"# The home is this user's.\nUser={owner}\nReadWritePaths={quoted(home)}"
    return _changed(
        {"ExecStart": _command(home), "DynamicUser": theirs, "StateDirectory": None, "StateDirectoryMode": None}
    )


def for_user(home: Path) -> str:
    """The unit for a user's own service manager.

    Raises:
        LocalError: a path can't stand in a unit.
    """
    changes: dict[str, str | None] = dict.fromkeys(SYSTEM_ONLY)
    return _changed(changes | {"ExecStart": _command(home), "WantedBy": "WantedBy=default.target"})


def _command(home: Path | None) -> str:
    # By the very interpreter that runs this, so that it is the same gossipfl; -P: whatever lies in the working folder.
    words = [quoted(Path(sys.executable)), "-P", "-m", "gossipfl", "run"]
    if home is not None:
        words += ["--home", quoted(home)]
    return f"ExecStart={' '.join(words).replace('$', '$$')}"


def quoted(path: Path) -> str:
    """`path` as systemd.syntax(7) has it, so that nothing in it means anything.

    Raises:
        LocalError: it has control characters.
    """
    text = str(path)
    if not text.isprintable():
        raise LocalError(f"{text!r}: control characters can't stand in a unit; choose another path")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if re.fullmatch(r"[\w./+@-]+", text) else f'"{escaped}"'


def _changed(changes: dict[str, str | None]) -> str:
    """The shipped text with another line, or none, for each key in `changes`."""
    lines: list[str] = []
    comment: list[str] = []
    for line in SHIPPED.read_text().splitlines():
        key, is_setting, _ = line.partition("=")
        if line.startswith("#"):
            comment.append(line)
        elif is_setting and key in changes:
            if (change := changes[key]) is not None:
                lines += [*([] if "\n" in change else comment), change]
            comment = []
        else:
            lines += [*comment, line]
            comment = []
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"
