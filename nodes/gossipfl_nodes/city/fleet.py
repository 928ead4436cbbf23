"""A fleet on disk: for each device of a city a home that is ready to be copied to it.

FLEET/inventory.json, .csv   who is who (see `gossipfl.output.inventory`)
FLEET/graph.json             who is linked with whom
FLEET/maker/                 the key that founded the mesh: it made the gateways admins, and only it can unmake them
FLEET/devices/SENSOR/        identity.key, mesh.key, trust.json, config.toml, gossipfl.service; its neighbours.json,
                             where the mesh is the road graph, and its readings.csv, where there is a table

All of it is for its maker's eyes: 0700. Knows how homes are made; reads no file of the city's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from gossipfl.errors import LocalError
from gossipfl.output import inventory
from gossipfl.output.files import write_durably
from gossipfl.output.inventory import Entry, Inventory
from gossipfl_nodes.city.sensors import Sensor
from gossipfl_nodes.daemon.config import load, template
from gossipfl_nodes.demo.mesh import close
from gossipfl_nodes.disk.home import Home
from gossipfl_nodes.network import identity
from gossipfl_nodes.service import unit
from gossipfl_topology.files import dumps
from gossipfl_topology.graph import Graph

TASK = "sensors"
NEIGHBOURS = "neighbours.json"
INTERVAL = 600
"""Seconds between two publishes: readings come every five minutes, and a radio's bytes are dear."""
BEGIN = 16
"""Addresses that a device begins from at the most; peers tell each other about the rest."""
OWN_KEYS = (
    *("network.listen", "network.announce", "network.bootstrap", "task.name", "task.data", "task.index", "task.count"),
    "gossip.role",
)
"""Keys that differ from device to device, or make it a fleet of sensors."""


class Plan(Struct, frozen=True):
    """What kind of fleet."""

    sensors: list[Sensor]
    graph: Graph
    """Connected; node i is sensor i, with its name and role."""
    keys: Mapping[str, str]
    """Of the configuration, for all devices."""
    tables: Mapping[str, str]
    """Each sensor's readings; empty where there are none yet."""

    @property
    def mesh(self) -> str:
        """The mesh's name."""
        return self.keys.get("gossip.mesh", "city")

    @property
    def topology(self) -> str:
        """As the user named it; nothing for the graph."""
        return self.keys.get("gossip.topology", "")


def write(fleet: Path, plan: Plan) -> Inventory:
    """Write the fleet into the new folder `fleet`.

    Raises:
        LocalError: it is there already and not empty, a key or value is wrong, or it can't be written.
    """
    template(_device_config(plan, 0, [""] * plan.graph.n))  # is it a configuration?
    try:
        fleet.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(fleet.iterdir()):
            raise LocalError(f"{fleet}: not empty; allowed is a new folder: keys are never overwritten")
        fleet.chmod(0o700)
        (fleet / "devices").mkdir()
    except OSError as error:
        raise LocalError(f"{fleet}: can't be made: {error.strerror}") from error
    maker = Home(fleet / "maker")
    homes = [Home(inventory.home_path(fleet, sensor.id)) for sensor in plan.sensors]
    for home in (maker, *homes):
        home.create()
        home.path.chmod(0o700)
    founder = identity.create(maker.key)
    ids = [identity.create(home.key) for home in homes]
    assert plan.graph.roles is not None
    gateways = {number for number, role in enumerate(plan.graph.roles) if role == "gateway"}
    close([maker, *homes], plan.mesh, admins={1 + number for number in gateways})
    for number, home in enumerate(homes):
        _fill(home, plan, number, ids)
    write_durably(inventory.graph_path(fleet), dumps(plan.graph).encode())
    settings = load(homes[min(set(range(len(homes))) - gateways, default=0)].config, {}, {}).config
    gossip = msgspec.to_builtins(settings.gossip)
    made = Inventory(
        inventory.FORMAT, founder, settings.task.name, settings.task.options,
        {key: value for key, value in gossip.items() if key not in ("mesh", "topology", "role")},
        plan.topology, bool(plan.tables),
        tuple(
            Entry(sensor.id, peer, role, sensor.address, sensor.latitude, sensor.longitude)
            for sensor, peer, role in zip(plan.sensors, ids, plan.graph.roles, strict=True)
        ),
    )  # fmt: skip
    inventory.write(fleet, made)
    return made


