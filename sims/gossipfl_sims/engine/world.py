"""The world: many peers, one event heap, one virtual clock, one seed.

The simulator's only place that calls `Peer.handle`, and its one match over effects, to be read beside the daemon's
(`gossipfl_nodes/daemon/driver.py`). Machines start, crash, sleep and come back; the network between them delays,
loses and damages frames. Deterministic: every draw comes from the seed, and events at the same time run in the order in
which they were made. Never trio tasks: its scheduler is not deterministic. Knows no scenario and judges nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from heapq import heappop, heappush
from math import inf
from typing import IO, Protocol, TypeAlias

import msgspec

from gossipfl.errors import LocalError
from gossipfl.kernels import Kernel
from gossipfl.kernels import numpy as reference
from gossipfl.membership.charter import Charter
from gossipfl.protocol import events as ev
from gossipfl.protocol.peer import Peer
from gossipfl.protocol.saved import Schedule
from gossipfl.protocol.settings import Settings
from gossipfl.tasks.task import Task, train
from gossipfl_sims.engine.authority import Authority
from gossipfl_sims.engine.draws import Draws
from gossipfl_sims.engine.machine import Machine
from gossipfl_sims.engine.network import Link, Network, Wall
from gossipfl_sims.engine.trace import Trace
from gossipfl_topology.live import Topology

FRAME_LENGTH = 4
"""Bytes that a stream carries for each frame beside its body."""
SILENCE = 12.0
"""Seconds until a link that carries nothing is cut, as the daemon does."""
RESET = 0.05
"""Seconds until the others notice that a process died: its sockets close."""
FAREWELL = 5.0
"""Mean latencies until the links of one who left on purpose close: its last frames arrive before."""
FLUSH = 2.0
"""Seconds that a process which stops waits until its queue has left."""
UNREACHABLE, UNANSWERED = 1.0, 5.0
"""Seconds until a dial fails: where nobody listens, and where nothing comes back."""
MOST_LINKS = 128
"""As many as a daemon's network keeps."""

Action: TypeAlias = Callable[[], None]


class Observer(Protocol):
    """Sees every event of every peer, before and after."""

    def before(self, machine: Machine, event: ev.Event) -> None:
        """`event` is about to be handled."""
        ...

    def after(self, machine: Machine, event: ev.Event, effects: list[ev.Effect]) -> None:
        """`event` was handled, and these are its effects, none of which is carried out yet."""
        ...


