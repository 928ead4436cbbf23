"""From a live view to neighbours, with no coordinator: to whom do I publish now?

Each topology is a small frozen object. Nodes with equal views agree on the whole graph without a word, since all choice
is by hashes of ids; nodes with different views differ in few edges. Knows nothing of models, links or clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gossipfl_topology.live.complete import Complete
from gossipfl_topology.live.exponential import Exponential
from gossipfl_topology.live.fixed import Fixed
from gossipfl_topology.live.hierarchical import ROLES, Hierarchical
from gossipfl_topology.live.k_out import KOut
from gossipfl_topology.live.rings import Regular, Ring
from gossipfl_topology.live.topology import Topology, View
from gossipfl_topology.parameters import bind, find, parse

LIVE: Mapping[str, Callable[..., Topology]] = {
    "k-out": KOut,
    "regular": Regular,
    "ring": Ring,
    "exponential": Exponential,
    "complete": Complete,
    "hierarchical": Hierarchical,
}

__all__ = [
    "LIVE", "ROLES", "Complete", "Exponential", "Fixed", "Hierarchical", "KOut", "Regular", "Ring", "Topology", "View",
    "named",
]  # fmt: skip


def named(text: str) -> Topology:
    """The topology that `NAME[:KEY=VALUE,…]` names. A graph from a file is `Fixed`.

    Raises:
        TopologyError: an unknown name or parameter, or a value out of its range.

    >>> named("k-out:k=2")
    KOut(k=2)
    """
    name, given = parse(text)
    made = find(name, LIVE)
    return made(**bind(name, made, given))
