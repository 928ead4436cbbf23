"""The fleet once more, node by node in plain numpy and Python, with the protocol's own functions where it has them.

It draws from the same streams in the same order as `FleetWorld`, so that both must end with the same bytes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from gossipfl.mixing.metropolis import alpha
from gossipfl.mixing.staleness import Hinge
from gossipfl.model.replica import FLOOR_RMS, REFUSE_RADII
from gossipfl.protocol.contacts import TURN
from gossipfl.protocol.joining import REBASE_GAP
from gossipfl.protocol.pace import SMOOTHING
from gossipfl_sims.fleet.setting import Fleet
from gossipfl_sims.fleet.world import CAUSES, FIRST, JITTER, PAST

WORD = 0xFFFFFFFF
Message = tuple[int, "npt.NDArray[np.float32]", float, float]


class Node:
    def __init__(self, x: npt.NDArray[np.float32], steps: int, slots: int) -> None:
        self.x = x
        self.alive = True
        self.age, self.progress, self.rate = 0.0, float(steps), 0.0
        self.period, self.published_at, self.published_age = float(slots), 0.0, 0.0
        self.publish_at = self.turn_at = math.inf


class Reference:
    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        n, slots = fleet.nodes, fleet.slots
        streams = np.random.SeedSequence(fleet.seed).spawn(len(CAUSES))
        self.draws = {cause: np.random.default_rng(stream) for cause, stream in zip(CAUSES, streams, strict=True)}
        vectors = self.draws["start"].standard_normal((n, fleet.floats), dtype=np.float32)
        self.nodes = [Node(x.copy(), fleet.steps, slots) for x in vectors]
        self.slot = self.sent = self.merged = self.refused = self.missed = 0
        self.flights: list[list[Message]] = []
        self.epoch, self.turn = -1, 0
        self._choose_contacts()
        self._set_clocks()

    def _choose_contacts(self) -> None:
        fleet, draw = self.fleet, self.draws["contacts"]
        self.order = np.arange(fleet.nodes, dtype=np.int32)
        self.rings: list[list[int]] = []
        if fleet.sampled:
            assert fleet.contacts is not None
            self.salt = draw.integers(2**32, size=2, dtype=np.uint32).tolist()
            self.rings = [draw.permutation(fleet.nodes).tolist() for _ in range(fleet.contacts // 2)]

    def _set_clocks(self) -> None:
        n, slots, draw = self.fleet.nodes, self.fleet.slots, self.draws["clocks"]
        for _ in range(PAST):
            for node, jitter in zip(self.nodes, draw.uniform(*JITTER, n).tolist(), strict=True):
                node.period += SMOOTHING * (slots * jitter - node.period)
        for i, node in enumerate(self.nodes):
            node.rate = single(self._recipients(i, 0)[1] / node.period)
        for node, jitter, phase in zip(self.nodes, draw.uniform(*JITTER, n), draw.random(n), strict=True):
            current = slots * float(jitter)
            node.publish_at = current * float(phase)
            node.published_at = node.publish_at - current
        if (churn := self.fleet.churn) is not None:
            draw = self.draws["churn"]
            for node, chance in zip(self.nodes, draw.random(n), strict=True):
                node.alive = bool(chance < churn.present / (churn.present + churn.absent))
                if not node.alive:
                    node.publish_at = math.inf
            stay = [churn.present if node.alive else churn.absent for node in self.nodes]
            for node, until in zip(self.nodes, draw.exponential(stay), strict=True):
                node.turn_at = slots / self.fleet.interval * float(until)

    def _recipients(self, me: int, epoch: int) -> tuple[list[int], float]:
        fleet = self.fleet
        if fleet.graph is not None:
            return [j for j in fleet.graph.neighbours()[me] if self.nodes[j].alive], 1.0
        if fleet.sampled:
            while epoch // TURN > self.turn:
                self.rings[self.turn % len(self.rings)] = self.draws["contacts"].permutation(fleet.nodes).tolist()
                self.turn += 1
            contacts = {ring[(ring.index(me) + step) % fleet.nodes] for ring in self.rings for step in (1, -1)}
            others = [j for j in contacts if self.nodes[j].alive]
            factor = scatter(self.salt[1] ^ epoch) | 1
            here = scatter(self.salt[0] ^ me)
            others.sort(key=lambda j: (scatter(self.salt[0] ^ j) - here) * factor & WORD)
            return others[: fleet.k], min(1.0, fleet.k / max(1, len(others)))
        if epoch > self.epoch:
            self.epoch = epoch
            self.draws["contacts"].shuffle(self.order)
        circle = self.order.tolist()
        place = circle.index(me)
        others = [j for j in circle[place + 1 :] + circle[:place] if self.nodes[j].alive]
        living = sum(node.alive for node in self.nodes)
        return others[: fleet.k], min(1.0, fleet.k / max(1, living - 1))

    def run(self, slots: int) -> None:
        for _ in range(slots):
            self._turn_over()
            if len(self.flights) == self.fleet.latency:
                for message in self.flights.pop(0):
                    self._merge(*message)
            self.flights.append(self._publish())
            self.slot += 1

    def _turn_over(self) -> None:
        churn, slots = self.fleet.churn, self.fleet.slots
        if churn is None:
            return
        draw = self.draws["churn"]
        turning = [node for node in self.nodes if node.turn_at < self.slot + 1]
        coming = [node for node in turning if not node.alive]
        for node in turning:
            node.alive = not node.alive
            node.publish_at = math.inf
        for node, jitter in zip(coming, draw.uniform(*FIRST, len(coming)), strict=True):
            node.published_at, node.published_age = max(node.turn_at, self.slot), node.age
            node.publish_at = node.published_at + slots * float(jitter)
        stay = [churn.present if node.alive else churn.absent for node in turning]
        for node, until in zip(turning, draw.exponential(stay), strict=True):
            node.turn_at += slots / self.fleet.interval * float(until)

    def _publish(self) -> list[Message]:
        fleet = self.fleet
        due = [i for i, node in enumerate(self.nodes) if node.publish_at < self.slot + 1]
        if self.draws["order"].random() < 0.5:
            due.reverse()
        messages, sources = [], []
        jitters = self.draws["clocks"].uniform(*JITTER, len(due)).tolist()
        for i, jitter in zip(due, jitters, strict=True):
            node = self.nodes[i]
            to, chance = self._recipients(i, self.slot // fleet.slots)
            node.age = single(node.age + fleet.steps)
            node.period += SMOOTHING * (node.publish_at - node.published_at - node.period)
            gained = max(0.0, node.age - node.published_age)
            node.progress = single(max(1.0, node.progress + SMOOTHING * (gained - node.progress)))
            node.rate = single(chance / node.period)
            node.published_at, node.published_age = node.publish_at, node.age
            node.publish_at += fleet.slots * jitter
            messages += [(j, node.x.copy(), node.age, node.rate) for j in to]
            sources += [i for _ in to]
        self.sent += len(messages)
        chances = self.draws["loss"].random(len(messages), dtype=np.float32)
        return [
            message
            for message, source, chance in zip(messages, sources, chances, strict=True)
            if chance >= fleet.loss and not self._cut(source, message[0])
        ]

    def _cut(self, source: int, to: int) -> bool:
        now = self.slot * self.fleet.interval / self.fleet.slots
        return any(
            source * partition.groups // self.fleet.nodes != to * partition.groups // self.fleet.nodes
            for partition in self.fleet.partitions
            if partition.start <= now < partition.end
        )

    def _merge(self, to: int, sent: npt.NDArray[np.float32], age: float, rate: float) -> None:
        node = self.nodes[to]
        if not node.alive:
            self.missed += 1
            return
        norm = length(sent.astype(np.float64) - node.x)
        radius = length(node.x.astype(np.float64)) + FLOOR_RMS * math.sqrt(node.x.size)
        if norm > REFUSE_RADII * radius:
            self.refused += 1
            return
        gap = REBASE_GAP * node.progress
        tau = max(0.0, node.age - age) / node.progress
        clip = min(1.0, radius / norm) if norm > 0 else 1.0
        weight = clip * (alpha(rate, node.rate) * Hinge().weight(tau))
        node.x += np.float32(weight) * (sent - node.x)
        node.age = single(node.age + weight * (min(max(age, node.age - gap), node.age + gap) - node.age))
        self.merged += 1


def single(number: float) -> float:
    """As it is kept in a row."""
    return float(np.float32(number))


def length(vector: npt.NDArray[np.float64]) -> float:
    """Summed as the kernel does: whole fours in four lanes, and what remains to the first of them."""
    whole = vector.size // 4 * 4
    lanes = [0.0] * 4
    for c, value in enumerate(vector.tolist()):
        lanes[c % 4 if c < whole else 0] += value * value
    return math.sqrt((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]))


def scatter(number: int) -> int:
    number = (number ^ number >> 16) * 0x85EBCA6B & WORD
    number = (number ^ number >> 13) * 0xC2B2AE35 & WORD
    return number ^ number >> 16
