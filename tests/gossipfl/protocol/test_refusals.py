"""No state changes before the last check: what is refused costs its sender a strike, and nothing else moves (I11)."""

import math
from collections.abc import Callable

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.codec.codec import Delta
from gossipfl.codec.quantisers import quantiser
from gossipfl.model.bases import name_of
from gossipfl.protocol import events as ev
from gossipfl.protocol.joining import PATIENCE
from gossipfl.protocol.peer import JOIN, Peer
from gossipfl.wire import frames
from tests.gossipfl.builders import (
    a_learning_peer,
    a_peer,
    base_message,
    full_of,
    hello,
    int8,
    meet,
    noise,
    only,
    snapshot,
    state,
    trained,
    update,
)

SIZE = 300
"""Two blocks of the codec, the second not full."""

OTHER = noise(SIZE, 8)


def a_peer_in_the_middle_of_its_life() -> Peer:
    """It has trained and merged, holds the base OTHER, and has asked `b` for one more."""
    peer = a_learning_peer(noise(SIZE))
    meet(peer, "a", "b", "c")
    trained(peer, noise(SIZE, 1, 0.1))
    peer.handle(ev.Received("a", update(peer, noise(SIZE, 2), seq=5)), 11.0)
    peer.handle(ev.Received("c", update(peer, noise(SIZE, 2), seq=3, base=name_of(OTHER))), 11.5)
    peer.handle(ev.Received("c", base_message(peer, OTHER)), 11.6)
    assert name_of(OTHER) in peer.bases
    peer.handle(ev.Received("b", update(peer, noise(SIZE, 2), seq=3, base=bytes(16))), 12.0)
    return peer


def payload(scales: tuple[float, ...] = (0.01, 0.01), size: int = SIZE) -> Delta:
    return int8(np.array(scales, "<f4").tobytes(), bytes([1]) * size)


def with_payload(*scales: float, size: int = SIZE) -> Callable[[Peer], bytes]:
    return lambda peer: update(peer, full_of(0, SIZE), seq=6, payload=payload(scales, size))


INT8 = quantiser("int8").number


def raw_update(peer: Peer, **fields: object) -> bytes:
    """An update that `encode` would send but no honest peer would make."""
    usual: dict[str, object] = {
        "schema": peer.replica.schema.fingerprint, "base": peer.bases.own, "incarnation": 1, "seq": 6, "age": 1.0,
        "rate": 1.0, "payload": [1, [1], INT8, False, bytes(8 + SIZE)],
    }  # fmt: skip
    return frames.wrap(msgpack.packb([3, *(usual | fields).values()]))


REFUSED: dict[str, Callable[[Peer], bytes]] = {
    "nothing": lambda _: b"",
    "junk": lambda _: b"junk" * 100,
    "a damaged frame": lambda peer: update(peer, noise(SIZE, 2), seq=6)[:-1] + b"!",
    "another protocol": lambda peer: b"gf\x09" + update(peer, noise(SIZE, 2), seq=6)[3:],
    "another schema": lambda peer: update(peer, noise(SIZE, 2), seq=6, schema=bytes(16)),
    "another schema and base": lambda peer: update(peer, noise(SIZE, 2), seq=6, schema=bytes(16), base=bytes(16)),
    "a code too few": with_payload(0.01, 0.01, size=SIZE - 1),
    "a code too many": with_payload(0.01, 0.01, size=SIZE + 1),
    "no codes": with_payload(0.01, 0.01, size=0),
    "a scale too few": with_payload(0.01),
    "a scale too many": with_payload(0.01, 0.01, 0.01),
    "no scales": with_payload(),
    "a scale that is not a number": with_payload(0.01, math.nan),
    "an infinite scale": with_payload(math.inf, 0.01),
    "a scale of minus infinity": with_payload(0.01, -math.inf),
    "a negative scale": with_payload(-0.01, 0.01),
    "a scale of 1e38": with_payload(0.01, 1e38),
    "the largest legal scale": with_payload(1e9, 1e9),
    "a model that is insane": lambda peer: update(peer, full_of(1e4, SIZE), seq=6),
    "an insane model against another base": lambda peer: update(
        peer, noise(SIZE), seq=6, base=name_of(OTHER), payload=payload((1e6, 1e6))
    ),
    "an infinite scale against another base": lambda peer: update(
        peer, noise(SIZE), seq=6, base=name_of(OTHER), payload=payload((math.inf, 1.0))
    ),
    "a jump of 1001 versions": lambda peer: update(peer, noise(SIZE, 2), seq=1006),
    "a new life that begins at 1001": lambda peer: update(peer, noise(SIZE, 2), incarnation=2, seq=1001),
    "the last version there is": lambda peer: update(peer, noise(SIZE, 2), seq=2**53),
    "an age that is not a number": lambda peer: raw_update(peer, age=math.nan),
    "an infinite age": lambda peer: raw_update(peer, age=math.inf),
    "a rate that is not a number": lambda peer: raw_update(peer, rate=math.nan),
    "a rate of zero": lambda peer: raw_update(peer, rate=0.0),
    "a negative version": lambda peer: raw_update(peer, seq=-1),
    "an unrequested base": lambda peer: base_message(peer, noise(SIZE, 9)),
    "a snapshot of another schema": lambda peer: snapshot(peer, noise(SIZE, 9), schema=bytes(16)),
}

