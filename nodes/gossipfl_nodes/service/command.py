"""The command that has systemd run this device's daemon."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from pathlib import Path

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output.files import write_durably
from gossipfl.output.terminal import print_json
from gossipfl_nodes.commands import options
from gossipfl_nodes.disk.home import Home
from gossipfl_nodes.service import unit

EXAMPLES = """
sudo gossipfl service install
gossipfl service install --user
gossipfl service show --home /srv/gossipfl
"""
SYSTEM = Path("/etc/systemd/system")
"""Where units of the administrator are."""
STATE = Path("/var/lib/gossipfl")
"""What StateDirectory=gossipfl makes of it, outside of the service."""


def service(arguments: list[str]) -> int:
    """Have systemd run this device's daemon (service install), or show with which unit (service show)."""
    parser = options.parser("service", service.__doc__, EXAMPLES, json=True)
    parser.add_argument("what", choices=["install", "show"], help="install: write the unit; show: print it")
    parser.add_argument(
        "--user", action="store_true", help="for your own service manager rather than the system's; the home is that of"
        " your other commands",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="write over a unit that is there and another one")
    given = parser.parse_args(arguments)
    text = _text(given)
    if given.what == "show":
        if given.json:
            print_json({"unit": text})
        else:
            print(text, end="")
        return Exit.OK
    path = _folder(given) / unit.NAME
    if path.exists() and path.read_text(errors="replace") != text and not given.force:
        print(
            f"gossipfl service: {path}: there is another unit already; gossipfl service show prints what would replace"
            " it, --force does it",
            file=sys.stderr,
        )
        return Exit.CANNOT_CREATE
    _write(path, text)
    if not given.user and given.home is None and (closed := _closed(Path(sys.executable))) is not None:
        print(
            f"gossipfl service: {closed}: others can't enter it, so the service's user can't run {sys.executable};"
            " install gossipfl elsewhere, as below /opt, or have the home's owner run it with --home",
            file=sys.stderr,
        )
    following = _following(given)
    if given.json:
        print_json({"path": str(path), "next": following})
    else:
        print(f"unit    {path}\n")
        for word, line in zip(("next:", *["then:"] * len(following)), following, strict=False):
            print(f"{word} {line}")
    return Exit.OK


def _text(given: argparse.Namespace) -> str:
    if given.user:
        return unit.for_user(Home(given.home).path)
    if given.home is None:
        return unit.for_system(None, "")
    home = given.home.absolute()
    try:
        return unit.for_system(home, home.owner())
    except FileNotFoundError:
        raise LocalError(
            f"{home}: there is none; gossipfl init --home {given.home} makes it, as the user who shall run the daemon"
        ) from None
    except KeyError:
        raise LocalError(f"{home}: belongs to user {home.stat().st_uid}, who has no name; chown it") from None


def _closed(executable: Path) -> Path | None:
    """A folder on the way to `executable`, or to what it is a link to, that only its owner may enter."""
    folders = (*executable.absolute().parents, *executable.resolve().parents)
    return next((folder for folder in folders if not folder.stat().st_mode & stat.S_IXOTH), None)


def _folder(given: argparse.Namespace) -> Path:
    if not given.user:
        return SYSTEM
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(f"{path.parent}: can't be made: {error.strerror}") from error
    write_durably(path, text.encode())


def _following(given: argparse.Namespace) -> list[str]:
    """The commands that are still missing."""
    home = Home(given.home if given.user else given.home or STATE)
    made = home.key.exists()
    where = "" if given.user and given.home is None else f" --home {given.home or STATE}"
    commands = [] if made else [f"gossipfl init{where} (or gossipfl join TICKET{where})"]
    control = "systemctl --user" if given.user else "systemctl"
    commands.append(f"{control} daemon-reload && {control} enable --now gossipfl")
    if given.user:
        commands.append("loginctl enable-linger, so that it runs while you are not logged in")
    return commands
