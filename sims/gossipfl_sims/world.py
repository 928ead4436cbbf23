"""The world: many peers, one event heap, one virtual clock, one seed.

The simulator's only place that calls `Peer.handle`, and its one match over effects, to be read beside the daemon's
(`gossipfl_nodes/daemon/driver.py`). Links delay, lose, duplicate and damage frames; nodes train real tasks in virtual
time, crash and come back. Deterministic: every random draw comes from the seed, one stream per cause, and events at the
same time run in the order in which they were made. Never trio tasks: its scheduler is not deterministic.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable, Iterator
from typing import Any, assert_never

import numpy as np
from msgspec import Struct

from gossipfl.protocol import events as ev
from gossipfl.protocol.peer import Peer
from gossipfl.protocol.settings import Settings
from gossipfl.tasks.task import Task


class Link(Struct, frozen=True):
    """What happens to frames on their way; the same law for every pair of nodes."""

    latency: float = 0.02
    """Mean delay in seconds; each frame's is exponential, so frames overtake each other."""
    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    """Probability that one bit of a frame flips."""


class Machine:
    """One simulated device: its task, its peer while it is up, and what it survives a crash with."""

    def __init__(self, name: str, task: Task, seconds_per_step: float) -> None:
        self.name = name
        self.task = task
        self.seconds_per_step = seconds_per_step
        self.peer: Peer | None = None
        self.incarnation = 0
        self.timers: dict[Any, int] = {}
        self.links: set[str] = set()
        self.bytes_sent = 0
        self.reports: list[tuple[float, ev.Report]] = []

    def accuracy(self) -> float:
        """Of the served model, on the task's held-out data."""
        assert self.peer is not None
        return self.task.evaluate(self.peer.replica.full_served())["accuracy"]


