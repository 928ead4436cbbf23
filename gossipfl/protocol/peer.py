"""The peer: anchored gossip deltas (AGD) as a sans-IO state machine.

`handle(event, now)` is the only way in, and the returned effects are the only way out. It owns the order of things:
when to join, publish, train and merge. Bytes come in and go out, so a driver never sees a message and the simulator
exercises the decoder. It reads no clock (`now` is an argument), draws from no ambient randomness, and never raises for
what a peer sent: that becomes a Refused effect and changes nothing but the sender's reputation.

One way of the data: Trained → replica → delta to a base → Send … Received → decode → every check → merge → Train.
"""

from __future__ import annotations

import random
from typing import assert_never

import numpy as np

from gossipfl.errors import LocalError, RemoteError
from gossipfl.kernels import Kernel
from gossipfl.kernels import numpy as reference
from gossipfl.membership.charter import Charter
from gossipfl.mixing.rate_correction import factor
from gossipfl.model.schema import Schema, Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.neighbour import Neighbour
from gossipfl.protocol.neighbourhood import MAX_KNOWN
from gossipfl.protocol.parts.admission import Admission
from gossipfl.protocol.parts.census import Census
from gossipfl.protocol.parts.exchange import Exchange
from gossipfl.protocol.parts.failures import PROBE, Failures
from gossipfl.protocol.parts.joiner import JOIN, Joiner
from gossipfl.protocol.parts.links import Links
from gossipfl.protocol.parts.merging import Merging
from gossipfl.protocol.parts.publishing import Publishing
from gossipfl.protocol.parts.reach import Reach
from gossipfl.protocol.parts.state import State
from gossipfl.protocol.saved import Notes, Saved
from gossipfl.protocol.settings import Settings
from gossipfl.wire import messages as msg
from gossipfl_topology.live import Topology

PUBLISH = "publish"
"""A timer, beside JOIN and the redial ones, which are ("redial", peer), and ("pardon", peer)."""
INTRODUCE_EVERY = 10
"""Publishes between two peer exchanges with a random live peer; finds those who joined at the same moment."""
LONELY, LONELY_EVERY = 3, 3
"""Who has fewer links asks as often as this."""


