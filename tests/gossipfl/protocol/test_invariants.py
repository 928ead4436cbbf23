"""Invariants of the merge, under any loss, duplication and order: hull, fixed point, idempotence, and stale safety."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gossipfl.codec.codec import decode
from gossipfl.codec.quantisers import values
from gossipfl.mixing.staleness import STRATEGIES
from gossipfl.model.schema import Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.joining import REBASE_GAP
from gossipfl.protocol.peer import PUBLISH, Peer
from gossipfl.wire import messages as msg
from tests.gossipfl.builders import (
    a_learning_peer,
    distance,
    meet,
    noise,
    only,
    said,
    snapshot,
    state,
    trained,
    update,
)

SIZE = 40
NAMES = ("a", "b", "c", "d")


def a_mesh(seed: int, spread: float) -> dict[str, Peer]:
    """Four peers with one base and different models, linked to each other."""
    base = noise(SIZE, seed)
    settings = {"topology": "k-out:k=2", "momentum": "none"}
    peers = {name: a_learning_peer(base, me=name, seed=seed + i, **settings) for i, name in enumerate(NAMES)}
    for i, (name, peer) in enumerate(peers.items()):
        trained(peer, noise(SIZE, seed + 1 + i, spread))
        meet(peer, *(other for other in NAMES if other != name), age=peer.replica.age)
    return peers


def publish(peer: Peer, now: float) -> list[tuple[tuple[str, ...], bytes, msg.Update]]:
    peer.handle(ev.TimerFired(PUBLISH), now)
    effects = trained(peer, 0.0, now=now)
    sends = only(ev.Send, effects)
    return [
        (send.to, send.body, message)
        for send, (_, message) in zip(sends, said(effects), strict=True)
        if isinstance(message, msg.Update)
    ]


def meant(peer: Peer, message: msg.Update) -> tuple[Vector, float]:
    """The model that a message stands for, and its codec step."""
    _, scales, codes = decode(message.payload, SIZE)
    return peer.bases[message.base] + values(scales, codes), float(scales.max())


@given(
    st.integers(0, 1000),
    st.floats(0.01, 0.5),
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), max_size=8))),
)
def test_without_training_every_model_stays_in_the_hull_of_all(
    seed: int, spread: float, schedule: list[tuple[int, list[tuple[int, int]]]]
) -> None:
    """I1: any frame ever sent may reach anybody, at any time, any number of times, or never."""
    peers = a_mesh(seed, spread)
    low = np.min([peer.replica.x for peer in peers.values()], axis=0)
    high = np.max([peer.replica.x for peer in peers.values()], axis=0)
    sent: list[tuple[str, bytes, msg.Update]] = []
    slack = 1e-5
    for turn, (who, deliveries) in enumerate(schedule[:20]):
        sender = peers[NAMES[who]]
        for _, body, message in publish(sender, 20.0 + turn):
            x, step = meant(sender, message)
            assert np.abs(x - sender.replica.x).max() <= step * 1.001
            slack += step * 1.001  # a received model may lie a codec step outside, and be passed on
            sent.append((NAMES[who], body, message))
        for which, to in deliveries:
            if not sent:
                continue
            source, body, message = sent[which % len(sent)]
            receiver = peers[NAMES[to]]
            if receiver.me == source:
                continue
            before = receiver.replica.x.copy()
            receiver.handle(ev.Received(source, body), 20.0 + turn)
            told, _ = meant(receiver, message)
            assert (receiver.replica.x >= np.minimum(before, told) - 1e-5).all()
            assert (receiver.replica.x <= np.maximum(before, told) + 1e-5).all()
            assert (receiver.replica.x >= low - slack).all()
            assert (receiver.replica.x <= high + slack).all()


def test_mixing_does_bring_the_models_together() -> None:
    """The hull alone would be kept by a mesh that never merges."""
    peers = a_mesh(0, 0.5)
    apart = spread(peers)
    for turn in range(15):
        for name, peer in peers.items():
            for to, body, _ in publish(peer, 20.0 + turn):
                for other in to:
                    peers[other].handle(ev.Received(name, body), 20.0 + turn)
    assert spread(peers) < apart / 20


def spread(peers: dict[str, Peer]) -> float:
    return float(np.stack([peer.replica.x for peer in peers.values()]).std(axis=0).mean())


@given(st.integers(0, 1000), st.floats(0, 1e15), st.floats(1e-6, 1e6))
def test_equal_models_do_not_move_at_all(seed: int, age: float, rate: float) -> None:
    """I2, with Q(0) = 0."""
    x = noise(SIZE, seed)
    peer = a_learning_peer(x, seed=seed)
    meet(peer, "a")
    effects = peer.handle(ev.Received("a", update(peer, x, age=age, rate=rate)), 4.0)
    assert len(only(ev.Merged, effects)) == 1
    assert peer.replica.x.tobytes() == x.tobytes()


@given(st.integers(0, 1000))
def test_equal_models_away_from_their_base_move_by_half_a_codec_step_at_most(seed: int) -> None:
    peer = a_learning_peer(noise(SIZE, seed), seed=seed)
    trained(peer, noise(SIZE, seed + 1, 0.3))
    meet(peer, "a")
    x = peer.replica.x.copy()
    step = float(np.abs(x - peer.bases[peer.bases.own]).max()) / 127
    peer.handle(ev.Received("a", update(peer, x)), 11.0)
    assert np.abs(peer.replica.x - x).max() <= step / 2 * 1.01


@given(st.integers(0, 1000), st.lists(st.integers(1, 12), min_size=1, max_size=20))
def test_versions_count_once_and_only_when_they_are_the_newest(seed: int, arrivals: list[int]) -> None:
    """I3: any permutation with repetitions ends like the versions that were newest when they came."""
    start = noise(SIZE, seed)
    jumbled, orderly = a_learning_peer(start, seed=seed), a_learning_peer(start, seed=seed)
    meet(jumbled, "a")
    meet(orderly, "a")
    frames = {seq: update(jumbled, noise(SIZE, seed + seq), seq=seq) for seq in range(1, 13)}
    for seq in arrivals:
        jumbled.handle(ev.Received("a", frames[seq]), 4.0)
    newest = 0
    for seq in arrivals:
        if seq > newest:
            newest = seq
            assert only(ev.Merged, orderly.handle(ev.Received("a", frames[seq]), 4.0))
    assert state(jumbled) == state(orderly)
    assert jumbled.neighbourhood.known["a"].strikes == 0


@given(st.integers(0, 1000), st.integers(1, 30), st.permutations(range(1, 9)))
def test_after_the_newest_version_all_older_ones_are_deaf(seed: int, times: int, order: list[int]) -> None:
    peer = a_learning_peer(noise(SIZE, seed))
    meet(peer, "a")
    frames = {seq: update(peer, noise(SIZE, seed + seq), seq=seq) for seq in range(1, 9)}
    peer.handle(ev.Received("a", frames[8]), 4.0)
    before = state(peer)
    for seq in (order * 4)[:times]:
        assert not peer.handle(ev.Received("a", frames[seq]), 4.0)
    assert state(peer) == before


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_claim_moves_a_receiver_by_more_than_half_its_radius(strategy: str) -> None:
    """I10: whatever age, rate and model a sender claims."""

    @given(st.integers(0, 1000), st.floats(0, 1e15), st.floats(0, 1e6, exclude_min=True), st.floats(0, 1e3))
    def safe(seed: int, age: float, rate: float, away: float) -> None:
        peer = a_learning_peer(noise(SIZE, seed), seed=seed, staleness=strategy)
        trained(peer, noise(SIZE, seed + 1, 0.1))
        meet(peer, "a")
        x, radius, own_age, gap = peer.replica.x.copy(), peer.replica.radius(), peer.replica.age, peer.pace.progress
        claimed = x + noise(SIZE, seed + 2, away)
        effects = peer.handle(ev.Received("a", update(peer, claimed, age=age, rate=rate)), 11.0)
        assert distance(peer.replica.x, x) <= 0.5 * radius * (1 + 1e-5)
        assert abs(peer.replica.age - own_age) <= 0.5 * REBASE_GAP * gap * (1 + 1e-9)
        assert all(0 <= merged.weight <= 0.5 for merged in only(ev.Merged, effects))

    safe()


@given(st.integers(0, 1000), st.lists(st.floats(0, 1e15), min_size=1, max_size=30), st.integers(2, 5))
def test_a_liar_about_its_age_never_makes_others_rebase(seed: int, ages: list[float], honest: int) -> None:
    peer = a_learning_peer(noise(SIZE, seed), seed=seed)
    meet(peer, *(f"honest {i}" for i in range(honest)))
    meet(peer, "liar", age=ages[0])
    for seq, age in enumerate(ages, 1):
        peer.handle(ev.Received("liar", update(peer, peer.replica.x, seq=seq, age=age)), 4.0 + seq)
        peer.handle(ev.TimerFired(PUBLISH), 4.5 + seq)
        assert peer.joining is None


@given(st.integers(0, 1000), st.integers(1, 6), st.floats(0, 20), st.lists(st.floats(0, 1e15), min_size=3, max_size=3))
def test_a_rebase_ends_between_its_peers(seed: int, others: int, own: float, ages: list[float]) -> None:
    """I12, through the wire: the age is one of the peers', and each coordinate is the median of theirs."""
    peer = a_learning_peer(noise(SIZE, seed), seed=seed)
    trained(peer, noise(SIZE, seed + 1, own))
    friends = ("a", "b", "c")
    meet(peer, *friends, age=1e15)
    peer.handle(ev.TimerFired(PUBLISH), 11.0)
    assume(peer.joining is not None)
    served = [noise(SIZE, seed + others + i) for i in range(3)]
    for name, x, age in zip(friends, served, ages, strict=True):
        peer.handle(ev.Received(name, snapshot(peer, x, age=age)), 12.0)
    assert peer.joining is None
    assert peer.replica.age == sorted(ages)[1]
    assert peer.replica.age <= max(ages)
    assert np.allclose(peer.replica.x, np.median(np.stack(served), axis=0), atol=0.1), "up to eight bits"
