"""Whom to keep links with, of all the peers that one has heard of: a fair sample, renewed little by little.

The ids stand on rings in random order, and everybody keeps links with the two beside it on each; ring after ring is
shuffled anew. So both ends want the same link, everybody is in as many views as everybody else, however often it is
spoken of, and over time everybody meets everybody. Without this, those who came first and those whom others bootstrap
from would get most messages. (The rings are Law and Siu's random regular graph, INFOCOM 2003; the aim is that of peer
sampling, Jelasity et al., "Gossip-based peer sampling", 2007.)
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from gossipfl_topology.live.rings import beside
from gossipfl_topology.live.topology import MASK, places

SIZE = 32
"""Links: each costs about 60 kB and a keep-alive. Meshes of up to 33 nodes are linked completely."""
TURN = 16
"""Publish intervals between two changes: in each, one ring is shuffled, so two links are others."""


def sample(me: str, known: Collection[str], epoch: int, size: int = SIZE) -> frozenset[str]:
    """The ids of `known` that `me` should have links with in this epoch; all of them while they are few.

    Args:
        me: the caller's id; it may be in `known`.
        known: ids of peers that may be alive.
        epoch: publish intervals since some common moment.
        size: at most so many, even.

    >>> sorted(sample("a", ["a", "b", "c"], epoch=0))
    ['b', 'c']
    """
    others = [node for node in known if node != me]
    if len(others) <= size:
        return frozenset(others)
    rings = size // 2
    return frozenset(node for ring in range(rings) for node in beside(me, others, circle(ring, epoch, rings)))


def circle(ring: int, epoch: int, rings: int) -> int:
    """The number of the circle that is ring number `ring` in this epoch.

    Another one for each ring and each time that it is shuffled, and none that a topology uses.

    >>> circle(0, 0, 16) == circle(0, 15 * TURN, 16) != circle(0, 16 * TURN, 16)
    True
    """
    return (2 << 32) + (epoch // TURN + ring) // rings * rings + ring


class Sample:
    """The sample of `me`, kept up to date while peers come and go: `sample` at the cost of what changed.

    Args:
        me: the caller's id.
        size: at most so many, even.

    """

    def __init__(self, me: str, size: int = SIZE) -> None:
        self._me, self._size = me, size
        self._count = 0
        self._turn = -1
        self._rings: list[_Ring | None] = []
        self._chosen: frozenset[str] | None = None
        """What the rings give, if nobody came or went since."""

    def add(self, node: str) -> None:
        """`node`, which is not `me`, may be chosen from now on; it could not be before.

        >>> kept = Sample("a")
        >>> kept.add("b")
        >>> kept.of(0, lambda: ["b"])
        frozenset({'b'})
        """
        self._count += 1
        for ring in self._rings:
            if ring is not None:
                ahead = ring.places[node] - ring.here & MASK
                if ahead <= ring.nearest or ahead >= ring.farthest:
                    ring.add(node, ahead)
                    self._chosen = None

    def discard(self, node: str) -> None:
        """`node` may not be chosen any longer.

        >>> kept = Sample("a")
        >>> kept.add("b")
        >>> kept.discard("b")
        >>> kept.of(0, lambda: [])
        frozenset()
        """
        self._count -= 1
        for i, ring in enumerate(self._rings):
            if ring is not None and ring.has(node):
                self._rings[i], self._chosen = None, None

    def of(self, epoch: int, candidates: Callable[[], Collection[str]]) -> frozenset[str]:
        """The sample in this epoch. `candidates` gives all who were added and not discarded.

        >>> known = [f"p{i}" for i in range(99)]
        >>> kept = Sample("a")
        >>> for node in known:
        ...     kept.add(node)
        >>> kept.of(7, lambda: known) == sample("a", known, 7)
        True
        """
        if self._count <= self._size:
            self._rings = []
            return frozenset(candidates())
        if self._chosen is None or not self._rings or self._turn != epoch // TURN:
            self._turn = epoch // TURN
            rings, others = self._size // 2, candidates()
            old = self._rings or [None] * rings
            self._rings = [
                ring if ring is not None and ring.circle == number else _Ring(self._me, number, others)
                for ring, number in zip(old, (circle(i, epoch, rings) for i in range(rings)), strict=True)
            ]
            self._chosen = frozenset([node for ring in self._rings if ring for node in (ring.after, ring.before)])
        return self._chosen


class _Ring:
    """The two beside `me` on a circle, and how far ahead of `me` they stand."""

    __slots__ = ("after", "before", "circle", "farthest", "here", "nearest", "places")

    def __init__(self, me: str, number: int, others: Collection[str]) -> None:
        self.circle = number
        self.places = place = places(number)
        self.here = here = place[me]
        ahead = [(place[node] - here & MASK, node) for node in others]
        (self.nearest, self.after), (self.farthest, self.before) = min(ahead), max(ahead)

    def add(self, node: str, ahead: int) -> None:
        if (ahead, node) < (self.nearest, self.after):
            self.nearest, self.after = ahead, node
        elif (ahead, node) > (self.farthest, self.before):
            self.farthest, self.before = ahead, node

    def has(self, node: str) -> bool:
        return node in (self.after, self.before)