def _fill(home: Home, plan: Plan, number: int, ids: list[str]) -> None:
    """Write what a home has beside its keys."""
    write_durably(home.config, template(_device_config(plan, number, ids)).encode())
    write_durably(home.path / unit.NAME, unit.SHIPPED.read_bytes())
    if not plan.topology:
        near = _neighbours(plan.graph, number)
        star = np.array([(0, k) for k in range(1, len(near) + 1)], dtype=np.int64).reshape(-1, 2)
        names = tuple(ids[node] for node in (number, *near))
        write_durably(home.path / NEIGHBOURS, dumps(Graph(len(names), star, names=names)).encode())
    if plan.tables:
        write_durably(home.path / inventory.READINGS, plan.tables[plan.sensors[number].id].encode(), mode=0o600)


def _device_config(plan: Plan, number: int, ids: list[str]) -> dict[str, str]:
    """The keys that are set in a device's config.toml."""
    assert plan.graph.roles is not None
    role, address = plan.graph.roles[number], plan.sensors[number].address
    first = [] if plan.topology else _neighbours(plan.graph, number)
    gateways = [node for node, other in enumerate(plan.graph.roles) if other == "gateway"]
    known = [
        f"{plan.sensors[node].address}/p2p/{ids[node]}"
        for node in dict.fromkeys((*first, *gateways, *range(plan.graph.n)))
        if node != number and plan.sensors[node].address
    ]
    begin = known[: min(BEGIN, max(3, len(first)))]
    given: dict[str, Any] = {
        "profile": "gateway" if role == "gateway" else "sensor",
        **_listening(address),
        "network.bootstrap": ",".join(begin),
        "task.name": TASK,
        "task.data": inventory.READINGS,
        "gossip.mesh": plan.mesh,
        "gossip.topology": NEIGHBOURS,
        "gossip.role": role,
        "gossip.interval": str(INTERVAL),
    }
    keys = {path: value for path, value in plan.keys.items() if path != "profile" or role == "sensor"}
    return given | keys


def _listening(address: str) -> dict[str, str]:
    """Where a device with that address listens, and what it tells others."""
    if not address:
        return {}
    _, kind, host, _, port = address.split("/")
    if host.startswith("127."):
        return {"network.listen": address}
    return {
        "network.listen": f"/{'ip6/::' if kind == 'ip6' else 'ip4/0.0.0.0'}/tcp/{port}",
        "network.announce": address,
    }


def _neighbours(graph: Graph, number: int) -> list[int]:
    return sorted(int(a + b - number) for a, b in graph.edges if number in (a, b))


def chart(graph: Graph, sensors: list[Sensor], gateways: list[str]) -> Graph:
    """The part of a road graph that has sensors, node i being sensor i, with positions in metres and roles.

    Args:
        graph: with a name for each node, in any order; sensors may be missing in it, and others there.
        sensors: of the city.
        gateways: ids of those that are gateways.
    """
    number = {sensor.id: k for k, sensor in enumerate(sensors)}
    at = [number.get(label) for label in graph.labels]
    ends = [(at[a], at[b]) for a, b in graph.edges.tolist()]
    kept = sorted({(min(a, b), max(a, b)) for a, b in ends if a is not None and b is not None})
    made = Graph(
        len(sensors), np.array(kept, dtype=np.int64).reshape(-1, 2), names=tuple(number),
        roles=tuple("gateway" if sensor.id in gateways else "sensor" for sensor in sensors),
    )  # fmt: skip
    return replace(made, positions=_metres(sensors))


def _metres(sensors: list[Sensor]) -> Any:
    """Positions on a plane, of a city's size, in metres from its middle; None where there are none."""
    degrees = [(one.longitude, one.latitude) for one in sensors if one.longitude is not None]
    if not degrees:
        return None
    places = np.array(degrees, dtype=np.float64)
    middle = places.mean(axis=0)
    a_degree = 40_007_863 / 360  # the length of a meridian
    return (places - middle) * a_degree * [np.cos(np.radians(middle[1])), 1.0]
