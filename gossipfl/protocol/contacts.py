"""Contacts: with whom this node has links, and who of them gets a publish.

In a mesh of up to 33 nodes that is everybody. In a larger one each node keeps a partial view, as in HyParView (Leitão,
Pereira, Rodrigues, 2007): links with some peers, the same from both ends, and addresses of others. A link that ends is
replaced at random by one of these, and now and then one ends on purpose, so that over time everybody meets everybody.
Beside them there are links with those that the topology names. Knows no models, frames or clock; sends nothing itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from gossipfl.protocol.neighbour import Hearsay, Neighbour
from gossipfl.protocol.neighbourhood import Neighbourhood
from gossipfl_topology.live import Topology, View
from gossipfl_topology.live.topology import position

SIZE = 32
"""Links that a node wants, and so the peers that a publish is drawn from: each costs about 60 kB and a keep-alive."""
MAX_LINKS = SIZE + 8
"""Links kept, whoever dialled. Not many more than it wants: who had twice as many links would be sent twice as much."""
CHOSEN = SIZE // 2
"""Links that this node dialled itself, which no newcomers can push out: they must not choose all that it hears."""
TURN = 16
"""Publish intervals between two links that end on purpose. At both ends together that is two of them."""
_UNSEEN = -1
"""A number of changes that no neighbourhood has."""


class Contacts:
    """The contacts of `me`, of those whom its `neighbourhood` knows, for a `topology`; `rng` draws them."""

    def __init__(
        self, me: str, role: str, neighbourhood: Neighbourhood, topology: Topology, rng: random.Random
    ) -> None:
        self._me, self._role = me, role
        self._neighbourhood = neighbourhood
        self._rng = rng
        self.topology = topology
        self._turn = -1
        self._rest = position(me) % TURN
        """Not all end a link at the same time."""
        self.named: frozenset[str] = frozenset()
        """With whom the topology wants links, live or not."""
        self._named_at = self._reached_at = _UNSEEN
        self._chance = 1.0
        self._draw: Callable[[int], tuple[str, ...]] | None = None
        """Made when it is needed: while links come and go, most changes are over before the next publish."""

    def renew(self, epoch: int) -> list[str]:
        """Look again for those that the topology names. Returns whom to let go of, so that others get a turn."""
        if not self.topology.fresh and self._named_at != self._neighbourhood.changes:
            self._name(epoch)
        turn, self._turn = self._turn, (epoch + self._rest) // TURN
        if turn not in (-1, self._turn) and self._neighbourhood.linked() >= SIZE and self._candidates():
            return self._some_of(self._unnamed(), 1)
        return self._spare()

    def rewire(self, topology: Topology, epoch: int) -> None:
        """From now on, `topology` says who gets a publish."""
        self.topology, self.named = topology, frozenset()
        self._named_at = self._reached_at = _UNSEEN
        if not topology.fresh:
            self._name(epoch)

    def recipients(self, epoch: int) -> tuple[str, ...]:
        """To whom a publish goes."""
        self._look()
        if self._draw is None:
            self._draw = self.topology.drawer(self._me, self._view(self._neighbourhood.live()))
        return self._draw(epoch)

    def chance(self) -> float:
        """The probability that a publish goes to a given one of them."""
        self._look()
        return self._chance

    def neighbours_of(self, peer: str, epoch: int) -> tuple[str, ...]:
        """Whom of those that this node knows the topology names for `peer`: what it would like to be told of.

        So a ring or a graph from a file comes together where nobody knows all (T-Man; Jelasity, Montresor, Babaoglu,
        2009).
        """
        if self.topology.fresh:
            return ()
        return self.topology.neighbours(peer, self._view({*self._neighbourhood.live(), peer} - {self._me}), epoch)

    def wants(self, peer: str) -> bool:
        """Should there be a link with `peer`? Until there are links enough, with anybody."""
        return peer in self.named or self._neighbourhood.engaged() < SIZE

    def missing(self) -> list[str]:
        """Whom to dial now: those that the topology names, and while there are few links, anybody."""
        missing = [peer for peer in sorted(self.named) if self._neighbourhood.wants_link(peer)]
        room = SIZE - self._neighbourhood.engaged() - len(missing)
        if room > 0 and (others := [peer for peer in self._candidates() if peer not in self.named]):
            missing += self._some_of(others, room)
        return missing

    def _spare(self) -> list[str]:
        """Links to let go of because there are too many."""
        if self._neighbourhood.linked() <= MAX_LINKS:
            return []
        links = self._neighbourhood.links
        others, parted = self._unnamed(), sum(neighbour.parted for neighbour in links.values())
        surplus = max(0, len(links) - parted - MAX_LINKS)
        theirs = [peer for peer in others if not links[peer].outbound]
        chosen = self._some_of(theirs, surplus)
        ours = [peer for peer in others if links[peer].outbound]
        return chosen + self._some_of(ours, min(surplus - len(chosen), len(ours) - CHOSEN))

    def _unnamed(self) -> list[str]:
        links = self._neighbourhood.links
        return [peer for peer, neighbour in links.items() if peer not in self.named and not neighbour.parted]

    def _candidates(self) -> list[str]:
        """Whom there is no link with and who could be dialled."""
        return [peer for peer in self._neighbourhood.known if self._neighbourhood.wants_link(peer)]

    def _some_of(self, peers: list[str], most: int) -> list[str]:
        return self._rng.sample(peers, max(0, min(len(peers), most)))

    def _name(self, epoch: int) -> None:
        # Who seems gone must not keep others out of a graph.
        view = self._view([name for name, known in self._neighbourhood.known.items() if known.seems_alive])
        self.named = frozenset(self.topology.neighbours(self._me, view, epoch))
        self._named_at = self._neighbourhood.changes

    def _look(self) -> None:
        """See who can be reached, if that may have changed."""
        if self._reached_at != self._neighbourhood.changes:
            self._reached_at = self._neighbourhood.changes
            self._chance = self.topology.chance(len(self._neighbourhood.live()))
            self._draw = None

    def _view(self, peers: Iterable[str]) -> View:
        known = self._neighbourhood.known
        unknown: Neighbour | Hearsay = Neighbour()
        return {self._me: self._role} | {peer: known.get(peer, unknown).role for peer in peers}
