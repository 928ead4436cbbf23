"""Sensor → gateway → district: a tree of three levels, with the districts joined among themselves.

How cities wire their devices: many cheap sensors to a gateway, gateways to a district's machine. What nobody must rely
on is any single one of them, so districts form a ring, or a complete graph while they are few.
"""

from __future__ import annotations

import math

import numpy as np

from gossipfl_topology.graph import Graph, undirected
from gossipfl_topology.parameters import check

FEW = 5
"""Districts up to which each talks to each other."""


def hierarchical(n: int, *, gateways: int | None = None, districts: int | None = None) -> Graph:
    """Sensors on gateways on districts, a city's hierarchy; `roles` tells who is what.

    Districts come first, then gateways, then sensors.

    Args:
        n: number of nodes, ≥ 1.
        gateways: how many, by default √n rounded.
        districts: how many of the nodes are districts, ≥ 1, by default √gateways rounded.

    >>> hierarchical(13, gateways=3, districts=1).degrees.tolist()
    [3, 4, 4, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    """
    check("hierarchical", "n", n, n >= 1, "at least 1")
    gateways = min(round(math.sqrt(n)), n - 1) if gateways is None else gateways
    districts = max(1, round(math.sqrt(gateways))) if districts is None else districts
    check("hierarchical", "districts", districts, 1 <= districts <= n, f"1 to n = {n}")
    room = n - districts
    gateways = min(gateways, room)
    check("hierarchical", "gateways", gateways, 0 <= gateways <= room, f"0 to {room} beside {districts} districts")
    sensors = n - districts - gateways
    check("hierarchical", "gateways", gateways, gateways > 0 or sensors == 0, "at least 1 where there are sensors")
    top = np.arange(districts)
    linked = np.stack(np.triu_indices(districts, 1), axis=1)
    if districts > FEW:
        linked = np.stack([top, (top + 1) % districts], axis=1)
    to_district = np.stack([np.arange(gateways) % districts, districts + np.arange(gateways)], axis=1)
    below = districts + gateways + np.arange(sensors)
    to_gateway = np.stack([districts + np.arange(sensors) % max(gateways, 1), below], axis=1)
    made = undirected(n, np.concatenate([linked, to_district, to_gateway]))
    roles = ("district",) * districts + ("gateway",) * gateways + ("sensor",) * sensors
    return Graph(n, made.edges, roles=roles)
