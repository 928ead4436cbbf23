"""Commands that look at a device and its daemon."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output.files import read_private
from gossipfl.output.terminal import ago, duration, print_json, print_table, shown, size
from gossipfl_nodes.commands import client, options
from gossipfl_nodes.daemon.config import KEYS, load
from gossipfl_nodes.disk.home import Home

STATUS_EXAMPLES = """
gossipfl status --json | jq .metrics.accuracy
"""
PEERS_EXAMPLES = """
gossipfl peers --json | jq -r '.[] | select(.live).id'
"""
MODEL_EXAMPLES = """
gossipfl model --json | jq -r .sha256
"""
METRICS_EXAMPLES = """
gossipfl metrics > /var/lib/node_exporter/gossipfl.prom
"""
PAGE_EXAMPLES = """
xdg-open "$(gossipfl page)"
"""
ID_EXAMPLES = """
gossipfl id | tail -n 1        an address for the others' network.bootstrap
"""
CONFIG_EXAMPLES = """
gossipfl config show --origin
gossipfl config show --json --gossip.interval 5
"""


def status(arguments: list[str]) -> int:
    """Show what this device's daemon is doing."""
    given = options.parser("status", status.__doc__, STATUS_EXAMPLES, json=True).parse_args(arguments)
    found = client.get(Home(given.home), "/v1/status")
    if given.json:
        print_json(found)
    else:
        width = max(map(len, found))
        for name, value in found.items():
            print(f"{name:{width}}  {ago(value) if name == 'saved_at' else shown(value)}")
        if found["save_error"]:
            print(f"gossipfl status: what is learnt can't be saved: {found['save_error']}", file=sys.stderr)
    return Exit.OK


def peers(arguments: list[str]) -> int:
    """List the peers that this device's daemon knows."""
    given = options.parser("peers", peers.__doc__, PEERS_EXAMPLES, json=True).parse_args(arguments)
    found = client.get(Home(given.home), "/v1/peers")
    if given.json:
        print_json(found)
        return Exit.OK
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "id": lambda row: row["id"],
        "live": lambda row: shown(row["live"]),
        "latency": lambda row: "–" if row["latency"] is None else duration(row["latency"]),
        "behind": lambda row: shown(row["staleness"]),
        "merges": lambda row: shown(row["merges"]),
        "last merge": lambda row: "–" if row["merged"] is None else f"{duration(row['merged'])} ago",
        "refused": lambda row: shown(row["refused"]),
        "strikes": lambda row: shown(row["strikes"]),
        "sent": lambda row: size(row["bytes_sent"]),
        "received": lambda row: size(row["bytes_received"]),
        "addresses": lambda row: shown(row["addresses"]),
    }
    print_table(list(columns), ([show(row) for show in columns.values()] for row in found))
    return Exit.OK


def model(arguments: list[str]) -> int:
    """Show the model that this device's daemon serves: its version, metrics, hash and tensors."""
    given = options.parser("model", model.__doc__, MODEL_EXAMPLES, json=True).parse_args(arguments)
    found = client.get(Home(given.home), "/v1/model")
    if given.json:
        print_json(found)
        return Exit.OK
    tensors, version = found.pop("tensors"), found.pop("version")
    rows = {"version": f"{version['incarnation']}.{version['seq']}", "age": shown(version["age"])}
    rows |= {name: shown(value) for name, value in found.items()}
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}  {value}")
    print()
    print_table(
        ("tensor", "shape", "stays here"),
        ((row["name"], "×".join(map(str, row["shape"])) or "1", shown(row["personal"])) for row in tensors),
    )
    return Exit.OK


def metrics(arguments: list[str]) -> int:
    """Print this device's metrics, as Prometheus reads them."""
    given = options.parser("metrics", metrics.__doc__, METRICS_EXAMPLES).parse_args(arguments)
    print(client.text(Home(given.home), "/v1/metrics"), end="")
    return Exit.OK


def page(arguments: list[str]) -> int:
    """Print where a browser shows this device; who has the address may also tell its daemon what to do."""
    given = options.parser("page", page.__doc__, PAGE_EXAMPLES, json=True).parse_args(arguments)
    home = Home(given.home)
    control = client.get(home, "/v1/status")["control"]
    if not control:
        allowed = "set it to a loopback address, as 127.0.0.1:9445, and restart the daemon"
        raise LocalError(f"{home.config}: control.listen = '': the daemon answers on its socket only; {allowed}")
    anew = "remove it and restart the daemon, which makes a new one"
    address = f"{control}/#{read_private(home.token, anew, anew).decode().strip()}"
    if given.json:
        print_json({"page": address})
    else:
        print(address)
    return Exit.OK


def id_(arguments: list[str]) -> int:
    """Print this device's id, and its addresses while the daemon runs."""
    given = options.parser("id", id_.__doc__, ID_EXAMPLES, json=True).parse_args(arguments)
    home = Home(given.home)
    try:
        running = client.get(home, "/v1/status")
        found = {"id": running["id"], "addresses": running["addresses"]}
    except client.NotRunning:
        from gossipfl_nodes.network import identity

        found = {"id": identity.id_of(home.key), "addresses": []}
    if given.json:
        print_json(found)
    else:
        print("\n".join([found["id"], *found["addresses"]]))
    return Exit.OK


def config(arguments: list[str]) -> int:
    """Show the configuration (config show), and where each value comes from (--origin)."""
    parser = options.parser("config", config.__doc__, CONFIG_EXAMPLES, keys=True, json=True)
    parser.add_argument("what", choices=["show"], help="show: print all values")
    parser.add_argument("--origin", action="store_true", help="say where each value comes from")
    given = parser.parse_args(arguments)
    loaded = load(Home(given.home).config, os.environ, options.flags(given))
    rows: dict[str, dict[str, Any]] = {}
    for path, key in KEYS.items():
        rows[path] = {"value": key.of(loaded.config), "origin": loaded.origins[path]}
    if given.json:
        print_json(rows if given.origin else {path: row["value"] for path, row in rows.items()})
        return Exit.OK
    width = max(map(len, rows))
    for path, row in rows.items():
        origin = f"  # {row['origin']}" if given.origin else ""
        print(f"{path:{width}} = {shown(row['value'])}{origin}")
    return Exit.OK
