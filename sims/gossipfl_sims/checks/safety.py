"""Safety: what must hold after every single event, whatever goes wrong.

The simulator knows what no node can know: what a sender really published, which versions were merged, what a refused
frame would have changed. Each rule is one method, and names what it found; nothing here ends a run. A run with checks
takes about twice as long.
"""

from __future__ import annotations

import zlib
from collections import deque
from itertools import chain
from typing import Any

import numpy as np
from msgspec import Struct

from gossipfl.codec.codec import Delta, decode
from gossipfl.codec.quantisers import check, values
from gossipfl.errors import RemoteError
from gossipfl.kernels import Index
from gossipfl.model.bases import MAX_HELD
from gossipfl.model.schema import Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.joining import ASKED, REBASE_GAP, ROUNDS
from gossipfl.protocol.neighbourhood import MAX_KNOWN
from gossipfl.protocol.parts.wanted import MAX_WANTED
from gossipfl.protocol.peer import PUBLISH, Peer
from gossipfl.protocol.saved import Saved
from gossipfl.wire import messages as msg
from gossipfl_sims.engine.machine import Machine
from gossipfl_sims.engine.world import MOST_LINKS, World

MOST = 100
"""Violations kept: the first one matters."""
REMEMBERED = 32
"""Versions of each sender whose true vector is kept; one that arrives later can't be told from a lie."""
FASTEST, SOON = 32.0, 10.0
"""So many times an interval's steps may an age grow by in an interval: models are published right after training, which
makes it 1.6; a clock may run twice as fast; and each liar adds up to 8. And ten intervals at the start."""
ROUNDING = 1e-5
"""Relative error of float32 sums."""


class Violation(Struct, frozen=True):
    """A rule that was broken: when, by whom, at which event, and how."""

    time: float
    node: str
    event: str
    rule: str
    detail: str


class Before(Struct):
    """What is to be compared with after an event."""

    message: msg.Message | None
    mark: tuple[Any, ...]
    x: Vector
    served: Vector
    age: float
    correction: float


class Life:
    """What is known of one life of one machine."""

    def __init__(self, life: int) -> None:
        self.life = life
        self.merged: dict[str, tuple[int, int]] = {}
        self.snapshots: dict[str, list[Vector]] = {}
        """All that each peer said: one may still wait for its base while an earlier one is taken."""
        self.training: int | None = None
        self.seq = 0


