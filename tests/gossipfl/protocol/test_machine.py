"""One peer, and a world that throws anything at it in any order: it never raises, its bounds hold, and it can begin
again from whatever it saved, which nothing changes.
"""

import math
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gossipfl.model.bases import MAX_HELD, name_of
from gossipfl.model.replica import MAX_AGE
from gossipfl.protocol import events as ev
from gossipfl.protocol.joining import ASKED, ROUNDS
from gossipfl.protocol.neighbourhood import MAX_KNOWN
from gossipfl.protocol.parts.wanted import MAX_WANTED
from gossipfl.wire import messages as msg
from tests.gossipfl.builders import (
    a_peer,
    base_message,
    content,
    full_of,
    hello,
    int8,
    noise,
    only,
    quantised,
    said,
    snapshot,
    update,
)

SIZE = 8
OTHERS = st.sampled_from(["a", "b", "c", "d", "stranger"])
AGES = st.sampled_from([0.0, 1.0, 50.0, 5000.0, 1e9, MAX_AGE])
SCALES = st.sampled_from([0.0, 1e-3, 1.0, 1e4, 1e8, 1e9, 3e38, -1.0, math.nan, math.inf])
BASES = [full_of(0.5, SIZE), full_of(0.25, SIZE), noise(SIZE, 1), noise(SIZE, 2), noise(SIZE, 3), full_of(3.4e38, SIZE)]
WHICH = st.integers(0, len(BASES) - 1)


class PeerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.peer = a_peer(BASES[0], bootstrap={"a": ("at a",)}, interval=0.5)
        self.timers: dict[Any, None] = {}
        self.training: ev.Train | None = None
        self.last_seq = 0
        self.saved = self.peer.save()
        self.content = content(self.saved)
        self.happen(ev.Started())

    def happen(self, event: ev.Event) -> None:
        effects = self.peer.handle(event, self.now)
        for to, _ in said(effects):  # decodes every frame as its receiver would
            assert self.peer.me not in to
        for timer in only(ev.SetTimer, effects):
            assert 0 < timer.delay < 100
            self.timers[timer.timer] = None
        for train in only(ev.Train, effects):
            assert np.isfinite(train.start).all()
            assert not self.peer.paused
            self.training = train
        for merged in only(ev.Merged, effects):
            assert 0 <= merged.weight <= 0.5
        for published in only(ev.Published, effects):
            assert published.seq > self.last_seq
            self.last_seq = published.seq

    @rule(seconds=st.sampled_from([0.01, 0.5, 6.0, 1e5]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(other=OTHERS)
    def link_up(self, other: str) -> None:
        self.happen(ev.Connected(other))

    @rule(other=OTHERS)
    def link_down(self, other: str) -> None:
        self.happen(ev.Disconnected(other))

    @rule(other=OTHERS)
    def dial_failed(self, other: str) -> None:
        self.happen(ev.DialFailed(other))

    @rule(other=OTHERS, age=AGES, base=WHICH, seq=st.sampled_from([0, 5, 2**53]), life=st.sampled_from([1, 2, 2**53]))
    def greeting(self, other: str, age: float, base: int, seq: int, life: int) -> None:
        fields = {"age": age, "base": name_of(BASES[base]), "seq": seq, "incarnation": life}
        self.happen(ev.Connected(other))
        self.happen(ev.Received(other, hello(self.peer, **fields)))

    @rule(
        other=OTHERS, mesh=st.sampled_from(["gossipfl", "else"]), heard=st.booleans(), at=st.sampled_from([(), ("x",)])
    )
    def another_greeting(self, other: str, mesh: str, heard: bool, at: tuple[str, ...]) -> None:  # noqa: FBT001
        self.happen(ev.Received(other, hello(self.peer, mesh=mesh, heard=heard, addresses=at)))

    @rule(other=OTHERS, base=WHICH, scale=SCALES, age=AGES, seq=st.integers(0, 2000), rate=st.floats(1e-12, 1e6))
    def an_update(self, other: str, base: int, scale: float, age: float, seq: int, rate: float) -> None:
        payload = int8(np.array([scale], "<f4").tobytes(), bytes(range(250, 256)) + b"\x7f\x01")
        fields = {"base": name_of(BASES[base]), "payload": payload, "age": age, "rate": rate}
        self.happen(ev.Received(other, update(self.peer, BASES[0], seq=seq, **fields)))

    @rule(other=OTHERS, seq=st.integers(1, 300), where=st.integers(0, 99))
    def an_honest_update(self, other: str, seq: int, where: int) -> None:
        fields = {"base": name_of(BASES[0]), "payload": quantised(noise(SIZE, where), BASES[0])}
        self.happen(ev.Received(other, update(self.peer, BASES[0], seq=seq, **fields)))

    @rule(other=OTHERS, base=WHICH)
    def a_base(self, other: str, base: int) -> None:
        self.happen(ev.Received(other, base_message(self.peer, BASES[base])))

    @rule(other=OTHERS, base=WHICH, age=AGES, scale=SCALES)
    def a_snapshot(self, other: str, base: int, age: float, scale: float) -> None:
        payload = int8(np.array([scale], "<f4").tobytes(), bytes(range(SIZE)))
        fields: dict[str, Any] = {"base": name_of(BASES[base]), "payload": payload}
        self.happen(ev.Received(other, snapshot(self.peer, BASES[0], age=age, **fields)))

    @rule(other=OTHERS, base=WHICH)
    def a_question(self, other: str, base: int) -> None:
        self.happen(ev.Received(other, msg.encode(msg.NeedBase(name_of(BASES[base]), bytes(16)))))
        self.happen(ev.Received(other, msg.encode(msg.NeedSnapshot())))

    @rule(other=OTHERS, start=st.integers(0, 1000))
    def an_introduction(self, other: str, start: int) -> None:
        known = tuple(msg.KnownPeer(f"p{i}", ("somewhere",)) for i in range(start, start + msg.MAX_PEERS))
        self.happen(ev.Received(other, msg.encode(msg.Peers(known, asks=len(known) % 2 == 0))))

    @rule(other=OTHERS, start=st.integers(0, 20), count=st.integers(0, msg.MAX_ADDRESSES + 2))
    def found(self, other: str, start: int, count: int) -> None:
        self.happen(ev.Found(other, tuple(f"place {i}" for i in range(start, start + count))))

    @rule(count=st.integers(0, msg.MAX_ADDRESSES + 2))
    def moved(self, count: int) -> None:
        self.happen(ev.Readdressed(tuple(f"place {i}" for i in range(count))))

    @rule(other=OTHERS)
    def a_goodbye(self, other: str) -> None:
        self.happen(ev.Received(other, msg.encode(msg.Goodbye(leaves=True))))

    @rule(other=OTHERS, junk=st.binary(max_size=20))
    def junk(self, other: str, junk: bytes) -> None:
        self.happen(ev.Received(other, junk))

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def a_timer_is_due(self, data: st.DataObject) -> None:
        timer = data.draw(st.sampled_from(sorted(self.timers, key=str)))
        del self.timers[timer]
        self.happen(ev.TimerFired(timer))

    @precondition(lambda self: self.training is not None)
    @rule(by=st.sampled_from([0.0, 0.1, -3.0, 1e10, math.nan, math.inf]), steps=st.integers(1, 100))
    def training_ends(self, by: float, steps: int) -> None:
        assert self.training is not None
        self.happen(ev.Trained(self.training.training, full_of(by, SIZE), steps))

    @precondition(lambda self: self.training is not None)
    @rule()
    def training_breaks(self) -> None:
        assert self.training is not None
        self.happen(ev.TrainingFailed(self.training.training, "?"))

    @rule(event=st.sampled_from([ev.Paused(), ev.Resumed(), ev.Hurried()]))
    def an_order(self, event: ev.Event) -> None:
        self.happen(event)

    @rule()
    def stopping(self) -> None:
        self.happen(ev.Stopping())

    @rule()
    def saving(self) -> None:
        self.saved = self.peer.save()
        self.content = content(self.saved)

    @rule()
    def a_crash(self) -> None:
        life = self.peer.incarnation + 1
        self.peer = a_peer(BASES[1], incarnation=life, bootstrap={"a": ("at a",)}, saved=self.saved, interval=0.5)
        self.timers, self.training, self.last_seq = {}, None, 0
        replica, model = self.peer.replica, self.saved.model
        assert (replica.x == model.x).all()
        assert (replica.served.x == model.served).all()
        assert replica.age == model.age
        self.happen(ev.Started())

    @invariant()
    def numbers_are_sane(self) -> None:
        replica = self.peer.replica
        for x in (replica.x, replica.served.x):
            assert x.dtype == np.float32
            assert np.isfinite(x).all()
        assert math.isfinite(replica.age)
        assert replica.age >= 0
        assert self.peer.pace.progress >= 1
        assert self.peer.pace.period > 0

    @invariant()
    def what_was_saved_stays_as_it_was(self) -> None:
        assert content(self.saved) == self.content

    @invariant()
    def tables_are_bounded(self) -> None:
        peer = self.peer
        assert len(peer.neighbourhood.known) <= MAX_KNOWN
        assert len(peer.bases._held) <= MAX_HELD
        assert peer.bases.own in peer.bases
        assert peer.me not in peer.neighbourhood.known
        for neighbour in peer.neighbourhood.known.values():
            assert len(neighbour.addresses) <= msg.MAX_ADDRESSES
        assert len(peer.addresses) <= msg.MAX_ADDRESSES
        if peer.joining is not None:
            assert peer.joining.snapshots.keys() <= peer.joining.asked
            assert peer.joining.waiting.keys() <= peer.joining.asked
            assert len(peer.joining.asked) <= ASKED * ROUNDS
        assert len(peer.wanted.asked) <= MAX_WANTED


PeerMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=60)
TestPeerMachine = PeerMachine.TestCase
