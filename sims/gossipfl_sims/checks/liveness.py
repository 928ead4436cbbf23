"""Liveness: what must come true once nothing goes wrong any more.

The bound is what the protocol's own timers add up to: a link that was cut is given up after 12 s of silence, redialled
within 19 s, and a node that must rebase asks for snapshots in rounds of 3 s.
"""

from __future__ import annotations

from collections.abc import Iterator

from gossipfl_sims.engine.machine import Machine
from gossipfl_sims.engine.world import World

WITHIN = 40.0
"""Seconds after healing until everybody has merged again: 12 + 19 and three rounds of 3."""
INTERVALS = 5
"""And so many publish intervals, in which one of several neighbours publishes to it."""


class Liveness:
    """Begins when `world` is healed: who is up, and how much each has merged."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.due = world.now + WITHIN + INTERVALS * world.settings.interval
        """When everybody must have merged again."""
        self._merges = {machine.index: machine.merges for machine in world if machine.up}

    def broken(self) -> Iterator[tuple[Machine, str, str]]:
        """Machine, rule and detail of what has not come true by now."""
        up = [machine for machine in self._world if machine.up]
        if len(up) < 2:
            return
        parts = components(up)
        if len(parts) > 1:
            yield up[0], "whoever is up is connected", f"{len(parts)} parts of {sorted(map(len, parts))} machines"
        for machine in up:
            if machine.merges == self._merges.get(machine.index, 0):
                state = "joining" if machine.peer is not None and machine.peer.joining else "learning"
                detail = f"it is {state}, with {len(machine.links)} links, and has merged nothing"
                yield machine, "everybody merges again after healing", detail


def components(machines: list[Machine]) -> list[set[str]]:
    """The connected parts of the mesh of links."""
    import networkx as nx  # noqa: PLC0415 - half a second that a run with many nodes and no liveness phase need not pay

    graph = nx.Graph()
    graph.add_nodes_from(machine.name for machine in machines)
    up = {machine.name for machine in machines}
    graph.add_edges_from((machine.name, other) for machine in machines for other in machine.links if other in up)
    return list(nx.connected_components(graph))
