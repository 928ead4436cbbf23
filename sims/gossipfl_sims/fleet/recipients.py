"""Who gets a publish: the laws that a fleet can have, each an object that is asked once per slot.

`Contacts` draws from given contacts as the protocol does in large meshes, `Sampled` chooses these as well, `Circle`
draws where everybody knows everybody, `Neighbours` takes a given graph. All send to the living only, and share one
method, `draw`. They know neither models nor messages.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from gossipfl.protocol.contacts import TURN
from gossipfl_sims.fleet.kernels import AHEAD, LINE, Indices, aligned, compiled
from gossipfl_topology import Graph

GONE = np.uint64(2**64 - 1)
"""The place on a circle of who is not there, or has been drawn already."""


class Recipients(Protocol):
    """A law of who gets a publish."""

    def draw(self, senders: Indices, alive: Any, epoch: int) -> tuple[Indices, Indices, Any]:
        """To whom `senders` publish.

        Args:
            senders: node numbers, shape (p,).
            alive: who is present, shape (n,).
            epoch: publish intervals since the start; never less than at the last call.

        Returns:
            Receivers, shape (m,), and for each the index of its sender in `senders`, ascending; and the probabilities,
            shape (p,), that a publish of each sender goes to a given one of its neighbours.
        """
        ...


class Contacts:
    """k of a node's live contacts: those that follow it first on the epoch's circle (`gossipfl_topology.live.k_out`).

    Args:
        table: the contacts of each node, shape (n, c); negative where it has fewer than c.
        k: recipients of a publish.
        rng: places the nodes on the circle.
    """

    def __init__(self, table: Indices, k: int, rng: np.random.Generator) -> None:
        self.table, self._k = table, k
        self._salt = rng.integers(2**32, size=2, dtype=np.uint32)

    def draw(self, senders: Indices, alive: Any, epoch: int) -> tuple[Indices, Indices, Any]:
        """See Recipients."""
        to = np.empty(senders.size * self._k, np.int32)
        row, chance = np.empty_like(to), np.empty(senders.size)
        circle = self._salt[0], np.uint32(_scatter(np.uint32(self._salt[1] ^ np.uint32(epoch))) | 1)
        present = np.packbits(alive, bitorder="little")
        m, _ = _draw_contacts(senders, self.table, present, circle, self._k, to, row, chance)
        return to[:m], row[:m], chance


class Sampled(Contacts):
    """Contacts as nodes come to have them (`gossipfl.protocol.contacts`): a random regular graph that changes slowly.

    It is made of `contacts` / 2 rings in random order (Law, Siu, 2003); every TURN epochs one is shuffled. Each node
    then gets two other contacts, as where it ends one link and somebody else another one.
    """

    def __init__(self, n: int, k: int, contacts: int, rng: np.random.Generator) -> None:
        super().__init__(aligned(n, contacts, np.int32), k, rng)
        self._rng = rng
        self._turn = 0
        for ring in range(contacts // 2):
            self._shuffle(ring)
        _mark_repeated(self.table)

    def draw(self, senders: Indices, alive: Any, epoch: int) -> tuple[Indices, Indices, Any]:
        """See Recipients."""
        while epoch // TURN > self._turn:
            self._shuffle(self._turn % (self.table.shape[1] // 2))
            self._turn += 1
            _mark_repeated(self.table)
        return super().draw(senders, alive, epoch)

    def _shuffle(self, ring: int) -> None:
        n = len(self.table)
        order = self._rng.permutation(n).astype(np.int32)
        for column, direction in ((2 * ring, 1), (2 * ring + 1, -1)):
            self.table[order, column] = np.roll(order, -direction)


class Circle:
    """k of all who live: in each epoch all stand on a circle in random order, and everybody sends to the k next ones.

    So everybody hears from k as well, if all publish in the epoch.
    """

    def __init__(self, n: int, k: int, rng: np.random.Generator) -> None:
        self._k, self._rng = k, rng
        self._epoch = -1
        self._order = np.arange(n, dtype=np.int32)
        self._place = self._order.copy()

    def draw(self, senders: Indices, alive: Any, epoch: int) -> tuple[Indices, Indices, Any]:
        """See Recipients."""
        if epoch > self._epoch:
            self._epoch = epoch
            self._rng.shuffle(self._order)
            self._place[self._order] = np.arange(self._order.size, dtype=np.int32)
        to = np.empty(senders.size * self._k, np.int32)
        row = np.empty_like(to)
        m = _draw_circle(senders, self._order, self._place, alive, self._k, to, row)
        others = int(np.count_nonzero(alive)) - 1
        return to[:m], row[:m], np.full(senders.size, min(1.0, self._k / max(1, others)))


class Neighbours:
    """All live neighbours in `graph`: along both directions of an edge, or its own where the graph is directed."""

    def __init__(self, graph: Graph) -> None:
        i, j = graph.edges.T
        if not graph.directed:
            i, j = np.concatenate([i, j]), np.concatenate([j, i])
        self.degrees = np.bincount(i, minlength=graph.n)
        self.first = np.concatenate([[0], np.cumsum(self.degrees)])
        self.ends = j[np.lexsort((j, i))].astype(np.int32)

    def draw(self, senders: Indices, alive: Any, epoch: int) -> tuple[Indices, Indices, Any]:  # noqa: ARG002
        """See Recipients; a graph is the same in all epochs."""
        to = np.empty(int(self.degrees[senders].sum()), np.int32)
        row = np.empty_like(to)
        m = _draw_neighbours(senders, self.first, self.ends, alive, to, row)
        return to[:m], row[:m], np.ones(senders.size)


@compiled
def _scatter(number: Any) -> Any:
    """A permutation of the 32-bit integers without pattern: the finaliser of MurmurHash3 (Appleby 2011)."""
    # Cast at each step, since numba computes with 64 bits, of which half as many fit into a register.
    number = np.uint32(np.uint32(number ^ np.uint32(number >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    number = np.uint32(np.uint32(number ^ np.uint32(number >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(number ^ np.uint32(number >> np.uint32(16)))


@compiled
def _draw_contacts(
    senders: Indices, table: Indices, alive: Any, circle: Any, k: int, to: Indices, row: Indices, chance: Any
) -> tuple[int, int]:
    """`alive` is one bit per node, since nothing else is looked up as often, and at random."""
    salt, factor = circle
    width = table.shape[1]
    distances, places = np.empty(width, np.uint32), np.empty(width, np.uint64)
    m, seen = 0, 0
    for p in range(senders.size):
        if p % AHEAD == 0:  # fetch the next rows together, so that the cache misses overlap
            for ahead in range(p, min(p + AHEAD, senders.size)):
                for c in range(0, width, LINE):
                    seen |= table[senders[ahead], c]
        contacts = table[senders[p]]
        here = _scatter(np.uint32(salt ^ np.uint32(senders[p])))
        for c in range(width):
            distances[c] = np.uint32((_scatter(np.uint32(salt ^ np.uint32(contacts[c]))) - here) * factor)
        living = 0
        for c in range(width):
            j = contacts[c]
            lives = (j >= 0) & (alive[max(j, 0) >> 3] >> (j & 7) & 1)
            living += lives
            place = np.uint64(distances[c]) << np.uint64(32) | np.uint64(np.uint32(j))
            places[c] = place | (np.uint64(lives) - np.uint64(1))
        chance[p] = min(1.0, k / max(1, living))
        last = np.uint64(0)
        for _ in range(min(k, living)):
            following = GONE
            for c in range(width):
                following = min(following, places[c] if places[c] > last else GONE)
            to[m], row[m] = np.int32(following & np.uint64(0xFFFFFFFF)), p
            last = following
            m += 1
    return m, seen


@compiled
def _draw_circle(
    senders: Indices, order: Indices, place: Indices, alive: Any, k: int, to: Indices, row: Indices
) -> int:
    n = order.size
    m = 0
    for p in range(senders.size):
        start = place[senders[p]]
        found = 0
        for step in range(1, n):
            j = order[(start + step) % n]
            if alive[j]:
                to[m], row[m] = j, p
                m += 1
                found += 1
                if found == k:
                    break
    return m


@compiled
def _draw_neighbours(senders: Indices, first: Any, ends: Indices, alive: Any, to: Indices, row: Indices) -> int:
    m = 0
    for p in range(senders.size):
        i = senders[p]
        for e in range(first[i], first[i + 1]):
            if alive[ends[e]]:
                to[m], row[m] = ends[e], p
                m += 1
    return m


@compiled
def _mark_repeated(table: Indices) -> None:
    """Write each contact of a node once as it is, and as its complement where it comes again or is the node itself."""
    for i in range(table.shape[0]):
        for a in range(table.shape[1]):
            j = table[i, a]
            j = max(j, ~j)
            again = int(j == i)
            for b in range(a):
                again += (table[i, b] == j) | (table[i, b] == ~j)
            table[i, a] = ~j if again else j
