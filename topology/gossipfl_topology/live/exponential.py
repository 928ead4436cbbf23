"""The exponential graph on hashed ids, as a skip graph: neighbours about 1, 2, 4, 8 … places away, on both sides.

All ids stand on one ring. Half of them, by one bit of their hash, are on a ring of their own as well, a quarter, by two
bits, on another, and so on until one is alone (Aspnes, Shah, "Skip Graphs", SODA 2003). Everybody knows its two
neighbours on each of its rings: at most about 2·log₂ n, the farthest half way around. Chord's fingers (Stoica et al.
2001) span the same distances, but a node behind a large gap is the finger of many (44 links among 256 nodes); a
distance in ranks would change for everybody with each node that comes.
"""

from __future__ import annotations

from dataclasses import dataclass

from gossipfl_topology.live.rings import beside
from gossipfl_topology.live.topology import DICE, Still, View, position


@dataclass(frozen=True)
class Exponential(Still):
    """Fixed neighbours about 1, 2, 4, 8 … places away on a ring of hashed ids, about 2·log₂ n in all.

    >>> Exponential().neighbours("a", {"a": "", "b": ""}, epoch=0)
    ('b',)
    """

    @property
    def name(self) -> str:
        """See Topology."""
        return "exponential"

    def neighbours(self, me: str, view: View, epoch: int) -> tuple[str, ...]:  # noqa: ARG002 - it stays as it is
        """The live ids next to `me` on the ring of all, of half of them, of a quarter …"""
        ring = [node for node in view if node != me]
        bits = position(me, DICE)
        chosen: dict[str, None] = {}
        level = 0
        while ring and level < 64:
            chosen |= dict.fromkeys(beside(me, ring))
            ring = [node for node in ring if (position(node, DICE) ^ bits) >> level & 1 == 0]
            level += 1
        return tuple(chosen)
