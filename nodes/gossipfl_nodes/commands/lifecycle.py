"""Commands that make, run and end a daemon."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from pathlib import Path

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output.terminal import print_json
from gossipfl_nodes.commands import client, options
from gossipfl_nodes.disk.home import Home

INIT_EXAMPLES = """
gossipfl init
gossipfl init --profile sensor
gossipfl init --task.name /path/to/cnn.py:digits_cnn --network.bootstrap /ip4/192.0.2.7/tcp/9444
"""
RUN_EXAMPLES = """
gossipfl run
gossipfl run --gossip.interval 5 --log.level debug
"""
STOP_EXAMPLES = """
gossipfl stop --home /srv/gossipfl
"""


def init(arguments: list[str]) -> int:
    """Make this device's home: its key, its configuration, and a mesh of its own, which others can join."""
    parser = options.parser("init", init.__doc__, INIT_EXAMPLES, keys=True, json=True)
    given = parser.parse_args(arguments)
    from gossipfl.output.files import write_durably
    from gossipfl_nodes.daemon.config import load, template
    from gossipfl_nodes.disk import trust
    from gossipfl_nodes.network import identity

    home = Home(given.home)
    text = template(options.absolute(options.flags(given)))
    founds = not load(home.config, os.environ, options.absolute(options.flags(given))).config.network.open
    if home.config.exists() and (home.trust.exists() or not founds):
        print(f"gossipfl init: {home.config}: there is a configuration already; edit it", file=sys.stderr)
        return Exit.CANNOT_CREATE
    home.create()
    peer = identity.id_of(home.key) if home.key.exists() else identity.create(home.key)
    if not home.config.exists():
        write_durably(home.config, text.encode())
    if founds and not home.trust.exists():
        trust.found(home.trust, home.mesh_key, peer)
    if given.json:
        print_json({"id": peer, "home": str(home.path), "config": str(home.config), "key": str(home.key)})
    else:
        where = "" if given.home is None else f" --home {given.home}"
        print(f"id      {peer}\nconfig  {home.config}\nkey     {home.key} (this device's identity; keep it)\n")
        print(f"next: gossipfl run{where}")
        if founds:
            print(f"then: gossipfl invite{where} makes a ticket, with which another device joins this mesh")
    return Exit.OK


def run(arguments: list[str]) -> int:
    """Run this device's daemon until it is stopped."""
    parser = options.parser("run", run.__doc__, RUN_EXAMPLES, keys=True)
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="write all that this node's peer goes through to a new file, for"
        " gossipfl sim replay. Private: it holds the model and every training delta, from which its reader can"
        " reconstruct what this node learnt, and may infer data. It grows as long as the node runs.",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    home = Home(given.home)
    if not home.key.exists():
        if not sys.stdin.isatty():
            print(f"gossipfl run: {home.path}: no device here yet; gossipfl init makes one", file=sys.stderr)
            return Exit.NOT_READY
        init([] if given.home is None else ["--home", str(given.home)])
    from gossipfl_nodes.daemon.config import load

    loaded = load(home.config, os.environ, options.absolute(options.flags(given)))
    # Until the daemon heeds signals itself: an interrupt raised in the middle of an import can get lost there.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # What the imports make lives for ever; looking through it for garbage took a tenth of the start-up.
    gc.disable()
    import trio

    from gossipfl_nodes.network import lean  # noqa: F401 - before all that imports what it leaves out

    from gossipfl_nodes.daemon import daemon  # isort: skip
    from gossipfl_nodes.observing.logs import Logs  # isort: skip

    gc.freeze()
    gc.enable()
    try:
        trio.run(daemon.run, home, loaded, Logs(loaded.config.log.level), given.record)
    except ExceptionGroup as group:
        # Nurseries wrap what ended them; the user's part of it is the message.
        local, rest = group.split(LocalError)
        if local is None or rest is not None:
            raise
        raise options.first(local) from None
    return Exit.OK


def stop(arguments: list[str]) -> int:
    """Stop this device's daemon, gracefully."""
    parser = options.parser("stop", stop.__doc__, STOP_EXAMPLES, json=True)
    given = parser.parse_args(arguments)
    home = Home(given.home)
    pid = client.get(home, "/v1/status")["pid"]
    client.post(home, "/v1/stop")
    deadline = time.monotonic() + 15
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    stopped = not _alive(pid)
    if given.json:
        print_json({"stopped": stopped, "pid": pid})
    elif not stopped:
        print(f"gossipfl stop: process {pid} still runs; kill -9 {pid} ends it", file=sys.stderr)
    return Exit.OK if stopped else Exit.FAILED


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
