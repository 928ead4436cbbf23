"""Commands that have a running daemon do something."""

from __future__ import annotations

import http.client
import sys

from gossipfl.cli import Exit
from gossipfl.output.terminal import duration, print_json, size
from gossipfl_nodes.commands import client, options
from gossipfl_nodes.daemon.config import LEVELS
from gossipfl_nodes.disk.home import Home

ORDER_EXAMPLES = """
gossipfl pause        before a backup, or while the device has other work
gossipfl resume
"""
PUBLISH_EXAMPLES = """
gossipfl publish --json
"""
PING_EXAMPLES = """
gossipfl ping GqoLVYL4
gossipfl ping /ip4/192.0.2.7/tcp/9444 -n 1
"""
LOG_LEVEL_EXAMPLES = """
gossipfl log-level debug
"""
PING_TIMEOUT = 60.0
"""Seconds: a peer may have a dozen addresses, each of which is given five."""


def pause(arguments: list[str]) -> int:
    """Let this device's training rest; it goes on publishing, merging and serving."""
    return _order("pause", pause.__doc__, arguments, "training rests once the phase that has begun is over")


def resume(arguments: list[str]) -> int:
    """Have this device train again."""
    return _order("resume", resume.__doc__, arguments, "training goes on with the next publish interval")


def _order(name: str, doc: str | None, arguments: list[str], done: str) -> int:
    given = options.parser(name, doc, ORDER_EXAMPLES, json=True).parse_args(arguments)
    answer = client.post(Home(given.home), f"/v1/{name}")
    if given.json:
        print_json(answer)
    else:
        print(done)
    return Exit.OK


def publish(arguments: list[str]) -> int:
    """Publish this device's model now, and say to how many."""
    given = options.parser("publish", publish.__doc__, PUBLISH_EXAMPLES, json=True).parse_args(arguments)
    answer = client.post(Home(given.home), "/v1/publish")
    if given.json:
        print_json(answer)
    elif answer["peers"]:
        version = answer["version"]
        print(f"{version['incarnation']}.{version['seq']} to {answer['peers']} peers, {size(answer['bytes'])}")
    else:
        print("to nobody: the device is alone or still joins, or its peers or its budget have enough for now")
    return Exit.OK if answer["peers"] else Exit.FAILED


def ping(arguments: list[str]) -> int:
    """Ask a peer, by its id or address, whether it is there, and how long that takes."""
    parser = options.parser("ping", ping.__doc__, PING_EXAMPLES, json=True)
    parser.add_argument("peer", help="an id, the end of one that gossipfl peers lists, or an address as /ip4/…/tcp/…")
    parser.add_argument("-n", "--count", type=int, default=3, metavar="N", help="how often to ask (default: 3)")
    given = parser.parse_args(arguments)
    answers, silent = [], ""
    for _ in range(given.count):
        try:
            answer = client.post(Home(given.home), "/v1/ping", {"peer": given.peer}, timeout=PING_TIMEOUT)
        except client.Refused as error:
            if error.status != http.client.GATEWAY_TIMEOUT:
                raise
            silent = str(error)
        else:
            answers.append(answer)
            if not given.json:
                how = "there and back" if answer["over"] == "link" else "to connect"
                print(f"{answer['peer']}  {duration(answer['seconds'])} {how}", flush=True)
    if given.json:
        print_json(answers)
    if silent:
        print(f"gossipfl ping: {silent}", file=sys.stderr)
    return Exit.OK if answers else Exit.FAILED


def log_level(arguments: list[str]) -> int:
    """Show the level of the daemon's log, or change it until the daemon is restarted."""
    parser = options.parser("log-level", log_level.__doc__, LOG_LEVEL_EXAMPLES, json=True)
    parser.add_argument("level", nargs="?", choices=LEVELS, help="the least level that is shown from now on")
    given = parser.parse_args(arguments)
    home = Home(given.home)
    if given.level is None:
        answer = client.get(home, "/v1/log-level")
    else:
        answer = client.put(home, "/v1/log-level", {"level": given.level})
    if given.json:
        print_json(answer)
    else:
        print(answer["level"])
    return Exit.OK
