"""The fleet's world: its state, one slot after the other, and what is sampled of it.

Owns every random stream, one per cause, so that turning one fault on leaves the draws of the others as they were. The
counterpart of `gossipfl_sims.engine.world`, with the protocol's mixing in the place of its peers; `setting.LEFT_OUT`
says what that costs. A slot: who comes or goes, then what arrives, then what is learnt and published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from gossipfl.errors import LocalError
from gossipfl.protocol.pace import SMOOTHING
from gossipfl_sims.fleet import kernels
from gossipfl_sims.fleet.kernels import AGE, PROGRESS, RATE, Crowd, Flight, Indices, Tally, Vectors, aligned, width_of
from gossipfl_sims.fleet.learning import MEASURED, Scores, Shards
from gossipfl_sims.fleet.recipients import Circle, Contacts, Neighbours, Recipients, Sampled
from gossipfl_sims.fleet.setting import Fleet

CAUSES = ("start", "clocks", "contacts", "loss", "churn", "measured", "order")
"""One random stream each; a new one goes to the end, so that the others stay the same."""
JITTER = (0.9, 1.1)
"""As in `gossipfl.protocol.peer`: the time between two publishes, in intervals."""
FIRST = (0.5, 1.0)
"""As in `gossipfl.protocol.peer`: the time from coming back until the first publish, in intervals."""


PART = 1 << 16
"""Nodes whose first vectors are drawn at once."""
PAST = 25
"""Intervals before the start that the paces are means of; older ones would count less than 0.4 % together."""


class Sample(Struct, frozen=True):
    """The fleet at one moment; vectors are those of the nodes that are present."""

    seconds: float
    alive: float
    """Fraction of nodes present."""
    consensus: float
    """Root mean square, over present nodes and floats, of the distance from their mean."""
    drift: float
    """Root mean square, over floats, of how far that mean is from the mean of all nodes at the start."""
    sent: float
    """Messages per node since the start, lost ones included."""
    merged: float
    """Messages per node since the start that changed their receiver."""
    refused: int
    """Messages since the start that were too far away from their receiver."""
    staleness: tuple[int, ...]
    """Merges since the start by τ, in bins of kernels.TAU_WIDTH gossip intervals; the last holds all beyond."""
    scores: Scores | None = None
    """Of some nodes' models on held-out data, where the fleet learns."""


