"""Whom to keep links with, of all the peers that one has heard of: a fair sample, renewed little by little.

The ids stand on rings in random order, and everybody keeps links with the two beside it on each; ring after ring is
shuffled anew. So both ends want the same link, everybody is in as many views as everybody else, however often it is
spoken of, and over time everybody meets everybody. Without this, those who came first and those whom others bootstrap
from would get most messages. (The rings are Law and Siu's random regular graph, INFOCOM 2003; the aim is that of peer
sampling, Jelasity et al., "Gossip-based peer sampling", 2007.)
"""

from __future__ import annotations

from collections.abc import Collection

from gossipfl_topology.live.rings import beside

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
    return frozenset(
        node
        for ring in range(rings)
        # Another circle for each ring and each time that it is shuffled, and none that a topology uses.
        for node in beside(me, others, (2 << 32) + (epoch // TURN + ring) // rings * rings + ring)
    )
