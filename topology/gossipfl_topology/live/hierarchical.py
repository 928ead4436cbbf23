"""Sensor → gateway → district, by the roles that nodes say they have.

Everybody talks to one node of the next level above that somebody lives on, the one with the highest score for the pair
(rendezvous hashing: Thaler, Ravishankar 1998), and to those below that chose it. When a gateway goes, only its own
sensors move. The highest level is a regular graph, so there is no single node that all depend on.
"""

from __future__ import annotations

from dataclasses import dataclass

from gossipfl_topology.live.rings import Regular
from gossipfl_topology.live.topology import DICE, MASK, Still, View, position

ROLES = ("sensor", "gateway", "district")
"""From the lowest level to the highest. A node without a role counts as a sensor."""
TOP = Regular(k=4)
SPREAD = 0x9E3779B97F4A7C15
"""An odd number near 2⁶⁴/φ: multiplication by it carries differences into the high bits (Knuth 1973)."""


@dataclass(frozen=True)
class Hierarchical(Still):
    """Sensors with their gateway, gateways with their district, districts among themselves, by `gossip.role`.

    >>> Hierarchical().neighbours("s", {"s": "sensor", "t": "sensor", "g": "gateway"}, epoch=0)
    ('g',)
    """

    @property
    def name(self) -> str:
        """See Topology."""
        return "hierarchical"

    def neighbours(self, me: str, view: View, epoch: int) -> tuple[str, ...]:
        """The live ids one level above or below that belong to `me`; on the highest level its peers as well."""
        levels: dict[int, list[str]] = {}
        for node in sorted({*view, me}):
            levels.setdefault(_level(view.get(node, "")), []).append(node)
        occupied = sorted(levels)
        here = occupied.index(_level(view.get(me, "")))
        chosen: list[str] = []
        if here + 1 < len(occupied):
            chosen.append(_parent(me, levels[occupied[here + 1]]))
        else:
            chosen += TOP.neighbours(me, dict.fromkeys(levels[occupied[here]], ""), epoch)
        if here > 0:
            mine = levels[occupied[here]]
            chosen += [node for node in levels[occupied[here - 1]] if _parent(node, mine) == me]
        return tuple(chosen)


def _level(role: str) -> int:
    return ROLES.index(role) if role in ROLES else 0


def _parent(node: str, above: list[str]) -> str:
    here = position(node)
    return max(above, key=lambda other: ((here ^ position(other, DICE)) * SPREAD & MASK, other))