class World:
    """Machines on a network.

    Args:
        tasks: one for each machine.
        settings: of every peer.
        link: the law of the network.
        seed: of everything random.
        seconds_per_step: duration of one local training step on each machine.
    """

    def __init__(
        self,
        tasks: list[Task],
        settings: Settings,
        *,
        link: Link | None = None,
        seed: int = 0,
        seconds_per_step: float = 0.001,
    ) -> None:
        self.now = 0.0
        self.settings = settings
        self.link = link or Link()
        self.on_frame: Callable[[str, str, bytes], None] | None = None
        """Called with sender, receiver and frame body for each frame sent."""
        network, peers, training = np.random.SeedSequence(seed).spawn(3)
        self._network = np.random.default_rng(network)
        self._seeds = random.Random(int(peers.generate_state(1)[0]))
        self._training = np.random.default_rng(training)
        self._heap: list[tuple[float, int, str, int, ev.Event]] = []
        self._count = 0
        self._trace = hashlib.blake2b(digest_size=16)
        self.machines = {f"n{i:03}": Machine(f"n{i:03}", task, seconds_per_step) for i, task in enumerate(tasks)}
        self.cut: Callable[[str, str], bool] = lambda _sender, _receiver: False
        """Whether the network is cut between two machines."""

    @property
    def trace_hash(self) -> str:
        """Of every event so far, in order, with its time and machine."""
        return self._trace.hexdigest()

    def __iter__(self) -> Iterator[Machine]:
        return iter(self.machines.values())

    def start(self, name: str) -> None:
        """Boot a machine with nothing but its identity and incarnation; it knows the first machine's address."""
        machine = self.machines[name]
        machine.incarnation += 1
        first = next(iter(self.machines))
        machine.peer = Peer(
            name,
            machine.task.schema,
            machine.task.initial(),
            self.settings,
            random.Random(self._seeds.getrandbits(64)),
            incarnation=machine.incarnation,
            addresses=(name,),
            bootstrap={first: (first,)},
        )
        self._schedule(0.0, name, ev.Started())

    def crash(self, name: str) -> None:
        """kill -9: no goodbye, no memory. Peers notice after a while, as their sockets close."""
        machine = self.machines[name]
        machine.peer = None
        machine.timers.clear()
        for other in sorted(machine.links):
            self.machines[other].links.discard(name)
            self._schedule(0.05, other, ev.Disconnected(name))
        machine.links.clear()

    def run(self, until: float) -> None:
        """Let virtual time pass until `until`, in seconds."""
        while self._heap and self._heap[0][0] <= until:
            self.now, count, name, incarnation, event = heapq.heappop(self._heap)
            if self.machines[name].incarnation == incarnation:
                self._happen(count, self.machines[name], event)
        self.now = until

    def _schedule(self, delay: float, name: str, event: ev.Event) -> int:
        """Put `event` on the heap for the machine's present life."""
        self._count += 1
        entry = (self.now + delay, self._count, name, self.machines[name].incarnation, event)
        heapq.heappush(self._heap, entry)
        return self._count

    def _happen(self, count: int, machine: Machine, event: ev.Event) -> None:
        peer = machine.peer
        if peer is None:
            return
        match event:
            case ev.TimerFired(timer):
                if machine.timers.get(timer) != count:
                    return
                del machine.timers[timer]
            case ev.Received(sender, body):
                if sender not in machine.links:
                    return
                self._trace.update(body)
            case _:
                pass
        self._trace.update(f"{self.now!r} {machine.name} {type(event).__name__}".encode())
        for effect in peer.handle(event, self.now):
            self._perform(machine, effect)

    def _perform(self, machine: Machine, effect: ev.Effect) -> None:
        match effect:
            case ev.Send(to, body, _):
                for receiver in to:
                    self._transmit(machine, receiver, body)
            case ev.SetTimer(timer, delay):
                machine.timers[timer] = self._schedule(delay, machine.name, ev.TimerFired(timer))
            case ev.Train(training, start, steps):
                vector = start.copy()
                done = machine.task.train(vector, steps, self._training).steps
                vector -= start
                self._schedule(done * machine.seconds_per_step, machine.name, ev.Trained(training, vector, done))
            case ev.Dial(peer, _):
                self._dial(machine, peer)
            case ev.Disconnect(peer, _):
                self._unlink(machine.name, peer)
            case ev.Joined() | ev.Published() | ev.Merged() | ev.Refused() | ev.Failed():
                machine.reports.append((self.now, effect))
            case _:
                assert_never(effect)

    def _dial(self, machine: Machine, name: str) -> None:
        other = self.machines.get(name)
        if other is None or other.peer is None or self.cut(machine.name, name):
            self._schedule(1.0, machine.name, ev.DialFailed(name))
        elif name not in machine.links:
            machine.links.add(name)
            other.links.add(machine.name)
            self._schedule(2 * self.link.latency, machine.name, ev.Connected(name))
            self._schedule(2 * self.link.latency, name, ev.Connected(machine.name))

    def _unlink(self, one: str, other: str) -> None:
        for end, far in ((one, other), (other, one)):
            if far in self.machines[end].links:
                self.machines[end].links.discard(far)
                self._schedule(self.link.latency, end, ev.Disconnected(far))

    def _transmit(self, machine: Machine, receiver: str, body: bytes) -> None:
        machine.bytes_sent += len(body)
        if self.on_frame is not None:
            self.on_frame(machine.name, receiver, body)
        link, draw = self.link, self._network
        if self.cut(machine.name, receiver) or draw.random() < link.loss:
            return
        for _ in range(2 if draw.random() < link.duplication else 1):
            arriving = _flip_a_bit(body, draw) if draw.random() < link.corruption else body
            delay = float(draw.exponential(link.latency))
            self._schedule(delay, receiver, ev.Received(machine.name, arriving))


def _flip_a_bit(body: bytes, draw: np.random.Generator) -> bytes:
    damaged = bytearray(body)
    bit = int(draw.integers(8 * len(body)))
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
