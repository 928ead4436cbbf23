"""The peer: anchored gossip deltas (AGD) as a sans-IO state machine.

`handle(event, now)` is the only way in, and the returned effects are the only way out. It owns the order of things:
when to join, publish, train and merge. Bytes come in and go out, so a driver never sees a message and the simulator
exercises the decoder. It reads no clock (`now` is an argument), draws from no ambient randomness, and never raises for
what a peer sent: that becomes a Refused effect and changes nothing but the sender's reputation.

One way of the data: Trained → replica → Int8 delta to a base → Send … Received → decode → every check → merge → Train.
"""

from __future__ import annotations

import random
from typing import assert_never

import numpy as np

from gossipfl.codec import int8
from gossipfl.errors import LocalError, RemoteError
from gossipfl.kernels import Kernel
from gossipfl.kernels import numpy as reference
from gossipfl.mixing.metropolis import alpha
from gossipfl.mixing.staleness import staleness
from gossipfl.model.bases import Bases, name_of, parse
from gossipfl.model.replica import REFUSE_RADII, Replica
from gossipfl.model.schema import MAX_COORDINATE, Schema, Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.contacts import Contacts
from gossipfl.protocol.joining import ASKED, ENOUGH, PATIENCE, REBASE_GAP, ROUNDS, Joining, is_behind
from gossipfl.protocol.neighbour import Link, Neighbour
from gossipfl.protocol.neighbourhood import Neighbourhood
from gossipfl.protocol.pace import Pace
from gossipfl.protocol.settings import Settings
from gossipfl.protocol.wanted import Wanted
from gossipfl.wire import messages as msg
from gossipfl_topology.live import Topology, named

MAX_STRIKES = 10
"""Refused frames before the link is cut; an accepted update wins one back."""
PUBLISH, JOIN = "publish", "join"
"""Timers beside Redial ones, which are ("redial", peer)."""
GIVE_AGAIN = 2.0
"""Seconds before the same peer is given another base or snapshot: a request is small, what it asks for is not."""
INTRODUCE_EVERY = 10
"""Publishes between two peer exchanges with a random live peer; finds those who joined at the same moment."""


