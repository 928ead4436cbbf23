"""Commands that have a running daemon do something."""

from __future__ import annotations

from gossipfl.cli import Exit
from gossipfl.output.terminal import print_json, size
from gossipfl_nodes.commands import client, options
from gossipfl_nodes.daemon.config import LEVELS
from gossipfl_nodes.disk.home import Home


def pause(arguments: list[str]) -> int:
    """Let this device's training rest; it goes on publishing, merging and serving."""
    return _order("pause", pause.__doc__, arguments, "training rests once the phase that has begun is over")


def resume(arguments: list[str]) -> int:
    """Have this device train again."""
    return _order("resume", resume.__doc__, arguments, "training goes on with the next publish interval")


def _order(name: str, doc: str | None, arguments: list[str], done: str) -> int:
    given = options.parser(name, doc, json=True).parse_args(arguments)
    answer = client.post(Home(given.home), f"/v1/{name}")
    if given.json:
        print_json(answer)
    else:
        print(done)
    return Exit.OK


def publish(arguments: list[str]) -> int:
    """Publish this device's model now, and say to how many."""
    given = options.parser("publish", publish.__doc__, json=True).parse_args(arguments)
    answer = client.post(Home(given.home), "/v1/publish")
    if given.json:
        print_json(answer)
    elif answer["peers"]:
        version = answer["version"]
        print(f"{version['incarnation']}.{version['seq']} to {answer['peers']} peers, {size(answer['bytes'])}")
    else:
        print("to nobody: the device is alone or still joins, or its peers or its budget have enough for now")
    return Exit.OK if answer["peers"] else Exit.FAILED


def log_level(arguments: list[str]) -> int:
    """Show the level of the daemon's log, or change it until the daemon is restarted."""
    parser = options.parser("log-level", log_level.__doc__, json=True)
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