class Safety:
    """The rules, as an observer of `world`.

    Args:
        world: observed from now on.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.violations: list[Violation] = []
        self.broken = 0
        self.liars: set[str] = set()
        self._lives: dict[int, Life] = {}
        self._published: dict[str, deque[tuple[int, int, Vector]]] = {}
        self._bases: dict[bytes, Vector] = {}
        self._saved: dict[int, tuple[Saved, tuple[Any, ...]]] = {}
        """By machine: what it saved last, and what that was then."""
        self._low: Vector | None = None
        self._high: Vector | None = None
        self._before: Before | None = None
        world.observers.append(self)

    # --- the observer

    def before(self, machine: Machine, event: ev.Event) -> None:
        """Remember what must not change, or only in a certain way."""
        peer = machine.peer
        assert peer is not None
        if machine.lie is not None:
            self.liars.add(machine.name)
        self._note_saved(machine, peer)
        message = None
        if isinstance(event, ev.Received):
            try:
                message = msg.decode(event.body)
            except RemoteError:
                message = None
        replica = peer.replica
        correction = peer.correction() if peer.settings.rate_correction else 1.0
        self._before = Before(
            message, mark(peer, event), replica.x.copy(), replica.served.x.copy(), replica.age, correction
        )

    def after(self, machine: Machine, event: ev.Event, effects: list[ev.Effect]) -> None:
        """Check every rule."""
        peer, before = machine.peer, self._before
        assert peer is not None
        assert before is not None
        life = self._lives.get(machine.index)
        if life is None or life.life != machine.life:
            life = self._lives[machine.index] = Life(machine.life)
        self._note_base(peer)
        if isinstance(before.message, msg.Snapshot) and isinstance(event, ev.Received):
            self._note_snapshot(event.peer, before.message, life)
        rules = [
            self._goes_on(machine, peer, event), self._sane(machine, peer), self._bounded(machine, peer),
            self._refused(peer, event, effects, before), self._moved(peer, event, effects, before, life),
            self._served(peer, effects, before),
        ]  # fmt: skip
        for effect in effects:
            match effect:
                case ev.Merged(sender, _, weight):
                    rules.append(self._merged(peer, sender, weight, before, life))
                case ev.Joined(sources):
                    rules.append(self._joined(peer, sources, life))
                case ev.Train(training, _, _, _):
                    life.training = training
                case ev.Published(seq, _, _):
                    rules.append(self._published_next(machine, peer, seq, life))
                case _:
                    pass
        rules.append(self._in_hull(peer, effects, before))
        for broken in rules:
            if broken is not None:
                self.report(machine, event, *broken)

    def report(self, machine: Machine, event: ev.Event | None, rule: str, detail: str) -> None:
        """A rule is broken."""
        self.broken += 1
        if len(self.violations) < MOST:
            name = "the end of the run" if event is None else type(event).__name__
            self.violations.append(Violation(self._world.now, machine.name, name, rule, detail))

    # --- the rules: each gives None, or its name and what it found

    def _goes_on(self, machine: Machine, peer: Peer, event: ev.Event) -> tuple[str, str] | None:
        """Who comes back goes on from what it saved, as that was when it was saved."""
        if isinstance(event, ev.Started) and machine.saved is not None:
            replica, (saved, was) = peer.replica, self._saved[machine.index]
            back = content(replica.x, replica.full(), replica.served.x, peer.bases[peer.bases.own], replica.age)
            if back != was:
                return "who comes back goes on from what it saved", f"age {replica.age}, saved at {saved.model.age}"
        return None

    def _sane(self, machine: Machine, peer: Peer) -> tuple[str, str] | None:
        x = peer.replica.x
        if not np.isfinite(np.dot(x, x)) or not np.isfinite(peer.replica.served.x).all():
            return "models are finite", f"|x| = {np.linalg.norm(x)}"
        settings = peer.settings
        oldest = FASTEST * settings.steps * (self._world.now / settings.interval + SOON)
        if len(self._lives) > 3 and peer.replica.age > oldest:  # of two, nobody can tell who lies
            return "ages don't run away", f"{peer.replica.age:.4g} steps; nobody can have trained {oldest:.4g}"
        if peer.incarnation != machine.incarnation:
            return "the incarnation is that of the disk", f"{peer.incarnation}, not {machine.incarnation}"
        return None

    def _bounded(self, machine: Machine, peer: Peer) -> tuple[str, str] | None:
        joining = peer.joining
        for what, size, most in (
            ("peers known", len(peer.neighbourhood.known), MAX_KNOWN),
            ("bases held", len(peer.bases), MAX_HELD),
            ("bases wanted", len(peer.wanted.asked), MAX_WANTED),
            ("links", len(machine.links), MOST_LINKS),
            ("timers", len(machine.timers), MAX_KNOWN + 2),
            ("snapshots", len(joining.snapshots) + len(joining.waiting) if joining else 0, 2 * ASKED * ROUNDS),
        ):
            if size > most:
                return "every queue is bounded", f"{size} {what}; at most {most}"
        return None

    def _refused(self, peer: Peer, event: ev.Event, effects: list[ev.Effect], before: Before) -> tuple[str, str] | None:
        refusals = [effect for effect in effects if isinstance(effect, ev.Refused)]
        if refusals and not any(isinstance(effect, ev.Disconnect) for effect in effects):
            changed = [
                str(i) for i, (old, new) in enumerate(zip(before.mark, mark(peer, event), strict=True)) if old != new
            ]
            if changed:
                names = ", ".join(MARKED[int(i)] for i in changed)
                return "a refused frame changes nothing", f"it changed {names}: {refusals[0].reason}"
        return None

    def _moved(
        self, peer: Peer, event: ev.Event, effects: list[ev.Effect], before: Before, life: Life
    ) -> tuple[str, str] | None:
        """x changes only by a merge, by the training that was asked for last, by a way of joining, or by momentum."""
        x = peer.replica.x
        same = np.array_equal(x, before.x)
        if isinstance(event, ev.Trained):
            wanted, life.training = (
                life.training == event.training,
                None if life.training == event.training else life.training,
            )
            if not wanted:
                return None if same else ("training of an overtaken model is not added", f"training {event.training}")
            if any(isinstance(effect, ev.Failed) for effect in effects):
                return None
            shared, _ = peer.replica.schema.split(event.delta)
            error = float(np.abs(x - before.x - np.float32(before.correction) * shared).max())
            if error > ROUNDING * (1 + float(np.abs(x).max())):
                return "what was trained is added, and merges stay", f"off by {error:.3g}"
            return None
        if isinstance(event, ev.TimerFired) and event.timer == PUBLISH and peer.settings.momentum != "none":
            return None
        if not same and not any(isinstance(effect, ev.Merged | ev.Joined) for effect in effects):
            return "a model changes by merging, training or joining only", f"by {np.abs(x - before.x).max():.3g}"
        return None

    def _served(self, peer: Peer, effects: list[ev.Effect], before: Before) -> tuple[str, str] | None:
        """The served average is between what it was and the model that it takes in: never worse than the worse one."""
        served, x = peer.replica.served.x, peer.replica.x
        if np.array_equal(served, before.served):
            return None
        if any(isinstance(effect, ev.Joined) for effect in effects):
            low = high = x
        else:  # momentum moves x after that
            low, high = np.minimum(before.served, before.x), np.maximum(before.served, before.x)
        slack = ROUNDING * (1 + float(np.abs(x).max()))
        if (served < low - slack).any() or (served > high + slack).any():
            return "the served model is between its inputs", "a coordinate is outside"
        return None

    def _merged(self, peer: Peer, sender: str, weight: float, before: Before, life: Life) -> tuple[str, str] | None:
        update = before.message
        if not isinstance(update, msg.Update):
            return "only updates are merged", f"not {type(update).__name__}"
        version = (update.incarnation, update.seq)
        if version <= life.merged.get(sender, (0, 0)):
            return "no version is applied twice", f"{version} of {sender}, after {life.merged[sender]}"
        life.merged[sender] = version
        if not 0 <= weight <= 0.5:
            return "a merge moves at most half the way", f"weight {weight}"
        replica = peer.replica
        if abs(replica.age - before.age) > 0.5 * REBASE_GAP * peer.settings.steps + 1e-6 * replica.age:
            return "an age that a peer claims moves ours a little", f"from {before.age} to {replica.age}"
        if (true := self._true(sender, version)) is None or sender in self.liars:
            return None
        wanted = before.x.copy()
        index, _, step = told(update.payload, wanted.size)
        wanted[index] += np.float32(weight) * (true[index] - wanted[index])
        error = np.abs(replica.x - wanted).max()
        allowed = weight * step + ROUNDING * (1 + float(np.abs(true).max()))
        if error > allowed:
            return (
                "a merge goes towards what the sender published",
                f"off by {error:.3g}; the codec errs by {allowed:.3g}",
            )
        return None

    def _in_hull(self, peer: Peer, effects: list[ev.Effect], before: Before) -> tuple[str, str] | None:
        """No merge leaves the hull of all models so far, coordinate by coordinate, by more than the codec errs."""
        x = peer.replica.x
        outside = None
        if self._low is None or self._high is None:
            self._low, self._high = np.minimum(x, before.x), np.maximum(x, before.x)
        elif np.array_equal(x, before.x):
            return None
        elif isinstance(before.message, msg.Update) and not self.liars:
            np.minimum(self._low, before.x, out=self._low)  # it may have begun here, and not moved since
            np.maximum(self._high, before.x, out=self._high)
            weight = max((effect.weight for effect in effects if isinstance(effect, ev.Merged)), default=0.0)
            _, _, step = told(before.message.payload, x.size)
            slack = weight * step + ROUNDING * (1 + float(np.abs(x).max()))
            if (x < self._low - slack).any() or (x > self._high + slack).any():
                outside = "a merge stays in the hull of all models", f"it leaves it by more than {slack:.3g}"
        np.minimum(self._low, x, out=self._low)
        np.maximum(self._high, x, out=self._high)
        return outside

    def _joined(self, peer: Peer, sources: tuple[str, ...], life: Life) -> tuple[str, str] | None:
        life.training = None
        said = [life.snapshots.get(source, []) for source in sources]
        life.snapshots.clear()
        if not sources or not all(said):
            return None
        x = peer.replica.x
        known = list(chain.from_iterable(said))
        low, high = np.minimum.reduce(known), np.maximum.reduce(known)
        slack = ROUNDING * (1 + float(np.abs(x).max()))
        if (x < low - slack).any() or (x > high + slack).any():
            return "who joins takes up the mesh's model", "it is outside of the snapshots' hull"
        return None

    def _published_next(self, machine: Machine, peer: Peer, seq: int, life: Life) -> tuple[str, str] | None:
        last, life.seq = life.seq, seq
        kept = self._published.setdefault(machine.name, deque(maxlen=REMEMBERED))
        kept.append((peer.incarnation, seq, peer.replica.x.copy()))
        return None if seq > last else ("versions are numbered upwards", f"{seq} after {last}")

    # --- what the simulator knows

    def _true(self, sender: str, version: tuple[int, int]) -> Vector | None:
        for incarnation, seq, x in self._published.get(sender, ()):
            if (incarnation, seq) == version:
                return x
        return None

    def _note_saved(self, machine: Machine, peer: Peer) -> None:
        saved, (known, _) = machine.saved, self._saved.get(machine.index, (None, ()))
        if saved is not None and saved is not known:
            model = saved.model
            full = peer.replica.schema.join(model.x, model.personal)
            self._saved[machine.index] = saved, content(model.x, full, model.served, saved.base, model.age)

    def _note_base(self, peer: Peer) -> None:
        own = peer.bases.own
        if own not in self._bases:
            self._bases[own] = peer.bases[own]

    def _note_snapshot(self, sender: str, snapshot: msg.Snapshot, life: Life) -> None:
        base = self._bases.get(snapshot.base)
        if base is not None:
            try:
                index, difference, _ = told(snapshot.payload, base.size)
            except RemoteError:
                return
            vector = base.copy()
            vector[index] += difference
            life.snapshots.setdefault(sender, []).append(vector)


def content(*parts: Vector | float) -> tuple[Any, ...]:
    """What stands for the vectors and numbers in `parts`."""
    return tuple(zlib.crc32(np.ascontiguousarray(part).data) for part in parts)


def told(delta: Delta, size: int) -> tuple[Index, Vector, float]:
    """Which coordinates a delta carries, the differences that it says, and by how much those may be off.

    Raises:
        RemoteError: it is none.
    """
    index, scales, codes = decode(delta, size)
    check(scales)
    return index, values(scales, codes), float(scales.max(initial=0))


MARKED = (
    "x", "the served model", "the age", "the own base", "the bases", "seq", "the joining",
    "the peers known",
    "what is known of the sender",
)  # fmt: skip


RECORDED: dict[str, Any] = {"incarnation": 0, "seq": 0, "age": 0.0, "base": b"", "role": "", "greeted": False}
"""What is known of a sender, and what it is at first."""


def mark(peer: Peer, event: ev.Event) -> tuple[Any, ...]:
    """What a refused frame must leave as it is; see MARKED. What its sender is thought of may change."""
    replica, joining, known = peer.replica, peer.joining, peer.neighbourhood.known
    sender = known.get(event.peer) if isinstance(event, ev.Received) else None
    return (
        *(zlib.crc32(vector.data) for vector in (replica.x, replica.served.x)),
        replica.age,
        peer.bases.own,
        len(peer.bases),
        (peer.incarnation, peer.seq),
        None if joining is None else (joining.rounds, len(joining.asked), len(joining.snapshots), len(joining.waiting)),
        len(known) - (sender is not None),
        # Of somebody who never said Hello there is no more than an address: the same as a record with nothing in it.
        tuple(getattr(sender, name, usual) for name, usual in RECORDED.items()),
    )
