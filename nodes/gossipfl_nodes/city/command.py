"""The commands `gossipfl city init` and `gossipfl city up`."""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output import inventory
from gossipfl.output.terminal import print_json, print_table, shown, size
from gossipfl_nodes.city import sensors
from gossipfl_nodes.commands import options
from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import Graph

INIT_EXAMPLES = """
gossipfl city init --sensors sensors.csv --graph roads.csv --data speeds.csv fleet
gossipfl city init --sensors sensors.csv --graph roads.csv --gateways town-hall,harbour fleet
gossipfl city init --sensors sensors.csv --graph roads.csv --gossip.topology k-out:k=2 fleet
"""
UP_EXAMPLES = """
gossipfl city up fleet --gossip.interval 1 --page
gossipfl city up fleet --gossip.interval 1 --seconds 60 --json
"""
MOST = 64
"""Daemons that one machine should be asked to run."""
LOOK_EVERY, TELL_EVERY = 0.5, 5.0


def init(arguments: list[str]) -> int:
    """Write a city's fleet: for each sensor the home of its device, all of one closed mesh along the roads."""
    parser = options.parser("city init", init.__doc__, INIT_EXAMPLES, home=False, keys=True, json=True)
    parser.add_argument("fleet", type=Path, metavar="DIR", help="a new folder for the fleet")
    parser.add_argument(
        "--sensors", type=Path, required=True, metavar="FILE", help="CSV with the columns id, and if known latitude,"
        " longitude, and address (HOST, HOST:PORT or a multiaddr)",
    )  # fmt: skip
    parser.add_argument(
        "--graph", type=Path, required=True, metavar="FILE", help="the roads between sensors: an adjacency matrix"
        " (.csv), .edges, .graphml or .json. Nodes without names are in the table's order, or the list's",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="CSV, time by sensor; each device gets its own column only"
    )
    parser.add_argument(
        "--gateways", default="", metavar="ID,…", help="sensors with mains power and a line: they link parts that no"
        " road joins, and may invite and ban devices",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    from gossipfl_nodes.city import fleet
    from gossipfl_topology.joining import join

    keys = options.absolute(options.flags(given))
    for path in keys:
        if path in fleet.OWN_KEYS:
            raise LocalError(f"--{path}: city init sets it for each device")
    listed = sensors.read(given.sensors)
    ids = [sensor.id for sensor in listed]
    gateways = _known(given.gateways, ids, given.sensors)
    notes: list[str] = []
    roads = _roads(given, ids, notes)
    chart = fleet.chart(roads, listed, gateways)
    joined = join(chart, [ids.index(gateway) for gateway in gateways])
    tables = dict(sensors.split(given.data, ids)) if given.data else {}
    made = fleet.write(given.fleet, fleet.Plan(listed, joined.graph, keys, tables))
    notes += joined.notes
    if not any(sensor.address for sensor in listed):
        notes.append("no sensor has an address: devices find each other on one LAN only")
    _tell(given, made, joined.graph, notes)
    return Exit.OK


def _known(text: str, ids: list[str], path: Path) -> list[str]:
    """The ids in a list with commas; raises LocalError."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    for gateway in found:
        if gateway not in ids:
            near = get_close_matches(gateway, ids, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it begins with {', '.join(ids[:5])}"
            raise LocalError(f"--gateways {gateway}: {path} has no such sensor{hint}")
    return found


def _roads(given: argparse.Namespace, ids: list[str], notes: list[str]) -> Graph:
    """The graph in the file, its nodes named as the sensors are."""
    from gossipfl_topology.files import load

    try:
        loaded = load(given.graph)
    except TopologyError as error:
        raise LocalError(str(error)) from error
    graph, n = loaded.graph, loaded.graph.n
    notes += [f"{given.graph}: {note}" for note in loaded.notes if "isolated" not in note]
    if graph.names is None and not set(ids) <= set(graph.labels):
        header = sensors.header(given.data) if given.data else []
        named = next((names for names in (header, ids) if len(names) == n), None)
        if named is None:
            rule = "allowed are names, or as many nodes as the table or the list has sensors, in its order"
            raise LocalError(f"{given.graph}: {n} nodes without names, and {given.sensors} has {len(ids)}: {rule}")
        graph = replace(graph, names=tuple(named))
    labels = set(graph.labels)
    if not labels & set(ids):
        raise LocalError(
            f"{given.graph}: none of its nodes is a sensor of {given.sensors}; it has {graph.labels[0]!r} …"
        )
    if missing := [sensor for sensor in ids if sensor not in labels]:
        notes.append(f"{len(missing)} sensors are not in {given.graph}, the first {missing[0]}")
    if left := len(labels - set(ids)):
        notes.append(f"{left} nodes of {given.graph} are not in {given.sensors}, and left out")
    return graph


def _tell(given: argparse.Namespace, made: inventory.Inventory, graph: Graph, notes: list[str]) -> None:
    path, count = given.fleet, len(made.devices)
    gateways = sum(entry.role == "gateway" for entry in made.devices)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(
        f"warning: {path} holds the private keys of {count} devices, and of the mesh. Copy each folder to its device,"
        f" delete it here, and keep {path / 'maker'} offline.", file=sys.stderr,
    )  # fmt: skip
    if given.json:
        print_json({
            "fleet": str(path), "devices": count, "gateways": gateways, "links": len(graph.edges), "notes": notes,
            "founder": made.founder, "topology": made.topology or "graph.json",
        })  # fmt: skip
        return
    print(f"fleet     {count} devices in {path / 'devices'}, {gateways} of them gateways")
    print(f"topology  {made.topology or f'the roads, {len(graph.edges)} links'}")
    print(f"founder   {made.founder}\n")
    if made.readings:
        print(f"next: gossipfl city rehearse {path} says what to expect")
    else:
        print(f"next: each device writes its readings to {inventory.READINGS} in its folder")
    print(f"then: gossipfl city up {path} runs it on this machine")
    print("then: copy each folder to its device, as /var/lib/gossipfl, and its gossipfl.service to /etc/systemd/system")


# --- up


def up(arguments: list[str]) -> int:
    """Run a fleet's daemons on this machine, over loopback, until Ctrl-C: to try it before it is deployed."""
    parser = options.parser("city up", up.__doc__, UP_EXAMPLES, home=False, keys=True, json=True)
    parser.add_argument("fleet", type=Path, metavar="DIR", help="as gossipfl city init wrote it")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long to run (default: until Ctrl-C)")
    parser.add_argument("--page", action="store_true", help="show the mesh in a browser while it runs; prints where")
    given = parser.parse_args(arguments)
    from gossipfl_nodes.demo.mesh import Daemons, Member, free_ports
    from gossipfl_nodes.disk.home import Home

    found = inventory.read(given.fleet)
    if len(found.devices) > MOST:
        raise LocalError(
            f"{given.fleet}: {len(found.devices)} devices; one machine runs up to {MOST}. For more, rehearse"
        )
    ports = free_ports(len(found.devices))
    addresses = [f"/ip4/127.0.0.1/tcp/{port}" for port in ports]
    first = f"{addresses[0]}/p2p/{found.devices[0].id}"
    keys = options.absolute(options.flags(given))
    members = []
    for number, (entry, address) in enumerate(zip(found.devices, addresses, strict=True)):
        own = {"network.listen": address, "network.announce": "", "network.bootstrap": first if number else ""}
        flags = [word for path, value in (own | keys).items() for word in (f"--{path}", value)]
        members.append(Member(Home(inventory.home_path(given.fleet, entry.sensor)), entry.id, flags))
    with Daemons(members) as daemons, contextlib.ExitStack() as stack:
        if given.page:
            from gossipfl_nodes.demo import page

            address = stack.enter_context(page.opened([member.home for member in members]))
            print(f"page: {address}", file=sys.stderr, flush=True)
        try:
            _watch(daemons, given.seconds)
        except KeyboardInterrupt:
            print(file=sys.stderr)
        daemons.observe()
        rows = [_row(entry, member) for entry, member in zip(found.devices, members, strict=True)]
    if given.json:
        print_json(rows)
    else:
        print_table(tuple(rows[0]), (
            tuple(size(value) if name == "sent" else shown(value) for name, value in row.items()) for row in rows
        ))  # fmt: skip
    return Exit.OK


def _watch(daemons: Any, seconds: float | None) -> None:
    """Say now and then how it goes."""
    tell = 0.0
    while seconds is None or daemons.elapsed < seconds:
        daemons.observe()
        if daemons.elapsed >= tell:
            tell = daemons.elapsed + TELL_EVERY
            learning = sum(member.status.get("state") == "learning" for member in daemons.members)
            known = [member.status["metrics"] for member in daemons.members if member.status.get("metrics")]
            means = {name: statistics.fmean(one[name] for one in known if name in one) for name in _judged(known)}
            told = ", ".join(f"{name} {shown(value)}" for name, value in means.items())
            print(
                f"{daemons.elapsed:5.0f} s  {learning} of {len(daemons.members)} learn  {told}",
                file=sys.stderr,
                flush=True,
            )
        time.sleep(LOOK_EVERY)


def _judged(metrics: list[dict[str, float]]) -> list[str]:
    """The errors at the shortest horizon, of what is served and of the device's own model."""
    return [name for name in (metrics[0] if metrics else {}) if "rmse" in name][:1] + [
        name for name in (metrics[0] if metrics else {}) if name.startswith("own_rmse")
    ]


def _row(entry: inventory.Entry, member: Any) -> dict[str, Any]:
    status = member.status
    metrics = status.get("metrics", {})
    return {
        "sensor": entry.sensor,
        "role": entry.role,
        "id": entry.id,
        "state": status.get("state", "starting"),
        "peers": status.get("peers", 0),
        "merges": status.get("merges", 0),
        "sent": status.get("bytes_sent", 0),
    } | {name: metrics.get(name) for name in _judged([metrics])}
