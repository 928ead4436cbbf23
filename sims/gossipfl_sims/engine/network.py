"""The network: what happens to frames between two devices.

Owns the law of the links (latency, loss, duplication, reordering, corruption), the walls of partitions, and who waits
behind them. Decides when which bytes arrive; never looks into a frame, and knows devices by their index only.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Annotated, Literal, Protocol, TypeAlias

from msgspec import Meta, Struct

from gossipfl_sims.engine.draws import Draws

Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
SIGMA = 0.5
"""σ of log-normal latencies: the slowest of a hundred frames takes three times as long as the usual one."""
LATE = 10.0
"""A reordered frame is late by up to so many mean latencies."""


class Link(Struct, frozen=True, forbid_unknown_fields=True):
    """The law of every link."""

    latency: Annotated[float, Meta(ge=0, le=3600)] = 0.02
    """Mean delay in seconds."""
    law: Literal["exponential", "lognormal", "fixed"] = "exponential"
    """How delays are distributed. But for fixed ones, frames may overtake each other."""
    loss: Share = 0.0
    """Probability that a frame is lost."""
    duplication: Share = 0.0
    """Probability that it arrives twice."""
    reordering: Share = 0.0
    """Probability that it comes late, by up to ten mean latencies, so that later ones overtake it."""
    corruption: Share = 0.0
    """Probability that one of its bits flips."""
    bandwidth: Annotated[float, Meta(gt=0)] = math.inf
    """Bytes per second that a device can send."""

    @property
    def calm(self) -> Link:
        """The same link without faults: as fast, and nothing is lost."""
        return Link(latency=self.latency, law=self.law, bandwidth=self.bandwidth)


class Wall(Protocol):
    """A partition of the network."""

    def blocks(self, sender: int, receiver: int) -> bool:
        """Does nothing get from the one to the other?"""
        ...


class Network:
    """Decides the fate of frames.

    Args:
        link: the law of the links.
        draws: where chance comes from.
    """

    def __init__(self, link: Link, draws: Draws) -> None:
        self.link = link
        self.walls: list[Wall] = []
        """What they block is lost."""
        self.dams: list[Wall] = []
        """What they block waits until they are gone."""
        self.faults: Counter[str] = Counter()
        """How many frames met with what."""
        self._latency = draws.uniform("latency") if link.law == "exponential" else draws.normal("latency")
        self._loss, self._duplication = draws.uniform("loss"), draws.uniform("duplication")
        self._reordering, self._corruption = draws.uniform("reordering"), draws.generator("corruption")

    def blocks(self, sender: int, receiver: int) -> bool:
        """Does a wall stand between the two, in this direction?"""
        return any(wall.blocks(sender, receiver) for wall in self.walls)

    def holds(self, sender: int, receiver: int) -> bool:
        """Must frames in this direction wait?"""
        return any(dam.blocks(sender, receiver) for dam in self.dams)

    def stops(self, sender: int, receiver: int) -> bool:
        """Does nothing get through now, in this direction?"""
        return self.blocks(sender, receiver) or self.holds(sender, receiver)

    def delay(self) -> float:
        """Seconds that a frame takes."""
        link = self.link
        if link.law == "exponential":
            return -link.latency * math.log1p(-self._latency())
        if link.law == "lognormal":
            return link.latency * math.exp(SIGMA * self._latency() - SIGMA * SIGMA / 2)
        return link.latency

    def arrivals(self, sender: int, receiver: int, body: bytes) -> list[tuple[float, bytes]]:
        """When, from now in seconds, which bytes arrive: nothing, one frame, or two."""
        link = self.link
        if self.walls and self.blocks(sender, receiver):
            self.faults["blocked frame"] += 1
            return []
        if link.loss and self._loss() < link.loss:
            self.faults["lost frame"] += 1
            return []
        twice = link.duplication and self._duplication() < link.duplication
        if not (twice or link.reordering or link.corruption):
            return [(self.delay(), body)]
        if twice:
            self.faults["duplicated frame"] += 1
        return [self._arrival(body) for _ in range(2 if twice else 1)]

    def _arrival(self, body: bytes) -> tuple[float, bytes]:
        link, delay = self.link, self.delay()
        if link.reordering and self._reordering() < link.reordering:
            self.faults["reordered frame"] += 1
            delay += link.latency * LATE * self._reordering()
        if link.corruption and self._corruption.random() < link.corruption:
            self.faults["corrupted frame"] += 1
            body = flipped(body, int(self._corruption.integers(8 * len(body))))
        return delay, body


def flipped(body: bytes, bit: int) -> bytes:
    """`body` with one bit flipped."""
    damaged = bytearray(body)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