class Peer(State):
    """One node's protocol state.

    Args:
        me: this node's id.
        schema: the layout of the model.
        initial: the full initial vector, shape (schema.size,).
        settings: the knobs.
        rng: all randomness that the protocol uses.
        incarnation: larger than in any earlier life of this id.
        addresses: where this node can be reached, told to peers.
        bootstrap: addresses of peers to find the mesh by.
        topology: who gets a publish; must be given if the settings name a graph file.
        kernel: what does the vector maths.
        saved: what an earlier life of this id remembered: it goes on from there, and not from `initial`.
        charter: who is of the mesh; without one it is open to anybody who comes.

    Raises:
        LocalError: `initial`, or what was saved, does not fit `schema`, or is not finite; or the charter has no place
            for `me`.
    """

    def __init__(
        self,
        me: str,
        schema: Schema,
        initial: Vector,
        settings: Settings,
        rng: random.Random,
        *,
        incarnation: int,
        addresses: tuple[str, ...] = (),
        bootstrap: dict[str, tuple[str, ...]] | None = None,
        topology: Topology | None = None,
        kernel: Kernel = reference,
        saved: Saved | None = None,
        charter: Charter | None = None,
    ) -> None:
        super().__init__(
            me, schema, initial, settings, rng,
            incarnation=incarnation, addresses=addresses, topology=topology, kernel=kernel, saved=saved,
            charter=charter,
        )  # fmt: skip
        self._exchange = Exchange(self)
        self._merging = Merging(self, self._exchange)
        self._joiner = Joiner(self, self._exchange, self._begin)
        self.reach = Reach(self)
        self._links = Links(self, self.reach, self._joiner.news)
        self._publishing = Publishing(self)
        self.census = Census(self)
        self._failures = Failures(self, self._links, self.census)
        self.paused = False
        """Is local training to rest?"""
        self._training: int | None = None
        self._trainings = 0
        self._saves = 0
        self._remembered = dict(saved.notes.peers) if saved else {}
        """Where peers could be reached in an earlier life, or before they left."""
        self._look_up()
        for peer, where in (bootstrap or {}).items():
            self.neighbourhood.configure(peer, where)
        self._admission = Admission(self, self._links, self._failures)

    def handle(self, event: ev.Event, now: float) -> list[ev.Effect]:
        """What follows from `event` at time `now`, in seconds of a clock that never runs back.

        Where the clock began matters only to how evenly recipients and contacts are drawn: best if all count from 1970.
        """
        effects = self.out = []
        match event:
            case ev.Received(peer, body):
                self._received(peer, body, now)
            case ev.TimerFired(timer):
                self._timer(timer, now)
            case ev.Trained(training, delta, steps):
                self._trained(training, delta, steps, now)
            case ev.TrainingFailed(training, reason):
                self._training_failed(training, reason, now)
            case ev.Connected(peer, dialled):
                self._admission.connected(peer, now, dialled=dialled)
            case ev.Disconnected(peer):
                self._admission.disconnected(peer)
                self._failures.lost(peer)
                self._links.disconnected(peer, now)
            case ev.DialFailed(peer):
                self._links.dial_later(peer)
            case ev.Found(peer, addresses):
                self._links.on_found(peer, addresses)
            case ev.Readdressed(addresses):
                self._links.move(addresses)
            case ev.Started():
                self._joiner.patience()
                self._links.dial_all()
                self._failures.begin()
            case ev.Rewired() | ev.Paused() | ev.Resumed() | ev.Hurried():
                self._obey(event, now)
            case ev.Revoke(revocation):
                self._admission.revoke(revocation, now)
            case ev.Stopping():
                self._stop(now)
            case _:
                assert_never(event)
        self.out = []  # they may be large, and are the driver's now
        return effects

    # --- intake: every check first, then the change

    def _received(self, peer: str, body: bytes, now: float) -> None:
        if not self._admission.admits(peer):
            self._admission.on_stranger(peer, body, now)
            return
        neighbour = self.neighbourhood.meet(peer)
        try:
            match msg.decode(body):
                case msg.Hello() as hello:
                    self._links.on_hello(peer, neighbour, hello, now)
                    self._failures.heard(peer)
                case _ if not neighbour.spoke:
                    pass  # overtook its Hello on the way, or comes from nobody we talk to
                case message:
                    self._failures.heard(peer)
                    self._listen(peer, neighbour, message, now)
        except RemoteError as error:
            self._strike(peer, str(error), now)

    def _strike(self, peer: str, reason: str, now: float) -> None:
        if self._links.strike(peer, reason, now):
            self._admission.shun(peer, reason, now)

    def _listen(self, peer: str, neighbour: Neighbour, message: msg.Message, now: float) -> None:
        match message:
            case msg.Update():
                self._merging.on_update(peer, neighbour, message, now)
            case msg.NeedBase():
                self._exchange.on_need_base(peer, neighbour, message, now)
            case msg.Base():
                if (name := self._exchange.take(message)) is not None:
                    for sender, reason in self._joiner.on_base(name, now):
                        self._strike(sender, reason, now)
            case msg.NeedSnapshot():
                self._exchange.on_need_snapshot(peer, neighbour, now)
            case msg.Snapshot():
                self._joiner.on_snapshot(peer, message, now)
            case msg.Peers():
                self._links.on_peers(peer, message, now)
            case msg.Goodbye():
                if message.leaves:
                    self._remember(peer, neighbour.addresses)
                    self._failures.left(peer, neighbour)
                self._links.on_goodbye(peer, message)
            case msg.Revocations():
                self._admission.on_revocations(peer, message, now)
            case msg.Credential():
                pass  # it does not know that we know it
            case msg.Ping() | msg.Ack() | msg.PingFor():
                self._failures.on_message(peer, message, now)
            case _:
                raise LocalError(f"{type(message).__name__} is nobody's")

    # --- training and publishing

    def _timer(self, timer: object, now: float) -> None:
        match timer:
            case "publish":
                if self.joining is None:
                    self._tick(now)
            case "join":
                if self.joining is not None:
                    self._links.greet_the_silent()
                    self._joiner.hurry(now)
            case "probe":
                self._failures.on_timer(now)
            case ("redial", str(peer)):
                self._links.redial(peer)
            case ("pardon", str(peer)):
                self._admission.pardon(peer)
            case _:
                raise LocalError(f"timer {timer!r} was not handed out by this peer")

    def _tick(self, now: float) -> None:
        """Once per publish interval: take the merged model into the served one, and train. The publish follows.

        The order matters: local progress must go out before merges dilute it. Published a whole interval after
        training it would have halved with each merge in between, and the mesh learns that much slower.
        """
        if self._joiner.is_behind():
            self._joiner.again(now)
            return
        if not self.neighbourhood.live():
            self._look_up()
        self._links.keep(now)
        self.reach.look(now)
        self._exchange.agree(now)
        self.replica.end_interval(self.settings.momentum, self.pace.own)
        self._train(now)
        self.emit(ev.SetTimer(PUBLISH, self.settings.interval * self.rng.uniform(0.9, 1.1)))

    def _begin(self, sources: tuple[str, ...], now: float) -> None:
        """The node has joined."""
        self.joining = None
        self._trainings += 1  # a training that started before is against another model now
        self._training = None
        self.pace.begin(now, self.replica.age)
        self._publishing.begin()
        self.emit(ev.Joined(sources))
        self._train(now)
        self.emit(ev.SetTimer(PUBLISH, self.settings.interval * self.rng.uniform(0.5, 1.0)))

    def _train(self, now: float) -> None:
        """Train, and publish when that is done; or publish at once while training rests."""
        if self.paused and self._training is None:
            self._publish(now)
        elif self._training is None:
            self._trainings += 1
            self._training = self._trainings
            self.emit(ev.Train(self._training, self.replica.full(), self.settings.steps, self.replica.age))

    def _trained(self, training: int, delta: Vector, steps: int, now: float) -> None:
        if training != self._training:
            return  # overtaken by a rebase
        self._training = None
        try:
            if self.settings.rate_correction:
                delta = delta * np.float32(self.correction())
            self.replica.add_training(delta, steps)
            self.pace.trained(steps)
        except LocalError as error:
            self.emit(ev.Failed(str(error)))
        self._publish(now)

    def correction(self) -> float:
        """By what a training's result is multiplied; see `gossipfl.mixing.rate_correction`."""
        known = self.neighbourhood.links.values()
        return factor(self.rate(), [neighbour.rate for neighbour in known if neighbour.live])

    def _training_failed(self, training: int, reason: str, now: float) -> None:
        if training == self._training:
            self._training = None
            self.emit(ev.Failed(reason))
            self._publish(now)

    def _publish(self, now: float) -> None:
        if self.joining is not None:
            return
        live = self.neighbourhood.live()
        if self._publishing.publish(now) and self.seq % (LONELY_EVERY if len(live) < LONELY else INTRODUCE_EVERY) == 0:
            self._links.introduce(self.rng.choice(live), now, asks=True)

    def _obey(self, order: ev.Rewired | ev.Paused | ev.Resumed | ev.Hurried, now: float) -> None:
        """What this device's user wants."""
        match order:
            case ev.Rewired(topology):
                self.contacts.rewire(topology, self.epoch(now))
            case ev.Hurried():
                self._publish(now)
            case _:
                self.paused = isinstance(order, ev.Paused)

    # --- what outlives it

    def save(self) -> Saved:
        """All that this peer must remember, as it is now. Costs nothing: what is held is copied before it changes."""
        hood, pace = self.neighbourhood, self.pace
        book = {peer: addresses for peer in hood.ranked() if (addresses := hood.known[peer].addresses)}
        if not hood.live():  # the network may be down, or all have left: who was there is worth remembering
            book = dict(list((book | self._remembered | book).items())[:MAX_KNOWN])
        self._saves += 1
        notes = Notes(self.incarnation, self._saves, pace.progress, pace.period, self.budget.state, book)
        return Saved(notes, self.replica.checkpoint(), self.bases[self.bases.own])

    def _look_up(self) -> None:
        """Hear again of those who were there, as hearsay: who does not answer is forgotten, if somebody else does."""
        for peer, addresses in self._remembered.items():
            self.neighbourhood.hear_of(peer, addresses)

    def _remember(self, peer: str, addresses: tuple[str, ...]) -> None:
        """`peer` leaves: nobody dials it, but who comes back alone may look for it there."""
        if addresses:
            self._remembered.pop(peer, None)
            self._remembered[peer] = addresses
            if len(self._remembered) > MAX_KNOWN:
                del self._remembered[next(iter(self._remembered))]

    def _stop(self, now: float) -> None:
        self._publish(now)
        for peer in self.neighbourhood.live():
            self.send(peer, msg.Goodbye(leaves=True))


__all__ = ["INTRODUCE_EVERY", "JOIN", "PROBE", "PUBLISH", "Peer"]