class Peer:
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

    Raises:
        LocalError: `initial` does not fit `schema`, or is not finite.
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
    ) -> None:
        self.me = me
        self.settings = settings
        self.replica = Replica(schema, initial, kernel)
        self._kernel = kernel
        self.bases = Bases(self.replica.x)
        self.neighbourhood = Neighbourhood(me)
        self.contacts = Contacts(me, settings.role, self.neighbourhood, topology or named(settings.topology))
        self.incarnation, self.seq = incarnation, 0
        self.joining: Joining | None = Joining()
        self._fingerprint = schema.fingerprint
        self._addresses = addresses[: msg.MAX_ADDRESSES]
        self._rng = rng
        self._staleness = staleness(settings.staleness)
        self.wanted = Wanted(self.neighbourhood)
        self._training: int | None = None
        self._trainings = 0
        self.pace = Pace(settings)
        self._out: list[ev.Effect] = []
        for peer, where in (bootstrap or {}).items():
            self.neighbourhood.configure(peer, where)

    def handle(self, event: ev.Event, now: float) -> list[ev.Effect]:
        """What follows from `event` at time `now`, in seconds of a clock that never runs back.

        Where the clock began matters only to how evenly recipients and contacts are drawn: best if all count from 1970.
        """
        self._out = []
        match event:
            case ev.Received(peer, body):
                self._received(peer, body, now)
            case ev.TimerFired(timer):
                self._timer(timer, now)
            case ev.Trained(training, delta, steps):
                self._trained(training, delta, steps, now)
            case ev.TrainingFailed(training, reason):
                self._training_failed(training, reason, now)
            case ev.Connected(peer):
                self._connected(peer, now)
            case ev.Disconnected(peer):
                self._disconnected(peer, now)
            case ev.DialFailed(peer):
                self._dial_later(peer)
            case ev.Started():
                self._emit(ev.SetTimer(JOIN, PATIENCE))
                for peer in list(self.neighbourhood.known):
                    self._dial(peer)
            case ev.Rewired(topology):
                self.contacts.topology = topology
                self.contacts.choose(self._epoch(now))
            case ev.Stopping():
                self._stop(now)
            case _:
                assert_never(event)
        return self._out

    def _emit(self, effect: ev.Effect) -> None:
        self._out.append(effect)

    def _send(self, peer: str, message: msg.Message) -> None:
        self._emit(ev.Send((peer,), msg.encode(message)))

    # --- links

    def _dial(self, peer: str) -> None:
        """Dial `peer` if it is one to have a link with."""
        if self.neighbourhood.wants_link(peer) and self.contacts.wants(peer):
            self.neighbourhood.set_link(peer, Link.DIALLING)
            self._emit(ev.Dial(peer, self.neighbourhood.known[peer].reachable))

    def _keep_contacts(self, now: float) -> None:
        """Dial contacts that there is no link to, and let go of others if there are too many."""
        self.contacts.renew(self._epoch(now))
        for peer in self.contacts.missing():
            self._dial(peer)
        for peer in self.contacts.spare(self._rng):
            self._emit(ev.Disconnect(peer, "there are links enough"))

    def _dial_later(self, peer: str) -> None:
        delay = self.neighbourhood.redial_delay(peer, self._rng)
        if delay is not None:
            self.neighbourhood.set_link(peer, Link.WAITING)
            self._emit(ev.SetTimer(("redial", peer), delay))
        else:
            self.neighbourhood.stop_dialling(peer)

    def _connected(self, peer: str, now: float) -> None:
        self.neighbourhood.set_link(peer, Link.UP)
        neighbour = self.neighbourhood.meet(peer)
        self._greet(peer, neighbour)
        if neighbour.greeted:
            self._linked(peer, now)

    def _linked(self, peer: str, now: float) -> None:
        """`peer` has become live."""
        self.contacts.choose(self._epoch(now))
        if others := self.neighbourhood.introduce(peer, self._rng):
            self._send(peer, msg.Peers(others))
        if self.joining is not None:
            self._try_to_join(now, hurry=False)

    def _greet(self, peer: str, neighbour: Neighbour) -> None:
        hello = msg.Hello(
            self.settings.mesh, self._fingerprint, self.bases.own, self.incarnation, self.seq,
            self.replica.age, self._addresses, self.settings.role, neighbour.greeted,
        )  # fmt: skip
        self._send(peer, hello)

    def _greet_the_silent(self) -> None:
        """Say Hello again where none came back: on a lossy link either may have been lost."""
        for peer in self.neighbourhood.silent():
            self._greet(peer, self.neighbourhood.links[peer])

    def _disconnected(self, peer: str, now: float) -> None:
        if peer not in self.neighbourhood.known:
            return
        self.neighbourhood.set_greeted(peer, greeted=False)
        self.neighbourhood.set_link(peer, Link.NONE)
        self._dial_later(peer)
        if self.joining is not None:
            self._try_to_join(now, hurry=False)

    # --- intake: every check first, then the change

    def _received(self, peer: str, body: bytes, now: float) -> None:
        neighbour = self.neighbourhood.meet(peer)
        try:
            match msg.decode(body):
                case msg.Hello() as hello:
                    self._on_hello(peer, neighbour, hello, now)
                case _ if not neighbour.spoke:
                    pass  # overtook its Hello on the way, or comes from nobody we talk to
                case msg.Update() as update:
                    self._on_update(peer, neighbour, update, now)
                case msg.Peers(peers):
                    for known in peers:
                        if self.neighbourhood.hear_of(known.peer, known.addresses):
                            self._dial(known.peer)
                case msg.NeedBase(base):
                    self._on_need_base(peer, neighbour, base, now)
                case msg.Base() as base:
                    self._on_base(base, now)
                case msg.NeedSnapshot():
                    if self.joining is None and now - neighbour.snapshot_given_at >= GIVE_AGAIN:
                        neighbour.snapshot_given_at = now
                        self._send(peer, self._snapshot())
                case msg.Snapshot() as snapshot:
                    self._on_snapshot(peer, snapshot, now)
                case msg.Goodbye():
                    self.neighbourhood.set_greeted(peer, greeted=False)
                    self.neighbourhood.locate(peer, ())
                case unknown:
                    assert_never(unknown)
        except RemoteError as error:
            self._strike(peer, neighbour, str(error))

    def _strike(self, peer: str, neighbour: Neighbour, reason: str) -> None:
        neighbour.strikes += 1
        self._emit(ev.Refused(peer, reason))
        if neighbour.strikes >= MAX_STRIKES:
            neighbour.strikes = 0
            self.neighbourhood.locate(peer, ())  # not redialled; it may come back by itself
            self._emit(ev.Disconnect(peer, f"refused too often, last: {reason}"))

    def _on_hello(self, peer: str, neighbour: Neighbour, hello: msg.Hello, now: float) -> None:
        if hello.mesh != self.settings.mesh or hello.schema != self._fingerprint:
            theirs = f"mesh {hello.mesh!r}" if hello.mesh != self.settings.mesh else "a model of another schema"
            neighbour.spoke = False
            self.neighbourhood.set_greeted(peer, greeted=False)
            self.neighbourhood.locate(peer, ())
            self._emit(ev.Disconnect(peer, f"it belongs to {theirs}"))
            raise RemoteError(f"it belongs to {theirs}")
        first = not neighbour.greeted
        if not hello.heard and not first:
            self._greet(peer, neighbour)
        neighbour.spoke = True
        neighbour.failed_dials = 0
        self.neighbourhood.set_greeted(peer, greeted=True)
        self.neighbourhood.locate(peer, hello.addresses or neighbour.addresses)
        self.neighbourhood.set_role(peer, hello.role)
        if (hello.incarnation, hello.seq) >= (neighbour.incarnation, neighbour.seq):
            self.neighbourhood.set_version(neighbour, hello.incarnation, hello.seq, hello.age, hello.base)
        if first and neighbour.connected:
            self._linked(peer, now)

    def _on_update(self, peer: str, neighbour: Neighbour, update: msg.Update, now: float) -> None:
        if update.schema != self._fingerprint:
            raise RemoteError("update of another schema")
        if (refusal := neighbour.accepts(update.incarnation, update.seq)) is not None:
            if (update.incarnation, update.seq) <= (neighbour.incarnation, neighbour.seq):
                return  # duplicated or overtaken on the way: nobody's fault, and nothing to do
            raise RemoteError(refusal)
        if self.joining is not None:
            return
        if update.base not in self.bases:
            self.neighbourhood.set_base(neighbour, update.base)
            self._need_base(peer, update.base, now)
            return
        scales, codes = int8.parse(update.payload.scales, update.payload.codes, self.replica.x.size)

        own_age = self.replica.age
        gap = REBASE_GAP * self.pace.progress
        age = min(max(update.age, own_age - gap), own_age + gap)  # ages are self-reported
        tau = max(0.0, own_age - update.age) / self.pace.progress
        weight = alpha(update.rate, self._rate()) * self._staleness.weight(tau)
        allowance = neighbour.allowance_at(now, self.pace.period)
        granted = min(weight, allowance)
        distance, limit, moved = self.replica.merge(self.bases[update.base], scales, codes, granted, age)
        if not distance <= limit:  # NaN and infinity fail this too
            int8.check(scales)
            raise RemoteError(_too_far("update", distance, limit))

        self.neighbourhood.set_version(neighbour, update.incarnation, update.seq, update.age, update.base)
        neighbour.strikes = max(0, neighbour.strikes - 1)
        neighbour.allowance, neighbour.allowed_at = allowance - granted, now
        self._emit(ev.Merged(peer, tau, moved))

    def _decode(self, base: bytes, payload: msg.Int8) -> Vector:
        vector = int8.decode(payload.scales, payload.codes, self.replica.x.size)
        vector += self.bases[base]
        return vector

    # --- bases and snapshots

    def _need_base(self, peer: str, base: bytes, now: float) -> None:
        if self.wanted.ask(peer, base, now):
            self._send(peer, msg.NeedBase(base))

    def _on_need_base(self, peer: str, neighbour: Neighbour, base: bytes, now: float) -> None:
        if base in self.bases and now - neighbour.base_given_at >= GIVE_AGAIN:
            neighbour.base_given_at = now
            self._send(peer, msg.Base(self._fingerprint, self.bases[base].astype("<f4", copy=False).tobytes()))

    def _on_base(self, base: msg.Base, now: float) -> None:
        if base.schema != self._fingerprint:
            raise RemoteError("base of another schema")
        vector = parse(base.vector, self.replica.x.size)
        name = name_of(vector)
        self.wanted.check(name)
        distance, limit = self.replica.distance(vector), REFUSE_RADII * self.replica.radius()
        if not distance <= limit:
            raise RemoteError(_too_far("base", distance, limit))
        self.wanted.got(name)
        self.bases.hold(vector)
        if self.joining is not None:
            for sender, snapshot in self.joining.take_waiting(name).items():
                try:
                    self._add_snapshot(self.joining, sender, snapshot)
                except RemoteError as error:
                    self._strike(sender, self.neighbourhood.meet(sender), str(error))
            self._try_to_join(now, hurry=not self.joining.asked)

    def _agree_on_base(self, now: float) -> None:
        """Publish against the base that most peers use, so that a mesh whose parts began apart comes to share one."""
        common, _ = self.wanted.common(self.bases.own)
        if common == self.bases.own:
            return
        if common in self.bases:
            self.bases.adopt(common)
        else:
            self._need_base(self.wanted.holder(common), common, now)

    def _snapshot(self) -> msg.Snapshot:
        return msg.Snapshot(self._fingerprint, self.bases.own, self.replica.age, self._payload(self.replica.served.x))

    def _payload(self, x: Vector) -> msg.Int8:
        return msg.Int8(*int8.encode(x, self.bases[self.bases.own], self._rng, self._kernel))

    def _on_snapshot(self, peer: str, snapshot: msg.Snapshot, now: float) -> None:
        if snapshot.schema != self._fingerprint:
            raise RemoteError("snapshot of another schema")
        if self.joining is None or peer not in self.joining.asked:
            return  # a late answer
        if snapshot.base in self.bases:
            self._add_snapshot(self.joining, peer, snapshot)
            self._try_to_join(now, hurry=False)
        else:
            self.joining.waiting[peer] = snapshot
            self._need_base(peer, snapshot.base, now)

    def _add_snapshot(self, joining: Joining, peer: str, snapshot: msg.Snapshot) -> None:
        vector = self._decode(snapshot.base, snapshot.payload)
        if not (np.abs(vector) <= MAX_COORDINATE).all():
            raise RemoteError(f"snapshot has a coordinate beyond ±{MAX_COORDINATE:g}")
        joining.snapshots[peer] = (vector, snapshot.age, snapshot.base)

    # --- joining

    def _try_to_join(self, now: float, *, hurry: bool) -> None:
        """Decide with what is known; with `hurry`, the time for waiting is over."""
        joining = self.joining
        assert joining is not None
        if joining.asked:
            if joining.complete(set(self.neighbourhood.live())):
                self._rebase(joining, now)
            elif hurry:
                self._ask_for_snapshots(joining, now)
        elif not is_behind(self.replica.age, self.pace.progress, self.neighbourhood):
            self._start_cold(joining, now, hurry=hurry)
        elif hurry or len(self._ahead()) >= ENOUGH:
            self._ask_for_snapshots(joining, now)

    def _ahead(self) -> list[str]:
        """Live peers with a model ahead of ours. The others may be joining as well, and then don't answer."""
        return self.neighbourhood.ahead_of(self.replica.age)

    def _ask_for_snapshots(self, joining: Joining, now: float) -> None:
        ahead = self._ahead()
        if joining.rounds >= ROUNDS or not ahead:
            if not joining.snapshots:
                self._begin((), now)
            elif len(joining.snapshots) >= min(ENOUGH, len(ahead)):
                self._rebase(joining, now)
            else:  # few speak for many: don't believe them yet
                self.joining = Joining()
                self._emit(ev.SetTimer(JOIN, PATIENCE))
            return
        ask = [peer for peer in ahead if peer not in joining.snapshots]
        ask = self._rng.sample(ask, min(ASKED, len(ask)))
        joining.expect(ask)
        for peer in ask:
            self._send(peer, msg.NeedSnapshot())
        self._emit(ev.SetTimer(JOIN, PATIENCE))

    def _rebase(self, joining: Joining, now: float) -> None:
        vectors = [vector for vector, _, _ in joining.snapshots.values()]
        if (base := joining.common_base()) in self.bases:
            self.bases.adopt(base)
        self.replica.rebase(vectors, joining.median_age())
        self._begin(tuple(joining.snapshots), now)

    def _start_cold(self, joining: Joining, now: float, *, hurry: bool) -> None:
        """Begin with those that begin with us, and from one vector: the base that most have."""
        common, agreed = self.wanted.common(self.bases.own)
        if hurry and common not in self.bases and joining.rounds < ROUNDS:
            joining.rounds += 1
            self._need_base(self.wanted.holder(common), common, now)
            self._emit(ev.SetTimer(JOIN, PATIENCE))
        elif hurry or (agreed and len(self.neighbourhood.live()) >= ENOUGH):
            if common in self.bases and self.replica.age == 0:
                self.bases.adopt(common)
                self.replica.restart(self.bases[common])
            self._begin((), now)

    def _begin(self, sources: tuple[str, ...], now: float) -> None:
        self.joining = None
        self._trainings += 1  # a training that started before is against another model now
        self._training = None
        self.pace.begin(now, self.replica.age)
        self._emit(ev.Joined(sources))
        self._train()
        self._emit(ev.SetTimer(PUBLISH, self.settings.interval * self._rng.uniform(0.5, 1.0)))

    # --- training and publishing

    def _train(self) -> None:
        if self._training is None:
            self._trainings += 1
            self._training = self._trainings
            self._emit(ev.Train(self._training, self.replica.full(), self.settings.steps))

    def _trained(self, training: int, delta: Vector, steps: int, now: float) -> None:
        if training != self._training:
            return  # overtaken by a rebase
        self._training = None
        try:
            self.replica.add_training(delta, steps)
        except LocalError as error:
            self._emit(ev.Failed(str(error)))
        self._publish(now)

    def _training_failed(self, training: int, reason: str, now: float) -> None:
        if training == self._training:
            self._training = None
            self._emit(ev.Failed(reason))
            self._publish(now)

    def _timer(self, timer: object, now: float) -> None:
        match timer:
            case "publish":
                if self.joining is None:
                    self._tick(now)
            case "join":
                if self.joining is not None:
                    self._greet_the_silent()
                    self._try_to_join(now, hurry=True)
            case ("redial", str(peer)):
                self.neighbourhood.stop_dialling(peer)
                self._dial(peer)
            case _:
                raise LocalError(f"timer {timer!r} was not handed out by this peer")

    def _tick(self, now: float) -> None:
        """Once per publish interval: take the merged model into the served one, and train. The publish follows.

        The order matters: local progress must go out before merges dilute it. Published a whole interval after
        training it would have halved with each merge in between, and the mesh learns that much slower.
        """
        if is_behind(self.replica.age, self.pace.progress, self.neighbourhood):
            self.joining = Joining()
            self._ask_for_snapshots(self.joining, now)
            return
        self._keep_contacts(now)
        self._greet_the_silent()
        self._agree_on_base(now)
        self.replica.served.add(self.replica.x)
        self._train()
        self._emit(ev.SetTimer(PUBLISH, self.settings.interval * self._rng.uniform(0.9, 1.1)))

    def _publish(self, now: float) -> None:
        if self.joining is not None:
            return
        self.pace.publish(now, self.replica.age)
        to = self.contacts.recipients(self._epoch(now))
        if not to:
            return
        self.seq += 1
        update = msg.Update(
            self._fingerprint, self.bases.own, self.incarnation, self.seq,
            self.replica.age, self._rate(), self._payload(self.replica.x),
        )  # fmt: skip
        body = msg.encode(update)
        self._emit(ev.Send(to, body, supersedes=True))
        self._emit(ev.Published(self.seq, to, len(body)))
        if self.seq % INTRODUCE_EVERY == 0:
            peer = self._rng.choice(self.neighbourhood.live())
            if others := self.neighbourhood.introduce(peer, self._rng):
                self._send(peer, msg.Peers(others))

    def _rate(self) -> float:
        """q: publishes per second from here to one neighbour."""
        return self.pace.rate(self.contacts.chance())

    def _epoch(self, now: float) -> int:
        return int(now // self.settings.interval)

    def _stop(self, now: float) -> None:
        self._publish(now)
        for peer in self.neighbourhood.live():
            self._send(peer, msg.Goodbye())


def _too_far(what: str, distance: float, limit: float) -> str:
    return f"{what} is {distance:.3g} away from this model; at most {limit:.3g} is sane"
