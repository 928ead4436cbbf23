"""Commands that watch a running daemon: what happens to it, and what it logs."""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Iterable
from typing import Any

from gossipfl.cli import Exit
from gossipfl.output.terminal import shown
from gossipfl_nodes.commands import client, options
from gossipfl_nodes.disk.home import Home

EVENTS_EXAMPLES = """
gossipfl events -n 20
gossipfl events --json | jq 'select(.event == "partitioned")'
"""
LOGS_EXAMPLES = """
gossipfl logs -f
gossipfl logs -n 1000 --json | jq 'select(.level == "warning")'
"""
MOST = 1000
"""Lines that a daemon keeps."""


def events(arguments: list[str]) -> int:
    """Show what happens to this device's daemon, until Ctrl-C or its end."""
    parser = options.parser("events", events.__doc__, EVENTS_EXAMPLES, json=True)
    _last(parser, "events", 0)
    given = parser.parse_args(arguments)
    _print(client.follow(Home(given.home), f"/v1/events?last={given.last}"), json=given.json)
    return Exit.OK


def logs(arguments: list[str]) -> int:
    """Show the last lines that this device's daemon has logged, and those that come (-f)."""
    parser = options.parser("logs", logs.__doc__, LOGS_EXAMPLES, json=True)
    _last(parser, "lines", 100)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with those that come, until Ctrl-C")
    given = parser.parse_args(arguments)
    home, path = Home(given.home), f"/v1/logs?last={given.last}"
    _print(client.follow(home, f"{path}&follow=true") if given.follow else client.get(home, path), json=given.json)
    return Exit.OK


def _last(parser: argparse.ArgumentParser, what: str, usual: int) -> None:
    parser.add_argument(
        "-n", "--last", type=int, default=usual, choices=range(MOST + 1), metavar="N",
        help=f"begin with the last N {what}, at most {MOST} (default: {usual})",
    )  # fmt: skip


def _print(lines: Iterable[dict[str, Any]], *, json: bool) -> None:
    for line in lines:
        print(_dump(line) if json else _told(line), flush=True)


def _dump(line: dict[str, Any]) -> str:
    return json.dumps(line)


def _told(line: dict[str, Any]) -> str:
    """As a person reads it: time, level, what, and the rest."""
    line = dict(line)
    if "time" in line:
        when = dt.datetime.fromtimestamp(line.pop("time")).astimezone().strftime("%H:%M:%S")
    else:
        when = str(line.pop("timestamp", ""))
    head = [when, line.pop("level", ""), line.pop("event", "")]
    return "  ".join([*filter(None, head), *(f"{name}={shown(value)}" for name, value in line.items())])
