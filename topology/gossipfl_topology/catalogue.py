"""Every topology by its name: graphs that stay, and schedules that change from round to round.

`build("regular", 100, k=4)` and `schedule("base", 25, k=1)`; what runs in a daemon is in `live`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gossipfl_topology import schedules
from gossipfl_topology.graph import FloatArray, Graph
from gossipfl_topology.graphs.barabasi_albert import barabasi_albert
from gossipfl_topology.graphs.classic import (
    complete,
    dumbbell,
    exponential,
    grid,
    hypercube,
    path,
    ring,
    star,
    torus,
)  # fmt: skip
from gossipfl_topology.graphs.d_cliques import d_cliques
from gossipfl_topology.graphs.erdos_renyi import erdos_renyi
from gossipfl_topology.graphs.geometric import geometric
from gossipfl_topology.graphs.hierarchical import hierarchical
from gossipfl_topology.graphs.regular import regular
from gossipfl_topology.graphs.watts_strogatz import watts_strogatz
from gossipfl_topology.mixing.rules import mixing_matrix
from gossipfl_topology.parameters import bind, find

if TYPE_CHECKING:
    import networkx as nx

GRAPHS: Mapping[str, Callable[..., Graph]] = {
    "ring": ring,
    "path": path,
    "complete": complete,
    "star": star,
    "torus": torus,
    "grid": grid,
    "hypercube": hypercube,
    "exponential": exponential,
    "regular": regular,
    "erdos-renyi": erdos_renyi,
    "watts-strogatz": watts_strogatz,
    "barabasi-albert": barabasi_albert,
    "geometric": geometric,
    "hierarchical": hierarchical,
    "d-cliques": d_cliques,
    "dumbbell": dumbbell,
}
SCHEDULES: Mapping[str, Callable[..., list[FloatArray]]] = {
    "base": schedules.base,
    "one-peer-exponential": schedules.one_peer_exponential,
    "matching": schedules.matching,
    "k-out": schedules.k_out,
    "el-oracle": schedules.el_oracle,
    "el-local": schedules.el_local,
}


def arrays(name: str, n: int, seed: int = 0, **params: Any) -> Graph:
    """The graph `name` over `n` nodes, as arrays.

    Args:
        name: one of GRAPHS.
        n: number of nodes, ≥ 1.
        seed: of random graphs; the same seed gives the same graph.
        params: the parameters of the function in GRAPHS.

    Raises:
        TopologyError: an unknown name or parameter, or a value that no such graph has; the message says what would do.

    >>> arrays("ring", 4).edges.tolist()
    [[0, 1], [0, 3], [1, 2], [2, 3]]
    """
    made: Graph = _call(find(name, GRAPHS), name, n, seed, params)
    return made


def build(name: str, n: int, seed: int = 0, **params: Any) -> nx.Graph:
    """As `arrays`, as a `networkx.Graph` (a `DiGraph` where messages go one way: exponential).

    >>> build("star", 4).degree[0]
    3
    """
    return arrays(name, n, seed, **params).to_networkx()


def schedule(name: str, n: int, seed: int = 0, **params: Any) -> list[FloatArray]:
    """The mixing matrices of one period, each of shape (n, n): one gossip round is x ← W x.

    A static graph is a period of one, with Metropolis weights. A random schedule never repeats: `rounds` says how many
    matrices to draw.

    Args:
        name: one of SCHEDULES or GRAPHS.
        n: number of nodes, ≥ 1.
        seed: of random schedules and graphs.
        params: the parameters of the function in SCHEDULES or GRAPHS.

    Raises:
        TopologyError: as `arrays`.

    >>> len(schedule("base", 25, k=1))
    9
    """
    if name in SCHEDULES:
        made: list[FloatArray] = _call(SCHEDULES[name], name, n, seed, params)
        return made
    return [mixing_matrix(_call(find(name, {**GRAPHS, **SCHEDULES}), name, n, seed, params))]


def _call(function: Callable[..., Any], name: str, n: int, seed: int, params: Mapping[str, Any]) -> Any:
    bound = bind(name, function, params)
    if "rng" in inspect.signature(function).parameters:
        bound["rng"] = np.random.default_rng(seed)
    return function(n, **bound)
