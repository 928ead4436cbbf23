"""Bases are renewed: when the noise is too much, seldom, without a vote, and for few bytes."""

import numpy as np
import pytest

from gossipfl.codec.codec import Delta, encode
from gossipfl.codec.coordinates import All, Strided
from gossipfl.codec.quantisers import quantiser
from gossipfl.kernels import numpy as reference
from gossipfl.model.bases import name_of
from gossipfl.model.schema import Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.parts.exchange import RENEWAL, SELDOM, ZEROS
from gossipfl.protocol.peer import PUBLISH, Peer
from gossipfl.wire import messages as msg
from tests.gossipfl.builders import a_learning_peer, base_message, in_full, meet, noise, only, told, trained, update

SIZE = 1000
FAR = noise(SIZE, 5)
"""Where the model has come to since the base."""


def far_from_its_base(codec: str = "int4", apart: float = 0.01) -> Peer:
    """A peer whose model has gone a long way, while its only neighbour is as near as ever."""
    peer = a_learning_peer(noise(SIZE), topology="complete", codec=codec, momentum="none")
    meet(peer, "a")
    trained(peer, FAR)
    for seq in range(1, 30):
        near = (peer.replica.x + apart * noise(SIZE, seq)).astype(np.float32)
        exact, _ = encode(quantiser("float32"), All(), near, peer.bases[peer.bases.own], peer.rng, reference)
        peer.handle(ev.Received("a", update(peer, near, seq=seq, payload=exact)), 10.0 + seq)
    return peer


def ticks(peer: Peer, many: int = 400, start: float = 50.0) -> list[bytes]:
    """The bases that it publishes against."""
    own = [peer.bases.own]
    for turn in range(many):
        effects = peer.handle(ev.TimerFired(PUBLISH), start + turn)
        for effect in only(ev.Train, effects):
            peer.handle(ev.Trained(effect.training, np.zeros(SIZE, np.float32), 20), start + turn + 0.1)
        if own[-1] != peer.bases.own:
            own.append(peer.bases.own)
    return own


def test_a_model_at_the_limit_gets_no_base_beyond_it() -> None:
    peer = a_learning_peer(noise(SIZE), topology="complete", codec="int4", momentum="none")
    meet(peer, "a")
    sign, some = np.sign(FAR), np.abs(noise(SIZE, 6)).clip(0.0, 1.0)
    for turn, far in enumerate((sign * (0.2 + 0.7 * some) * 1e9, sign * 0.9999e9)):
        start = 500.0 * turn
        peer.handle(ev.TimerFired(PUBLISH), start + 10.0)
        trained(peer, (far - peer.replica.x).astype(np.float32), now=start + 10.0)
        for seq in range(1, 20):
            near = (peer.replica.x * 0.99999).astype(np.float32)
            exact, _ = encode(quantiser("float32"), All(), near, peer.bases[peer.bases.own], peer.rng, reference)
            peer.handle(ev.Received("a", update(peer, near, seq=20 * turn + seq, payload=exact)), start + 10.0 + seq)
        renewed = len(ticks(peer, 300, start=start + 40.0))
        assert renewed == 2 - turn
    assert np.abs(peer.bases[peer.bases.own]).max() <= 1e9


def away(peer: Peer) -> float:
    return float(np.linalg.norm(peer.replica.x - peer.bases[peer.bases.own]))


def test_a_base_that_is_too_far_away_is_renewed_once() -> None:
    peer = far_from_its_base()
    before = away(peer)
    assert len(ticks(peer)) == 2
    assert away(peer) < 0.3 * before


@pytest.mark.parametrize(("codec", "apart"), [("int4", 1.0), ("int8", 0.1), ("float32", 0.01)])
def test_a_base_is_kept_while_the_noise_is_small(codec: str, apart: float) -> None:
    assert len(ticks(far_from_its_base(codec, apart))) == 1


def test_new_bases_cost_a_small_part_of_the_bytes() -> None:
    peer = far_from_its_base()
    begun = peer.budget.spent
    turn = 0
    while len(ticks(peer, 1, start=50.0 + turn)) == 1:
        turn += 1
        assert turn < 400
    assert peer.budget.spent - begun >= (SELDOM - 1) * RENEWAL.bits / 8 * SIZE


