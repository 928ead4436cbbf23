"""The driver: the daemon's one place that calls `Peer.handle`, and its one match over effects.

Turns timers, training results and what the network delivers into events, one at a time, and carries out what the peer
wants. To be read beside the simulator's (`gossipfl_sims/engine/world.py`): what differs is the world, not the protocol.
"""

from __future__ import annotations

import time
from typing import Any

import trio

from gossipfl.model.schema import Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.peer import Peer
from gossipfl_nodes.daemon.gate import Gate
from gossipfl_nodes.daemon.process import BIG_MODEL, copy
from gossipfl_nodes.daemon.saver import Saver
from gossipfl_nodes.daemon.telemetry import Telemetry
from gossipfl_nodes.daemon.training import Training
from gossipfl_nodes.disk.recorder import Recorder
from gossipfl_nodes.network.network import Network


class Driver:
    """Runs one peer on a network, with a training process, a saver, and a recorder of all that happens to the peer.

    In a closed mesh there is a gate.
    """

    def __init__(
        self, peer: Peer, network: Network, training: Training, saver: Saver, telemetry: Telemetry,
        recorder: Recorder | None = None, gate: Gate | None = None,
    ) -> None:  # fmt: skip
        self._peer = peer
        self._network = network
        self._training = training
        self._saver = saver
        self._telemetry = telemetry
        self._recorder = recorder
        self._gate = gate
        self._epoch = time.time() - trio.current_time()
        """Added to trio's clock, which never runs back, it is the time of day at the start: see Peer.handle."""
        self._timers: dict[Any, trio.CancelScope] = {}
        self._asked: dict[int, trio.MemorySendChannel[list[ev.Effect]]] = {}
        """By the identity of an event: who waits for what follows from it."""
        self.steady = trio.Lock()
        """Held while the peer changes; take it to look at the peer from outside."""

    def now(self) -> float:
        """The time by the peer's clock."""
        return self._epoch + trio.current_time()

    async def run(
        self, inbox: trio.MemoryReceiveChannel[ev.Event], outbox: trio.MemorySendChannel[ev.Event], *, trains: bool
    ) -> None:
        """Handle events from `inbox` until the peer has been stopped. `outbox` is the other end of it."""
        async with trio.open_nursery() as nursery:
            if not trains:
                await self._handle(ev.Paused(), nursery, outbox)
            over = await self._handle(ev.Started(), nursery, outbox)
            while not over:
                over = await self._handle(await inbox.receive(), nursery, outbox)
            await self._network.flush()
            await self._saver.finish()
            nursery.cancel_scope.cancel()

    async def ask(self, event: ev.Event, outbox: trio.MemorySendChannel[ev.Event]) -> list[ev.Effect]:
        """Hand `event` to the peer by way of `outbox`, and return what follows from it once that is carried out."""
        tell, told = trio.open_memory_channel[list[ev.Effect]](1)
        async with tell, told:
            self._asked[id(event)] = tell
            try:
                await outbox.send(event)
                return await told.receive()
            finally:
                del self._asked[id(event)]

    async def _handle(self, event: ev.Event, nursery: trio.Nursery, outbox: trio.MemorySendChannel[ev.Event]) -> bool:
        """Let the peer handle `event`, which is not kept, as it may be large. Returns whether it was the last."""
        async with self.steady:
            now = self.now()
            if self._peer.replica.x.size >= BIG_MODEL:
                effects = await trio.to_thread.run_sync(self._step, event, now)
            else:
                effects = self._step(event, now)
        if isinstance(event, ev.Trained):
            self._training.release()
        self._telemetry.diary.happened(event)
        for effect in effects:
            await self._perform(effect, nursery, outbox)
        if (tell := self._asked.get(id(event))) is not None:
            tell.send_nowait(effects)
        return isinstance(event, ev.Stopping)

    def _step(self, event: ev.Event, now: float) -> list[ev.Effect]:
        if self._recorder is not None:
            self._recorder.before(event, now)
        effects = self._peer.handle(event, now)
        if self._recorder is not None:
            self._recorder.after(effects, self._peer)
        return effects

    async def _perform(
        self, effect: ev.Effect, nursery: trio.Nursery, outbox: trio.MemorySendChannel[ev.Event]
    ) -> None:
        match effect:
            case ev.Send(to, body, supersedes):
                for peer in to:
                    self._network.send(peer, body, supersedes=supersedes)
            case ev.SetTimer(timer, delay):
                if timer in self._timers:
                    self._timers[timer].cancel()
                scope = self._timers[timer] = trio.CancelScope()
                nursery.start_soon(self._wait, timer, delay, scope, outbox)
            case ev.Train():
                nursery.start_soon(self._train, await self._training.hold(effect), outbox)
                await self._saver.begin_interval(nursery)
            case ev.Dial(peer, addresses):
                self._network.dial(peer, addresses)
            case ev.Disconnect(peer, reason):
                self._telemetry.note_disconnect(peer, reason)
                self._network.disconnect(peer)
            case ev.Admitted(peer):
                self._network.admit(peer)
                self._telemetry.note(effect)
            case ev.Revoked(revocation):
                assert self._gate is not None  # or nobody's word would have counted
                self._gate.remember(revocation)
                self._telemetry.note(effect)
            case ev.Published() if self._peer.paused:
                self._telemetry.note(effect)
                await self._saver.begin_interval(nursery)
            case ev.Joined():
                self._saver.joined()
                self._telemetry.note(effect)
            case _:
                self._telemetry.note(effect)

    async def _wait(
        self, timer: Any, delay: float, scope: trio.CancelScope, outbox: trio.MemorySendChannel[ev.Event]
    ) -> None:
        with scope:
            await trio.sleep(delay)
            if self._timers.get(timer) is scope:
                del self._timers[timer]
            await outbox.send(ev.TimerFired(timer))

    async def copy_model(self, out: Vector) -> None:
        """Write the model into `out`, shape (schema.size,)."""
        async with self.steady:
            await copy(out, self._peer.replica.full())

    async def copy_served(self, out: Vector) -> None:
        """Write the served model, with this node's personal values, into `out`, shape (schema.size,)."""
        async with self.steady:
            await copy(out, self._peer.replica.full_served())

    async def _train(self, request: ev.Train, outbox: trio.MemorySendChannel[ev.Event]) -> None:
        await outbox.send(await self._training.train(request, self.copy_model))
