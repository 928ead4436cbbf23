"""Contacts: with whom this node has links, and who of them gets a publish.

In a mesh of up to 33 nodes that is everybody. In a larger one it is a fair sample of all known peers, and beside them
those that the topology names. What was chosen is kept until the neighbourhood changes. Knows no models, frames or
clock; sends nothing itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable

from gossipfl.protocol.neighbourhood import Neighbourhood
from gossipfl_topology.live import Topology, View, sample
from gossipfl_topology.live.sample import SIZE, TURN

MAX_LINKS = 3 * SIZE
"""Links kept, whoever dialled: as many as a node wants, and twice as many that others want with it."""
_UNSEEN = -1
"""A number of changes that no neighbourhood has."""


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
        self._added_at = _UNSEEN
        self._dialled_at = _UNSEEN
        self._reached_at = _UNSEEN
        self._chance = 1.0
        self._reached: Collection[str] = ()
        self._draw: Callable[[int], tuple[str, ...]] | None = None
        """Made when it is needed: while links come and go, most changes are over before the next publish."""

    def renew(self, epoch: int) -> None:
        """Choose again if it is time for that, or if the topology must close a gap that somebody left."""
        if epoch // TURN != self._turn:
            self.choose(epoch)
        elif not self.topology.fresh and self._added_at != self._neighbourhood.changes:
            self._add_neighbours(epoch)

    def choose(self, epoch: int) -> None:
        """Choose anew, from all who are known now."""
        chosen, turn = self._neighbourhood.sample.of(epoch, self._neighbourhood.candidates), epoch // TURN
        if turn == self._turn and chosen == self._sample and self.topology.fresh:
            self.chosen = self._sample = chosen  # equal, but then there is one of it
            return  # so it is with most new links
        self._turn, self._sample = turn, chosen
        self._add_neighbours(epoch)

    def rewire(self, topology: Topology, epoch: int) -> None:
        """From now on, `topology` says who gets a publish."""
        self.topology, self._turn = topology, -1
        self.choose(epoch)

    def _add_neighbours(self, epoch: int) -> None:
        self.chosen = self._sample
        self._added_at = self._neighbourhood.changes
        self._dialled_at = self._reached_at = _UNSEEN
        if not self.topology.fresh:
            # Who seems gone stays in the sample, for partitions that heal, but must not keep others out of a graph.
            view = self._view([name for name, known in self._neighbourhood.known.items() if known.seems_alive])
            self.chosen |= set(self.topology.neighbours(self._me, view, epoch))

    def recipients(self, epoch: int) -> tuple[str, ...]:
        """To whom a publish goes."""
        self._look()
        if self._draw is None:
            self._draw = self.topology.drawer(self._me, self._view(self._reached))
        return self._draw(epoch)

    def chance(self) -> float:
        """The probability that a publish goes to a given one of them."""
        self._look()
        return self._chance

    def wants(self, peer: str) -> bool:
        """Should there be a link with `peer`? Until there are links enough, with anybody."""
        return peer in self.chosen or self._neighbourhood.engaged() < SIZE

    def missing(self) -> list[str]:
        """Whom to dial now: contacts without a link, and while there are few links, anybody."""
        if self._dialled_at == self._neighbourhood.changes:
            return []
        self._dialled_at = self._neighbourhood.changes
        wants_link, known = self._neighbourhood.wants_link, self._neighbourhood.known
        missing = [peer for peer in sorted(self.chosen) if wants_link(peer)]
        room = SIZE - self._neighbourhood.engaged() - len(missing)
        if room > 0:
            missing += [peer for peer in sorted(known.keys() - self.chosen) if wants_link(peer)][:room]
        return missing

    def spare(self, rng: random.Random) -> list[str]:
        """Links to let go of because there are too many: at random, so that nobody can push out certain others."""
        surplus = self._neighbourhood.linked() - MAX_LINKS
        if surplus <= 0:
            return []
        spare = [peer for peer in self._neighbourhood.links if peer not in self.chosen]
        return rng.sample(spare, min(len(spare), surplus))

    def _look(self) -> None:
        """See who can be reached, if that may have changed."""
        if self._reached_at != self._neighbourhood.changes:
            self._reached_at = self._neighbourhood.changes
            self._reached = self._reachable()
            self._chance = self.topology.chance(len(self._reached))
            self._draw = None

    def _reachable(self) -> Collection[str]:
        """Of the live peers, those that a publish may go to.

        All of them where the topology names its neighbours itself. Where it draws, the live contacts: else those whom
        others bootstrap from would be drawn more often. But names that somebody invented must not leave us with few, so
        where not many contacts live it is a sample of those that do.
        """
        live = self._neighbourhood.live()
        if not self.topology.fresh:
            return live
        chosen = self.chosen.intersection(live)
        return chosen if len(chosen) >= min(len(live), SIZE // 2) else sample(self._me, live, self._turn * TURN)

    def _view(self, peers: Iterable[str]) -> View:
        known = self._neighbourhood.known
        return {self._me: self._role} | {peer: known[peer].role for peer in peers}