class World:
    """Machines on a network; all are down at first.

    Args:
        tasks: one for each machine.
        settings: of every peer.
        link: the law of the network.
        seed: of everything random.
        seconds_per_step: duration of one local training step: of each machine, or of all.
        topology: who gets a publish, if the settings don't say it all.
        roles: of the machines, if they have any.
        closed: has every machine a key, and does it need the word of the first one, which has founded the mesh?
        bootstraps: so many of the first machines have addresses that all others know.
        kernel: what does the peers' vector maths.
        trace: a file for all that happens.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        settings: Settings,
        *,
        link: Link | None = None,
        seed: int = 0,
        seconds_per_step: float | Sequence[float] = 0.001,
        topology: Topology | None = None,
        roles: Sequence[str] | None = None,
        closed: bool = False,
        bootstraps: int = 1,
        kernel: Kernel = reference,
        trace: IO[str] | None = None,
    ) -> None:
        n = len(tasks)
        speeds = [seconds_per_step] * n if isinstance(seconds_per_step, int | float) else seconds_per_step
        self.now = 0.0
        self.settings = settings
        self.topology = topology
        self.draws = Draws(seed)
        self.network = Network(link or Link(), self.draws)
        self.observers: list[Observer] = []
        self.on_frame: Callable[[str, str, bytes], None] | None = None
        """Called with sender, receiver and frame body for each frame sent."""
        self._training = self.draws.generator("training")
        self._seeds = random.Random(int(self.draws.generator("peers").integers(2**63)))
        self._heap: list[tuple[float, int, Machine | None, int, ev.Event | Action]] = []
        self._count = 0
        self._held: list[tuple[Machine, Machine, int, ev.Received]] = []
        self.trace = Trace(trace)
        width = max(3, len(str(n - 1)))
        made = [
            Machine(i, f"n{i:0{width}}", task, speeds[i], roles[i] if roles else settings.role)
            for i, task in enumerate(tasks)
        ]
        self.authority = Authority(settings.mesh, self.draws.generator("keys")) if closed else None
        for machine in made:
            self._admit(machine)
        self.machines = {machine.name: machine for machine in made}
        self._devices = made
        self._bootstraps = bootstraps
        self._kernel = kernel

    @property
    def trace_hash(self) -> str:
        """Of every event so far, in order, with its time and machine."""
        return self.trace.digest

    def __iter__(self) -> Iterator[Machine]:
        return iter(self._devices)

    def _admit(self, machine: Machine) -> None:
        """Give a machine that has just got its name what it needs in a closed mesh: another name, which is a key."""
        if self.authority is not None and machine.index == 0:
            machine.name, machine.charter = self.authority.founder, Charter(self.authority.founder)
        elif self.authority is not None:
            machine.name, machine.charter = self.authority.admit()

    # --- what can be done to machines

    def start(self, name: str) -> None:
        """Boot a machine with what is on its disk. It knows where the first ones are."""
        machine = self.machines[name]
        assert not machine.up, f"{name} is up"
        machine.incarnation += 1
        machine.life += 1
        machine.asleep_until = 0.0
        machine.uplink.hang_up()
        machine.schedule = Schedule()
        settings = self.settings
        machine.peer = Peer(
            name,
            machine.task.schema,
            machine.task.initial(),
            msgspec.structs.replace(settings, role=machine.role),
            random.Random(self._seeds.getrandbits(64)),
            incarnation=machine.incarnation,
            addresses=(name,),
            bootstrap={first.name: (first.name,) for first in self._devices[: self._bootstraps]},
            topology=self.topology,
            kernel=self._kernel,
            saved=machine.saved,
            charter=machine.charter,
        )
        self._schedule(0.0, machine, ev.Started())

    def crash(self, name: str, *, disk: bool = True) -> None:
        """kill -9: no goodbye, no memory. Peers notice soon, as their sockets close.

        Args:
            name: the machine.
            disk: does its disk survive? Then it goes on from what it saved last. If not, it will come back as somebody
                else, unless it is one that others bootstrap from: their addresses name its key, so its operator keeps
                a copy of that.
        """
        machine = self.machines[name]
        self._down(machine, RESET)
        if not disk:
            machine.saved = None
        if not disk and machine.index >= self._bootstraps:
            generation = machine.life
            del self.machines[name]
            machine.name = f"{machine.identity}.{generation}"
            machine.incarnation = 0
            self._admit(machine)
            self.machines[machine.name] = machine

    def stop(self, name: str) -> None:
        """Let a machine leave on purpose: it says goodbye and saves; what it has queued may still leave for a while."""
        machine = self.machines[name]
        self._happen(self._count, machine, ev.Stopping())
        machine.save()
        farewell = FAREWELL * self.network.link.latency + RESET
        uplink, line = machine.uplink, machine.uplink.line
        if uplink.sending:
            uplink.flushing = True
            self.at(FLUSH, lambda: uplink.hang_up() if uplink.line == line else None)
            farewell += FLUSH
        self._down(machine, farewell)

    def ban(self, name: str) -> None:
        """Have the founder of a closed mesh ban a machine."""
        assert self.authority is not None
        self._happen(self._count, self.machines[self.authority.founder], ev.Revoke(self.authority.ban(name)))

    def freeze(self, name: str, seconds: float) -> None:
        """Nothing happens on a machine for so long, as after kill -STOP; then it goes on as if nothing had been."""
        machine = self.machines[name]
        if machine.asleep_until <= self.now:
            machine.asleep_since = self.now
        machine.asleep_until = max(machine.asleep_until, self.now + seconds)
        life, since = machine.life, machine.asleep_since

        def silent() -> None:
            if machine.life == life and machine.asleep_since == since and machine.asleep_until > self.now:
                for other in sorted(machine.links):
                    self._unlink(machine.name, other)

        self.at(SILENCE, silent)

    # --- what can be done to the network

    def raise_wall(self, wall: Wall, *, hold: bool = False) -> None:
        """From now on nothing passes `wall`, or with `hold` waits there. Links across it end once they are silent."""
        network = self.network
        (network.dams if hold else network.walls).append(wall)

        def silent() -> None:
            if any(one is wall for one in network.dams + network.walls):
                for machine in self._devices:
                    for name in sorted(machine.links):
                        other = self.machines.get(name)  # None: gone, and noticed soon
                        if other is not None and wall.blocks(machine.index, other.index):
                            self._unlink(machine.name, name)

        self.at(SILENCE, silent)

    def lower_wall(self, wall: Wall) -> None:
        """`wall` is gone, and what waited behind it goes on."""
        network = self.network
        network.walls = [one for one in network.walls if one is not wall]
        if any(one is wall for one in network.dams):
            network.dams = [one for one in network.dams if one is not wall]
            held, self._held = self._held, []
            for machine, receiver, life, received in held:
                if receiver.life == life:
                    self._carry(machine, receiver.name, received)

    # --- time

    def at(self, delay: float, action: Action) -> None:
        """Let something happen to the world in `delay` seconds."""
        self._count += 1
        heappush(self._heap, (self.now + delay, self._count, None, 0, action))

    def run(self, until: float) -> None:
        """Let virtual time pass until `until`, in seconds."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, count, machine, life, what = heappop(heap)
            if machine is None:
                what()  # type: ignore[operator]
            elif machine.life == life and machine.peer is not None:
                if machine.asleep_until > self.now:
                    heappush(heap, (machine.asleep_until, count, machine, life, what))
                else:
                    self._happen(count, machine, what)  # type: ignore[arg-type]
        self.now = until

    def _schedule(self, delay: float, machine: Machine, event: ev.Event) -> int:
        """Put `event` on the heap for the machine's present life."""
        self._count += 1
        heappush(self._heap, (self.now + delay, self._count, machine, machine.life, event))
        return self._count

    # --- the seam

    def _happen(self, count: int, machine: Machine, event: ev.Event) -> None:
        peer = machine.peer
        assert peer is not None
        if type(event) is ev.Received:
            if event.peer not in machine.links:
                return
        elif type(event) is ev.TimerFired:
            if machine.timers.get(event.timer) != count:
                return  # replaced by a later one
            del machine.timers[event.timer]
        self.trace.note(self.now, machine.index, machine.name, event)
        now = machine.offset + machine.rate * self.now
        if self.observers:
            for observer in self.observers:
                observer.before(machine, event)
            effects = peer.handle(event, now)
            for observer in self.observers:
                observer.after(machine, event, effects)
        else:
            effects = peer.handle(event, now)
        for effect in effects:
            if type(effect) is ev.Merged:  # the most frequent one
                machine.merges += 1
            else:
                self._perform(machine, effect)

    def _perform(self, machine: Machine, effect: ev.Effect) -> None:
        match effect:
            case ev.Send():
                self._send(machine, effect.to, effect.body, supersedes=effect.supersedes)
            case ev.SetTimer(timer, delay):
                machine.timers[timer] = self._schedule(delay / machine.rate, machine, ev.TimerFired(timer))
            case ev.Train():
                self._train(machine, effect)
                self._save_if_due(machine)
            case ev.Dial(peer, _):
                self._dial(machine, peer)
            case ev.Disconnect(peer, _):
                self._unlink(machine.name, peer)
            case ev.Joined():
                machine.schedule.joined()
            case _:
                pass  # a report, which observers have seen

    def _train(self, machine: Machine, request: ev.Train) -> None:
        vector = request.start.copy()
        try:
            done = train(machine.task, vector, request.steps, self._training, request.age).steps
        except LocalError as error:
            self._schedule(0.0, machine, ev.TrainingFailed(request.training, str(error)))
            return
        vector -= request.start
        seconds = done * machine.seconds_per_step * machine.slowdown
        self._schedule(seconds, machine, ev.Trained(request.training, vector, done))

    def _save_if_due(self, machine: Machine) -> None:
        """An interval begins. Writing takes no time here."""
        now = machine.clock(self.now)
        if machine.schedule.due(now):
            machine.save()
            machine.schedule.saved(now, now)

    # --- links and frames

    def _down(self, machine: Machine, noticed_after: float) -> None:
        """The process is gone. What it has sent arrives; the other ends of its links notice after a while."""
        machine.peer = None
        machine.life += 1
        machine.timers.clear()
        if not machine.uplink.flushing:
            machine.uplink.hang_up()
        for name, number in machine.links.items():
            if (other := self.machines.get(name)) is not None:
                self.at(noticed_after, partial(self._notice, other, machine.name, number))
        machine.links.clear()

    def _notice(self, machine: Machine, gone: str, number: int) -> None:
        """The link with that number is dead, if `machine` still has it."""
        if machine.links.get(gone) == number:
            del machine.links[gone]
            self._schedule(0.0, machine, ev.Disconnected(gone))

    def _dial(self, machine: Machine, name: str) -> None:
        other = self.machines.get(name)
        if other is None or other.peer is None or len(other.links) >= MOST_LINKS:
            self._schedule(UNREACHABLE, machine, ev.DialFailed(name))
        elif name not in machine.links:
            both = ((machine, other), (other, machine))
            if any(self.network.stops(a.index, b.index) for a, b in both) or other.asleep_until > self.now:
                self._schedule(UNANSWERED, machine, ev.DialFailed(name))
                return
            if machine.name in other.links:  # with an earlier life of ours
                self._notice(other, machine.name, other.links[machine.name])
            self._count += 1
            number = self._count
            for end, far in both:
                end.links[far.name] = number
                self._schedule(2 * self.network.link.latency, end, ev.Connected(far.name, end is machine))

    def _unlink(self, one: str, other: str) -> None:
        for end, far in ((one, other), (other, one)):
            machine = self.machines.get(end)
            if machine is not None and far in machine.links:
                del machine.links[far]
                self._schedule(self.network.link.latency, machine, ev.Disconnected(far))

    def _send(self, machine: Machine, to: tuple[str, ...], body: bytes, *, supersedes: bool) -> None:
        unlimited = self.network.link.bandwidth == inf
        if unlimited and machine.lie is None:
            received = ev.Received(machine.name, body)  # one for all
            for receiver in to:
                self._leave(machine, receiver, received)
            return
        for receiver in to:
            for told in (body,) if machine.lie is None else machine.lie(body, receiver):
                if unlimited:
                    self._leave(machine, receiver, ev.Received(machine.name, told))
                    continue
                machine.uplink.put(receiver, told, supersedes=supersedes)
                if not machine.uplink.sending:
                    self._send_next(machine, machine.uplink.line)

    def _send_next(self, machine: Machine, line: int) -> None:
        """Send what waits longest, which takes a while, and then the next."""
        if machine.uplink.line == line and (frame := machine.uplink.take()) is not None:
            receiver, body = frame

            def sent() -> None:
                if machine.uplink.line == line:
                    self._leave(machine, receiver, ev.Received(machine.name, body))
                    self._send_next(machine, line)

            self.at((len(body) + FRAME_LENGTH) / self.network.link.bandwidth, sent)

    def _leave(self, machine: Machine, receiver: str, received: ev.Received) -> None:
        """What `receiver` is to receive has left `machine`."""
        machine.frames_sent += 1
        machine.bytes_sent += len(received.body) + FRAME_LENGTH
        if self.on_frame is not None:
            self.on_frame(machine.name, receiver, received.body)
        self._carry(machine, receiver, received)

    def _carry(self, machine: Machine, receiver: str, received: ev.Received) -> None:
        other = self.machines.get(receiver)
        if other is None:
            return
        network = self.network
        if network.dams and network.holds(machine.index, other.index):
            network.faults["held frame"] += 1
            self._held.append((machine, other, other.life, received))
            return
        sent = received.body
        for delay, body in network.arrivals(machine.index, other.index, sent):
            self._schedule(delay, other, received if body is sent else ev.Received(received.peer, body))