def with_a_new_base() -> tuple[Peer, bytes]:
    peer = far_from_its_base()
    old, _ = ticks(peer)
    return peer, old


def asked(peer: Peer, held: bytes, now: float = 1000.0) -> msg.Base:
    need = msg.encode(msg.NeedBase(peer.bases.own, held))
    ((_, base),) = told(msg.Base, peer.handle(ev.Received("a", need), now))
    assert isinstance(base, msg.Base)
    return base


def test_who_holds_the_old_base_gets_the_new_one_as_a_difference_and_others_get_all_of_it() -> None:
    peer, old = with_a_new_base()
    short, long = asked(peer, old), asked(peer, bytes(16), 2000.0)
    assert (short.parent, long.parent) == (old, ZEROS)
    assert len(msg.encode(short)) < 0.7 * SIZE
    assert len(msg.encode(long)) < 2.1 * SIZE, "two bytes a coordinate tell all of it"


def listener() -> Peer:
    """A peer as far away, that knows `a` and has never heard of its new base."""
    return far_from_its_base()


def heard_of(peer: Peer, base: Vector, seq: int = 100, now: float = 60.0) -> list[ev.Effect]:
    payload, _ = encode(quantiser("int8"), All(), peer.replica.x, base, peer.rng, reference)
    return peer.handle(ev.Received("a", update(peer, FAR, seq=seq, base=name_of(base), payload=payload)), now)


@pytest.mark.parametrize("whole", [False, True])
def test_who_hears_of_a_nearer_base_asks_once_and_publishes_against_it(*, whole: bool) -> None:
    maker, old = with_a_new_base()
    peer = listener()
    new = maker.bases[maker.bases.own]
    assert told(msg.NeedBase, heard_of(peer, new)) == [("a", msg.NeedBase(maker.bases.own, old))]
    body = msg.encode(asked(maker, bytes(16) if whole else old))
    assert not only(ev.Refused, peer.handle(ev.Received("a", body), 61.0))
    assert len(only(ev.Merged, heard_of(peer, new, seq=101, now=62.0))) == 1
    assert ticks(peer, 1, 63.0)[-1] == maker.bases.own


def test_a_base_that_is_no_nearer_is_held_and_not_followed() -> None:
    peer = listener()
    meet(peer, "b")
    peer.handle(ev.Received("b", update(peer, peer.replica.x, seq=1)), 59.0)
    other = (peer.bases[peer.bases.own] + 0.1 * noise(SIZE, 3)).astype(np.float32)
    heard_of(peer, other)
    peer.handle(ev.Received("a", base_message(peer, other)), 61.0)
    heard_of(peer, other, seq=101, now=62.0)
    assert name_of(other) in peer.bases
    assert ticks(peer, 1, 63.0) == [peer.bases.own] != [name_of(other)]


def test_a_difference_to_a_base_that_was_let_go_is_nobodys_fault() -> None:
    maker, old = with_a_new_base()
    peer = listener()
    heard_of(peer, maker.bases[maker.bases.own])
    body = msg.encode(msg.Base(peer.replica.schema.fingerprint, bytes(15) + b"x", asked(maker, old).payload))
    before = peer.replica.x.tobytes()
    assert not peer.handle(ev.Received("a", body), 61.0)
    assert peer.replica.x.tobytes() == before


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (Delta(Strided(0, SIZE, 2), 6, packed=False, data=memoryview(bytes(2 * SIZE))), "only some of the coordinates"),
        (in_full(np.full(SIZE - 1, 0.5, np.float32)), "expected 4000"),
        (in_full(np.full(SIZE, np.nan, np.float32)), "not within"),
        (in_full(np.full(SIZE, -1.1e9, np.float32)), "not within"),
        (in_full(np.full(SIZE, 0.5, np.float32)), "nobody asked for"),
        (Delta(All(), 99, packed=False, data=memoryview(b"")), "quantiser 99"),
    ],
)
def test_what_is_no_base_is_refused(payload: Delta, reason: str) -> None:
    peer = listener()
    heard_of(peer, noise(SIZE, 77))
    body = msg.encode(msg.Base(peer.replica.schema.fingerprint, ZEROS, payload))
    (refused,) = only(ev.Refused, peer.handle(ev.Received("a", body), 61.0))
    assert reason in refused.reason