class FleetWorld:
    """A fleet that runs.

    Args:
        fleet: the setting.
        shards: what its nodes learn; None: nothing, they agree on `start`.
        start: the vectors to begin with, shape (n, d); by default normal ones, or the model of `shards` on all nodes.
        views: the contacts of each node that recipients are drawn from, in the place of a fair sample, shape (n, c),
            nobody twice or itself in a row, negative where it has fewer than c. They stay as they are.

    Raises:
        LocalError: the state takes more memory than the setting allows, or one of the others doesn't fit the setting.
    """

    def __init__(
        self, fleet: Fleet, *, shards: Shards | None = None, start: Vectors | None = None, views: Indices | None = None
    ) -> None:
        self.fleet, self.shards = fleet, shards
        n, d = fleet.nodes, fleet.floats if shards is None else shards.floats
        fleet.check_memory(d)
        if shards is not None and shards.nodes != n:
            raise LocalError(f"fleet: shards for {shards.nodes} nodes; allowed is one for each of the {n} nodes")
        if start is not None and (start.shape != (n, d) or not np.isfinite(start).all()):
            raise LocalError(f"fleet: start of shape {start.shape}; allowed are finite vectors of shape ({n}, {d})")
        if views is not None:
            self._check_views(views)
        streams = np.random.SeedSequence(fleet.seed).spawn(len(CAUSES))
        self._draws = {cause: np.random.default_rng(stream) for cause, stream in zip(CAUSES, streams, strict=True)}
        self.crowd = Crowd(d, aligned(n, width_of(d), np.float32), np.zeros(n, kernels.PACE), np.ones(n, np.bool_))
        """All nodes."""
        self._begin(start)
        self._recipients = self._law(views)
        self._set_clocks()
        self._turn_at = self._first_turns()
        self._slot = 0
        self._flights: list[Flight] = []
        self._spare: list[Vectors] = []
        self._sent = 0
        self._tally = Tally(np.zeros(3, np.int64), np.zeros(kernels.TAU_BINS, np.int64))
        self._origin = self._moments(np.ones(n, np.bool_))[0]
        self._measured = np.sort(self._draws["measured"].choice(n, min(n, MEASURED), replace=False))

    @property
    def x(self) -> Vectors:
        """All vectors, shape (n, d); a view."""
        return self.crowd.rows[:, : self.crowd.d]

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self._slot * self.fleet.interval / self.fleet.slots

    @property
    def result_hash(self) -> str:
        """Of all vectors, records and counts: the same for the same setting, on the same kind of machine."""
        result = hashlib.blake2b(digest_size=16)
        for array in (*self.crowd[1:], self._publish_at, *self._tally):
            result.update(array.view(np.uint8).data)
        return result.hexdigest()

    def run(self, until: float) -> None:
        """Let virtual time pass until `until`, in seconds; slots are run whole."""
        while (self._slot + 0.5) * self.fleet.interval / self.fleet.slots < until:
            self._step()
            self._slot += 1

    def samples(self, until: float, every: float) -> Iterator[Sample]:
        """Samples, from now and then `every` so many seconds, until the time `until`."""
        yield self.sample()
        count = 0
        begun = self.now
        while begun + (count := count + 1) * every <= until + 1e-9 * every:
            self.run(begun + count * every)
            yield self.sample()

    def sample(self) -> Sample:
        """What the fleet is like now."""
        mean, square = self._moments(self.crowd.alive)
        n = self.fleet.nodes
        return Sample(
            self.now,
            np.count_nonzero(self.crowd.alive) / n,
            square**0.5,
            float(np.sqrt(np.mean((mean - self._origin) ** 2))),
            self._sent / n,
            int(self._tally.fate[kernels.MERGED]) / n,
            int(self._tally.fate[kernels.REFUSED]),
            tuple(self._tally.taus.tolist()),
            None if self.shards is None else self.shards.scores(self.x[self._measured]),
        )

    def _check_views(self, views: Indices) -> None:
        n = self.fleet.nodes
        if views.ndim != 2 or len(views) != n or self.fleet.graph is not None:
            raise LocalError(f"fleet: views of shape {views.shape}; allowed is ({n}, c), and no graph beside them")
        if (views >= n).any() or (views == np.arange(n)[:, None]).any():
            raise LocalError(f"fleet: views name a node itself or one that is not there; allowed are 0 to {n - 1}")

    def _begin(self, start: Vectors | None) -> None:
        """Write the first vectors, in parts, so that there is never a second copy of all."""
        if start is not None:
            self.x[:] = start
        elif self.shards is not None:
            self.x[:] = self.shards.initial()
        else:
            for first in range(0, self.fleet.nodes, PART):
                part = self.x[first : first + PART]
                part[:] = self._draws["start"].standard_normal(part.shape, dtype=np.float32)

    def _law(self, views: Indices | None) -> Recipients:
        fleet, draw = self.fleet, self._draws["contacts"]
        if views is not None:
            return Contacts(views.astype(np.int32), fleet.k, draw)
        if fleet.graph is not None:
            return Neighbours(fleet.graph)
        if fleet.sampled:
            assert fleet.contacts is not None
            return Sampled(fleet.nodes, fleet.k, fleet.contacts, draw)
        return Circle(fleet.nodes, fleet.k, draw)

    def _set_clocks(self) -> None:
        """As if all had been publishing for long: at any phase, with a pace that is a mean of past intervals."""
        n, slots, draw = self.fleet.nodes, self.fleet.slots, self._draws["clocks"]
        self.crowd.rows[:, self.crowd.d + PROGRESS] = self.fleet.steps
        self.crowd.paces["period"] = slots
        for _ in range(PAST):
            self.crowd.paces["period"] += SMOOTHING * (slots * draw.uniform(*JITTER, n) - self.crowd.paces["period"])
        chance = self._recipients.draw(np.arange(n, dtype=np.int32), self.crowd.alive, 0)[2]
        self.crowd.rows[:, self.crowd.d + RATE] = chance / self.crowd.paces["period"]
        current = slots * draw.uniform(*JITTER, n)
        self._publish_at = current * draw.random(n)
        self.crowd.paces["published_at"] = self._publish_at - current

    def _first_turns(self) -> npt.NDArray[np.float64]:
        """When each node comes or goes next, in slots; those that begin absent are put to sleep."""
        churn, n = self.fleet.churn, self.fleet.nodes
        if churn is None:
            return np.empty(0)
        draw, seconds = self._draws["churn"], self.fleet.slots / self.fleet.interval
        self.crowd.alive[:] = draw.random(n) < churn.present / (churn.present + churn.absent)
        self._publish_at[~self.crowd.alive] = np.inf
        return seconds * draw.exponential(np.where(self.crowd.alive, churn.present, churn.absent))

    def _step(self) -> None:
        """One slot."""
        self._come_and_go()
        if len(self._flights) == self.fleet.latency:
            flight = self._flights.pop(0)
            kernels.merge(flight, self.crowd, self._tally)
            self._spare.append(flight.sent)
        self._flights.append(self._publish())

    def _come_and_go(self) -> None:
        churn = self.fleet.churn
        if churn is None:
            return
        draw, slots = self._draws["churn"], self.fleet.slots
        turning = np.flatnonzero(self._turn_at < self._slot + 1)
        present = self.crowd.alive[turning]
        self.crowd.alive[turning] = ~present
        going, coming = turning[present], turning[~present]
        self._publish_at[going] = np.inf
        back_at = np.maximum(self._turn_at[coming], self._slot)
        self._publish_at[coming] = back_at + slots * draw.uniform(*FIRST, coming.size)
        self.crowd.paces["published_at"][coming] = back_at
        self.crowd.paces["published_age"][coming] = self.crowd.rows[coming, self.crowd.d + AGE]
        stay = np.where(present, churn.absent, churn.present)
        self._turn_at[turning] += slots / self.fleet.interval * draw.exponential(stay)

    def _publish(self) -> Flight:
        """Those whose time has come learn and publish.

        By ascending or descending number, as a coin falls for each slot, which makes either order of any two nodes
        equally likely. The order of their clocks would be no fairer, and would scatter the look-ups.
        """
        fleet, slot = self.fleet, self._slot
        senders = np.flatnonzero(self._publish_at < slot + 1).astype(np.int32)
        if self._draws["order"].random() < 0.5:
            senders = senders[::-1].copy()
        now = self._publish_at[senders]
        self._publish_at[senders] += fleet.slots * self._draws["clocks"].uniform(*JITTER, senders.size)
        if self.shards is not None:
            self.shards.train(self.crowd.rows, senders, fleet.steps)
        to, source, chance = self._recipients.draw(senders, self.crowd.alive, slot // fleet.slots)
        sent = self._room(senders.size)
        kernels.publish(senders, now, chance, fleet.steps, self.crowd, sent)
        self._sent += to.size
        arrives = self._arrives(senders[source], to)
        return Flight(to[arrives], source[arrives], sent)

    def _arrives(self, source: Indices, to: Indices) -> npt.NDArray[np.bool_]:
        """Which messages get through, shape (m,)."""
        arrives = self._draws["loss"].random(to.size, dtype=np.float32) >= self.fleet.loss
        for partition in self.fleet.partitions:
            if partition.start <= self.now < partition.end:
                groups = (ends.astype(np.int64) * partition.groups // self.fleet.nodes for ends in (source, to))
                arrives &= next(groups) == next(groups)
        return arrives

    def _room(self, rows: int) -> Vectors:
        """Room for so many rows; taken from a flight that has landed, if it is enough."""
        if self._spare and len(sent := self._spare.pop()) >= rows:
            return sent
        return aligned(rows + rows // 8 + 16, width_of(self.crowd.d), np.float32)

    def _moments(self, alive: Any) -> tuple[npt.NDArray[np.float64], float]:
        mean = np.empty(self.crowd.d)
        return mean, kernels.moments(self.crowd, alive, mean)
