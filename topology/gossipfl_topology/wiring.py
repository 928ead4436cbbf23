"""Who talks to whom in a whole mesh: a live topology by its name, or any graph, drawn with the nodes' ids for names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gossipfl_topology.catalogue import GRAPHS, arrays
from gossipfl_topology.errors import TopologyError
from gossipfl_topology.files import dumps, load, map_path, maps
from gossipfl_topology.graph import Graph
from gossipfl_topology.joining import join
from gossipfl_topology.live import LIVE, ROLES, Fixed, Topology, named
from gossipfl_topology.parameters import find, is_path, parse

NODES = 8
"""Nodes of a mesh, where neither the user nor a graph file says how many."""


@dataclass(frozen=True)
class Wiring:
    """How the nodes of a mesh are joined."""

    topology: str
    """As the user named it."""
    nodes: int
    graph: Graph | None = None
    """Who talks to whom; None where the daemons find that out by themselves."""
    roles: tuple[str, ...] | None = None

    def role(self, index: int) -> str:
        """The role of node `index`, if it has one that nodes know.

        >>> [wire("hierarchical", 4, seed=0).role(index) for index in range(4)]
        ['district', 'gateway', 'gateway', 'sensor']
        """
        return self.roles[index] if self.roles and self.roles[index] in ROLES else ""

    def live(self, ids: Sequence[str]) -> Topology:
        """What the nodes with these ids run.

        >>> wire("ring", 2, seed=0).live(["a", "b"])
        Ring(k=2)
        """
        return named(self.topology) if self.graph is None else Fixed.of(self.topology, self._named(ids))

    def file(self, ids: Sequence[str]) -> str | None:
        """The text of the graph file for nodes with these ids, if they need one.

        >>> wire("ring", 2, seed=0).file(["a", "b"]) is None
        True
        """
        return None if self.graph is None else dumps(self._named(ids))

    def _named(self, ids: Sequence[str]) -> Graph:
        assert self.graph is not None
        return replace(self.graph, names=tuple(ids))


def wire(text: str, nodes: int | None, seed: int) -> Wiring:
    """What `text` means: a live topology, a graph to build, a shipped map, or a graph file.

    Args:
        text: as in `--topology`.
        nodes: as many as the user asked for, if at all.
        seed: of a random graph.

    Raises:
        TopologyError: it is none of these, or a file's graph has another number of nodes.

    >>> wire("star", 4, seed=0).graph.degrees.tolist()
    [3, 1, 1, 1]
    """
    if is_path(text) or text in maps():
        graph = join(load(text if is_path(text) else map_path(text)).graph).graph
        if nodes not in (None, graph.n):
            raise TopologyError(f"{text}: it has {graph.n} nodes; --nodes {nodes} doesn't fit")
        return Wiring(text, graph.n, graph, graph.roles)
    count = NODES if nodes is None else nodes
    name, params = parse(text)
    find(name, dict.fromkeys((*LIVE, *GRAPHS, *maps()), arrays))
    if name in LIVE:
        named(text)
        return Wiring(text, count, roles=arrays(name, count).roles if name == "hierarchical" else None)
    graph = arrays(name, count, seed, **params)
    return Wiring(text, count, graph, graph.roles)
