"""A graph that somebody drew, with ids for names, from a file. Dead neighbours are left out, not replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import Graph
from gossipfl_topology.live.topology import Still, View


@dataclass(frozen=True)
class Fixed(Still):
    """Each node's neighbours, by id.

    Attributes:
        name: what to call it: the file that it is from.
        adjacency: whom each node sends to.

    >>> Fixed("line", {"a": ("b",), "b": ("a", "c"), "c": ("b",)}).neighbours("b", {"b": "", "c": ""}, epoch=0)
    ('c',)
    """

    name: str
    adjacency: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, name: str, graph: Graph, me: str | None = None) -> Self:
        """The topology of `graph`, whose node names are ids.

        Raises:
            TopologyError: two nodes of one name; or `me` is given and not in the graph.

        >>> import numpy as np
        >>> Fixed.of("line", Graph(2, np.array([[0, 1]]), names=("a", "b"))).adjacency
        {'a': ('b',), 'b': ('a',)}
        """
        labels = graph.labels
        if len(set(labels)) < graph.n:
            raise TopologyError(f"{name}: two nodes have the same name; each must have its device's id")
        if me is not None and me not in labels:
            known = ", ".join(labels[:3])
            raise TopologyError(f"{name}: no node is named {me}, this device's id; there are {known} …")
        return cls(name, {labels[i]: tuple(labels[j] for j in row) for i, row in enumerate(graph.neighbours())})

    def neighbours(self, me: str, view: View, epoch: int) -> tuple[str, ...]:  # noqa: ARG002 - it stays as it is
        """The neighbours of `me` that are alive."""
        return tuple(node for node in self.adjacency.get(me, ()) if node in view)