REFUSED_FROM_B: dict[str, Callable[[Peer], bytes]] = {
    "a base of another schema": lambda peer: base_message(peer, noise(SIZE, 9), schema=bytes(16)),
    "a base that is too short": lambda peer: base_message(peer, noise(SIZE - 1, 9)),
    "a base that is too long": lambda peer: base_message(peer, noise(SIZE + 1, 9)),
    "a base that is not finite": lambda peer: base_message(peer, full_of(math.nan, SIZE)),
    "a base with an infinity": lambda peer: base_message(peer, np.append(noise(SIZE - 1), np.float32(-math.inf))),
}


@pytest.mark.parametrize(
    ("sender", "frame"),
    [("a", frame) for frame in REFUSED.values()] + [("b", frame) for frame in REFUSED_FROM_B.values()],
    ids=[*REFUSED, *REFUSED_FROM_B],
)
def test_what_is_refused_costs_a_strike_and_changes_nothing(sender: str, frame: Callable[[Peer], bytes]) -> None:
    peer = a_peer_in_the_middle_of_its_life()
    body = frame(peer)
    strikes = {name: one.strikes for name, one in peer.neighbourhood.known.items()}
    before = state(peer)
    effects = peer.handle(ev.Received(sender, body), 13.0)
    assert [type(effect) for effect in effects] == [ev.Refused]
    assert state(peer) == before
    strikes[sender] += 1
    assert {name: one.strikes for name, one in peer.neighbourhood.known.items()} == strikes


OVERTAKEN: dict[str, Callable[[Peer], bytes]] = {
    "replayed": lambda peer: update(peer, noise(SIZE, 2), seq=5),
    "reordered": lambda peer: update(peer, noise(SIZE, 3), seq=4),
    "from a former life": lambda peer: update(peer, noise(SIZE, 3), incarnation=0, seq=900),
    "version 0": lambda peer: update(peer, noise(SIZE, 3), seq=0),
}


@pytest.mark.parametrize("name", OVERTAKEN)
def test_what_was_duplicated_or_overtaken_is_nobodys_fault(name: str) -> None:
    peer = a_peer_in_the_middle_of_its_life()
    body = OVERTAKEN[name](peer)
    before = state(peer)
    assert not peer.handle(ev.Received("a", body), 13.0)
    assert state(peer) == before
    assert peer.neighbourhood.known["a"].strikes == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda peer: snapshot(peer, noise(SIZE, 3), schema=bytes(16)),
        lambda peer: snapshot(peer, noise(SIZE, 3), payload=payload((0.01, math.nan))),
        lambda peer: snapshot(peer, noise(SIZE, 3), payload=payload((0.01, math.inf))),
        lambda peer: snapshot(peer, noise(SIZE, 3), payload=payload((0.01,))),
        lambda peer: snapshot(peer, noise(SIZE, 3), payload=payload(size=SIZE + 1)),
    ],
    ids=["schema", "nan", "infinite", "scales", "codes"],
)
def test_a_bad_snapshot_is_refused_by_who_asked_for_it(make: Callable[[Peer], bytes]) -> None:
    peer = a_peer(noise(SIZE))
    peer.handle(ev.Started(), 0.0)
    meet(peer, "a", "b", age=1e6)
    peer.handle(ev.TimerFired(JOIN), PATIENCE)
    body, before = make(peer), state(peer)
    assert [type(effect) for effect in peer.handle(ev.Received("a", body), 4.0)] == [ev.Refused]
    assert state(peer) == before
    assert peer.neighbourhood.known["a"].strikes == 1


def test_a_stranger_who_says_nothing_but_junk_is_cut_off_too() -> None:
    peer = a_peer_in_the_middle_of_its_life()
    model = peer.replica.x.tobytes()
    cuts = [cut for _ in range(10) for cut in only(ev.Disconnect, peer.handle(ev.Received("stranger", b"?"), 13.0))]
    assert len(cuts) == 1
    assert peer.replica.x.tobytes() == model


def test_a_foreign_greeting_changes_nothing_but_what_is_known_of_its_sender() -> None:
    peer = a_peer_in_the_middle_of_its_life()
    before = state(peer)
    peer.handle(ev.Received("a", hello(peer, mesh="other")), 13.0)
    after = state(peer)
    before["neighbours"].pop("a")
    after["neighbours"].pop("a")
    assert after == before


@given(st.binary(max_size=60), st.booleans())
def test_no_bytes_change_the_model(junk: bytes, wrapped: bool) -> None:  # noqa: FBT001
    peer = a_peer_in_the_middle_of_its_life()
    before = state(peer)
    effects = peer.handle(ev.Received("a", frames.wrap(junk) if wrapped else junk), 13.0)
    after = state(peer)
    for key in ("x", "served", "age", "seq", "bases"):
        assert after[key] == before[key]
    assert len(only(ev.Refused, effects)) <= 1
