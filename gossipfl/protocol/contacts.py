"""Contacts: with whom this node has links, and who of them gets a publish.

In a mesh of up to 33 nodes that is everybody. In a larger one it is a fair sample of all known peers, and beside them
those that the topology names. Knows no models, frames or clock; sends nothing itself.
"""

from __future__ import annotations

import random

from gossipfl.protocol.neighbourhood import Neighbourhood
from gossipfl_topology.live import Topology, View, sample
from gossipfl_topology.live.sample import SIZE, TURN

MAX_LINKS = 3 * SIZE
"""Links kept, whoever dialled: as many as a node wants, and twice as many that others want with it."""


class Contacts:
    """The contacts of `me`, of those whom its `neighbourhood` knows, for a `topology`."""

    def __init__(self, me: str, role: str, neighbourhood: Neighbourhood, topology: Topology) -> None:
        self._me, self._role = me, role
        self._neighbourhood = neighbourhood
        self.topology = topology
        self._sample: frozenset[str] = frozenset()
        self._turn = -1
        self.chosen: frozenset[str] = frozenset()
        """With whom to have links."""

    def renew(self, epoch: int) -> None:
        """Choose again if it is time for that, or if the topology must close a gap that somebody left."""
        if epoch // TURN != self._turn:
            self.choose(epoch)
        elif not self.topology.fresh:
            self._add_neighbours(epoch)

    def choose(self, epoch: int) -> None:
        """Choose anew, from all who are known now."""
        self._turn = epoch // TURN
        known = self._neighbourhood.known.items()
        self._sample = sample(self._me, [name for name, peer in known if peer.connected or peer.reachable], epoch)
        self._add_neighbours(epoch)

    def _add_neighbours(self, epoch: int) -> None:
        self.chosen = self._sample
        if not self.topology.fresh:
            # Who seems gone stays in the sample, for partitions that heal, but must not keep others out of a graph.
            view = self._view([name for name, known in self._neighbourhood.known.items() if known.seems_alive])
            self.chosen |= set(self.topology.neighbours(self._me, view, epoch))

    def recipients(self, epoch: int) -> tuple[str, ...]:
        """To whom a publish goes."""
        return self.topology.neighbours(self._me, self._view(self._reachable()), epoch)

    def chance(self) -> float:
        """The probability that a publish goes to a given one of them."""
        return self.topology.chance(len(self._reachable()))

    def wants(self, peer: str) -> bool:
        """Should there be a link with `peer`? Until there are links enough, with anybody."""
        return peer in self.chosen or self._neighbourhood.engaged() < SIZE

    def spare(self, rng: random.Random) -> list[str]:
        """Links to let go of because there are too many: at random, so that nobody can push out certain others."""
        links = self._neighbourhood.links()
        spare = [peer for peer in links if peer not in self.chosen]
        return rng.sample(spare, min(len(spare), max(0, len(links) - MAX_LINKS)))

    def _reachable(self) -> list[str]:
        """Of the live peers, those that a publish may go to.

        All of them where the topology names its neighbours itself. Where it draws, the live contacts: else those whom
        others bootstrap from would be drawn more often. But names that somebody invented must not leave us with few, so
        where not many contacts live it is a sample of those that do.
        """
        live = self._neighbourhood.live()
        if not self.topology.fresh:
            return live
        chosen = [peer for peer in live if peer in self.chosen]
        return chosen if len(chosen) >= min(len(live), SIZE // 2) else sorted(sample(self._me, live, self._turn * TURN))

    def _view(self, peers: list[str]) -> View:
        known = self._neighbourhood.known
        return {self._me: self._role} | {peer: known[peer].role for peer in peers}
