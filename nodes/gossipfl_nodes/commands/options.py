"""What the commands' options have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gossipfl_nodes.daemon.config import KEYS, anchored


def parser(
    command: str, doc: str | None, examples: str = "", *, home: bool = True, keys: bool = False, json: bool = False
) -> argparse.ArgumentParser:
    """A parser with --home, --json and a flag for each key of the configuration, each if asked for.

    Args:
        command: its name.
        doc: what it is for.
        examples: lines that show how it is called, told of at the end of the help.
        home: is it about one device?
        keys: a flag for each key?
        json: a flag for JSON?
    """
    shown = "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
    made = argparse.ArgumentParser(
        f"gossipfl {command}", description=doc, epilog=f"examples:\n{shown}" if shown else None, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    if home:
        made.add_argument(
            "--home", type=Path, default=None, metavar="DIR", help="this device's folder (default: $GOSSIPFL_HOME, or"
            " what systemd made for the service, or below the user's data folder)",
        )  # fmt: skip
    if json:
        made.add_argument("--json", action="store_true", help="print JSON")
    if keys:
        group = made.add_argument_group("configuration, over config.toml and the environment")
        for path, key in KEYS.items():
            text = f"{key.description} Default: {_shown(key.default)}. Environment: {key.variable}."
            group.add_argument(f"--{path}", metavar="VALUE", help=text.replace("%", "%%"))
    return made


def flags(given: argparse.Namespace) -> dict[str, str]:
    """The keys of the configuration that were given."""
    return {path: getattr(given, path) for path in KEYS if getattr(given, path) is not None}


def absolute(flags: dict[str, str]) -> dict[str, str]:
    """`flags` with the user's files by their full paths, since the daemon may run elsewhere."""
    return {path: anchored(path, value, Path()) for path, value in flags.items()}


def _shown(value: Any) -> str:
    return ",".join(value) or "none" if isinstance(value, tuple | dict) else str(value) or "none"


def first(group: BaseException) -> BaseException:
    """What ended a nursery, without the groups that nurseries put around it."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
