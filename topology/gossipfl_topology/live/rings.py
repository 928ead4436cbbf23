"""Rings of hashed ids, and k-regular graphs made of k/2 of them.

Each ring orders the ids by another hash, and everybody's neighbours are the ones before and after it on every ring. A
union of random Hamiltonian cycles is an expander almost surely (Law, Siu, "Distributed construction of random expander
networks", INFOCOM 2003). Unlike the k best by rendezvous hashing, it is always connected and no in-degree exceeds k; a
node that comes or goes moves three edges per ring.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gossipfl_topology.live.topology import MASK, Still, View, position
from gossipfl_topology.parameters import check


@dataclass(frozen=True, kw_only=True)
class Regular(Still):
    """k fixed neighbours at random: the two beside one on each of k/2 rings of hashed ids; fewer where rings agree.

    Attributes:
        k: neighbours, even, 2 to 32.

    >>> sorted(Regular(k=2).neighbours("a", {"a": "", "b": "", "c": ""}, epoch=0))
    ['b', 'c']
    """

    k: int = 4

    def __post_init__(self) -> None:
        fits = 2 <= self.k <= 32 and self.k % 2 == 0
        check("regular", "k", self.k, fits, "k must be even, 2 to 32: two neighbours on each ring")

    @property
    def name(self) -> str:
        """See Topology."""
        return f"regular:k={self.k}"

    def neighbours(self, me: str, view: View, epoch: int) -> tuple[str, ...]:  # noqa: ARG002 - it stays as it is
        """The live ids next to `me` on all rings."""
        others = [node for node in view if node != me]
        chosen = [node for ring in range(self.k // 2) for node in beside(me, others, ring)]
        return tuple(dict.fromkeys(chosen))


@dataclass(frozen=True, kw_only=True)
class Ring(Regular):
    """Two neighbours on a ring of hashed ids: the slowest mixing there is.

    >>> Ring().name
    'ring'
    """

    k: int = field(default=2, init=False)

    @property
    def name(self) -> str:
        """See Topology."""
        return "ring"


def beside(me: str, others: list[str], circle: int = 0) -> tuple[str, ...]:
    """The one of `others` after `me` on the circle, and the one before it; nothing where there is nobody.

    >>> sorted(set(beside("a", ["b", "c"])))
    ['b', 'c']
    """
    if not others:
        return ()
    here = position(me, circle)
    ahead = {node: (position(node, circle) - here & MASK, node) for node in others}
    return min(others, key=ahead.__getitem__), max(others, key=ahead.__getitem__)
