"""Publishing: which codec a link has, what is told again, who is not flooded, and what a budget lets through."""

import random
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.codec.codec import Delta, cheaper, codec, decode
from gossipfl.codec.coordinates import LEAST, Strided, count
from gossipfl.codec.quantisers import values
from gossipfl.errors import LocalError
from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.budget import Budget
from gossipfl.protocol.peer import PUBLISH, Peer
from gossipfl.wire import messages as msg
from tests.gossipfl.builders import a_learning_peer, flat, frame, meet, noise, only, said, told, trained, update

SIZE = 1000


def learner(**options: Any) -> Peer:
    """A peer whose model moves by training and merging only."""
    return a_learning_peer(noise(SIZE), **{"topology": "complete", "codec": "int8", "momentum": "none"} | options)


def published(peer: Peer, delta: Vector | float, now: float) -> list[tuple[tuple[str, ...], msg.Update]]:
    peer.handle(ev.TimerFired(PUBLISH), now)
    return [(to, message) for to, message in said(trained(peer, delta, now=now)) if isinstance(message, msg.Update)]


def heard(peer: Peer, message: msg.Update) -> tuple[npt.NDArray[np.intp], Vector]:
    """Which coordinates came, and the model that they say, elsewhere what `peer` publishes against."""
    index, scales, codes = decode(message.payload, SIZE)
    x = peer.bases[message.base].copy()
    x[index] += values(scales, codes)
    return np.arange(SIZE)[index], x


# --- links


@pytest.mark.parametrize(
    ("own", "theirs", "link"),
    [
        ("int8", "int8", "int8"),
        ("int8", "int4+top-k:0.1", "int4+top-k:0.1"),
        ("int4+top-k:0.1", "int8", "int4+top-k:0.1"),
        ("float32", "int8", "int8"),
        ("int8", "from the future", "int8"),
        ("int4+top-k:0.2", "int4+top-k:0.1", "int4+top-k:0.1"),
    ],
)
def test_a_link_has_the_cheaper_codec_of_its_ends(own: str, theirs: str, link: str) -> None:
    assert cheaper(own, theirs) == link
    peer = learner(codec=own)
    meet(peer, "a", codec=theirs)
    ((_, message),) = published(peer, 0.1, 10.0)
    index, _, codes = decode(message.payload, SIZE)
    assert message.payload.quantiser == codec(link).quantiser.number
    assert count(index) == codes.size == pytest.approx(SIZE * codec(link).selection.share, rel=0.05)


def test_links_that_are_alike_share_one_body_and_others_have_their_own() -> None:
    peer = learner(codec="int8")
    meet(peer, "lan", "lan too")
    meet(peer, "radio", "radio too", codec="int4+round-robin:5")
    updates = published(peer, 0.1, 10.0)
    assert sorted(sorted(to) for to, _ in updates) == [["lan", "lan too"], ["radio", "radio too"]]
    assert {message.seq for _, message in updates} == {1}


def test_fragments_differ_from_recipient_to_recipient() -> None:
    size = 50 * LEAST
    peer = a_learning_peer(noise(size), topology="complete", codec="int8+fragments:50")
    meet(peer, *"abcdefgh")
    updates = published(peer, 0.1, 10.0)
    assert len(updates) == 8
    assert len({str(decode(message.payload, size)[0]) for _, message in updates}) > 3


@pytest.mark.parametrize("name", ["int8+fragments:50", "int8+round-robin:50"])
@pytest.mark.parametrize(("size", "parts"), [(100, 1), (2 * LEAST, 2), (1000 * LEAST, 50)])
def test_fragments_are_worth_a_packet(name: str, size: int, parts: int) -> None:
    where = codec(name).selection.choose(flat(size), None, 0, random.Random(0))
    assert count(where.index(size)) in (size // parts, -(-size // parts))


@pytest.mark.parametrize("name", ["int9", "int8+", "int8+top-k", "int8+top-k:0", "int8+top-k:2", "int8+round-robin:1",
                                  "int8+random:nan", "", "int8+all:3", "int4+top-k:0.1+zstd"])  # fmt: skip
def test_an_unusable_codec_is_refused(name: str) -> None:
    if name == "int8+":
        assert codec(name) == codec("int8")
        return
    with pytest.raises(LocalError, match=r"codec = .*allowed"):
        learner(codec=name)


# --- what is told again


def test_the_largest_changes_since_they_were_told_go_out() -> None:
    peer = learner(codec="float32+top-k:0.01")
    meet(peer, "a")
    delta = np.zeros(SIZE, np.float32)
    delta[::50] = np.arange(1, 21, dtype=np.float32)
    ((_, message),) = published(peer, delta, 10.0)
    index, x = heard(peer, message)
    assert set(index) == {500, 550, 600, 650, 700, 750, 800, 850, 900, 950}
    assert np.allclose(x[index], peer.replica.x[index])
    ((_, message),) = published(peer, 0.0, 11.0)
    assert set(heard(peer, message)[0]) == {0, 50, 100, 150, 200, 250, 300, 350, 400, 450}
    assert not published(peer, 0.0, 12.0), "all has been told"
    seqs = [message.seq for turn in range(2) for _, message in published(peer, 0.1, 13.0 + turn)]
    assert seqs == [3, 4], "what is not sent takes no number"


@pytest.mark.parametrize("quantiser", ["int4", "int2", "sign"])
def test_what_is_rounded_away_is_told_later(quantiser: str) -> None:
    """Error fed back at the sender: told again and again, a listener that takes it all comes to the model itself."""
    peer = learner(codec=f"{quantiser}+top-k:0.2")
    meet(peer, "a")
    delta, listener = noise(SIZE, 1, 0.1), peer.replica.x.copy()
    for turn in range(200):
        for _, message in published(peer, delta if turn == 0 else 0.0, 10.0 + turn):
            index, x = heard(peer, message)
            listener[index] = x[index]
    error, before = np.abs(listener - peer.replica.x).mean(), np.abs(delta).mean()
    print(f"{quantiser}: mean error {error:.4f} of {before:.4f}")
    assert error < (1.0 if quantiser == "int2" else 0.5) * before


def test_everybody_sends_the_same_fragment_in_a_slot_and_all_in_turn() -> None:
    size = 4 * LEAST
    sent: list[list[slice]] = [[], []]
    for seed, slices in enumerate(sent):
        peer = a_learning_peer(noise(size), topology="complete", codec="int8+round-robin:4", seed=seed)
        meet(peer, "a")
        for turn in range(4):
            ((_, message),) = published(peer, 0.1, 10.0 + turn)
            where = decode(message.payload, size)[0]
            assert isinstance(where, slice)
            slices.append(where)
    assert sent[0] == sent[1]
    assert sorted(i for where in sent[0] for i in range(size)[where]) == list(range(size))


def test_a_layer_at_a_time_and_never_a_personal_one() -> None:
    schema = Schema([Tensor("a", (10,)), Tensor("mine", (5,), personal=True), Tensor("b", (20,))])
    peer = a_learning_peer(noise(35), schema=schema, topology="complete", codec="int8+layers")
    meet(peer, "a")
    lengths = []
    for turn in range(4):
        peer.handle(ev.TimerFired(PUBLISH), 10.0 + turn)
        ((_, message),) = told(msg.Update, trained(peer, 0.1, now=10.0 + turn))
        lengths.append(decode(message.payload, 30)[2].size)
    assert lengths in ([10, 20, 10, 20], [20, 10, 20, 10])


@given(st.sampled_from(["int4+top-k:0.3", "int8+random:0.2", "int4+round-robin:3", "bfloat16+layers", "sign"]))
def test_only_the_coordinates_that_came_are_merged_and_the_age_by_their_share(name: str) -> None:
    sender, receiver = learner(codec=name), learner(codec=name)
    for peer, other in ((sender, "r"), (receiver, "s")):
        meet(peer, other)
    peer = receiver
    ((_, message),) = published(sender, noise(SIZE, 3, 0.05), 10.0)
    before, age = peer.replica.x.copy(), peer.replica.age
    effects = peer.handle(ev.Received("s", msg.encode(message)), 10.0)
    (merged,) = only(ev.Merged, effects)
    index, x = heard(sender, message)
    expected = before.copy()
    expected[index] += np.float32(merged.weight) * (x[index] - before[index])
    assert np.allclose(peer.replica.x, expected, atol=1e-6)
    assert peer.replica.age == pytest.approx(age + merged.weight * index.size / SIZE * (message.age - age))


def test_an_update_without_coordinates_is_refused() -> None:
    peer = learner()
    meet(peer, "a")
    nothing = Delta(Strided(SIZE, 2**40, 1), 1, packed=False, data=memoryview(b""))
    (refused,) = only(ev.Refused, peer.handle(ev.Received("a", update(peer, peer.replica.x, payload=nothing)), 9.0))
    assert "without coordinates" in refused.reason


# --- floods


def test_a_slow_peer_is_sent_no_more_than_it_can_weigh() -> None:
    peer = learner()
    meet(peer, "slow", "equal")
    for other, rate in (("slow", 0.1), ("equal", 1.0)):
        peer.handle(ev.Received(other, update(peer, peer.replica.x, rate=rate)), 9.0)
    sent = [to for turn in range(100) for tos, _ in published(peer, 0.1, 10.0 + turn) for to in tos]
    assert sent.count("equal") == 100
    assert sent.count("slow") == pytest.approx(100 * 0.1 * 2, abs=2)


def test_a_claim_of_hardly_ever_publishing_does_not_last() -> None:
    peer = learner()
    meet(peer, "liar")
    for turn in range(50):
        published(peer, 0.1, 10.0 + turn)
    peer.handle(ev.Received("liar", update(peer, peer.replica.x, rate=1e-9)), 60.0)
    sent = [turn for turn in range(200) if published(peer, 0.1, 60.0 + turn)]
    assert max(b - a for a, b in pairwise(sent)) <= 33
    peer.handle(ev.Received("liar", update(peer, peer.replica.x, seq=2, rate=1.0)), 300.0)
    assert sum(bool(published(peer, 0.1, 340.0 + turn)) for turn in range(20)) == 20


# --- budgets


@pytest.mark.parametrize(
    "text", ["50MB", "50 MB/year", "-1 MB/day", "0 MB/day", "x", "1e9 MB/day", "50 mb/day", "5 MB / day"]
)
def test_an_unusable_budget_is_refused(text: str) -> None:
    with pytest.raises(LocalError, match=r"budget = .*'50 MB/day'"):
        Budget(text)


@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(1, 40)), max_size=300),
    st.sampled_from([("1 kB/minute", 1000, 60), ("100 B/minute", 100, 60)]),
)
def test_no_period_sees_more_than_the_budget(asked: list[tuple[float, int]], given_: tuple[str, int, int]) -> None:
    text, limit, period = given_
    budget, now, spent = Budget(text), 0.0, []
    for wait, size in asked:
        now += wait
        if budget.left(now) >= size:
            budget.spend(size)
            spent.append((now, size))
    for begin, _ in spent:
        assert sum(size for at, size in spent if begin <= at < begin + period) <= limit


def test_what_is_saved_is_bounded_and_what_had_to_be_said_is_paid_back() -> None:
    budget = Budget("800 B/minute")
    assert budget.left(0.0) == budget.left(1e6) == 100
    budget.spend(240)
    assert budget.left(1e6) == -140
    assert budget.left(1e6 + 12) == pytest.approx(0)


def test_without_a_budget_there_is_no_limit() -> None:
    budget = Budget("")
    budget.spend(10**15)
    assert budget.left(0.0) == float("inf")
    assert not budget.limited


@pytest.mark.parametrize("name", ["int8", "int4+top-k:0.1"])
def test_a_peer_keeps_its_budget_and_uses_it(name: str) -> None:
    limit, period = 60_000, 60.0
    peer = learner(budget="60 kB/minute", codec=name)
    meet(peer, "a", "b", "c")
    sent = []
    for turn in range(600):
        peer.handle(ev.TimerFired(PUBLISH), 10.0 + turn)
        effects = trained(peer, noise(SIZE, turn, 0.01), now=10.0 + turn)
        sent.append(sum(len(frame(send.body)) * len(send.to) for send in only(ev.Send, effects)))
    assert peer.budget.spent >= sum(sent)
    for begin in range(540):
        assert sum(sent[begin : begin + int(period)]) <= limit
    assert sum(sent) > (0.8 if name == "int8" else 0.2) * limit * 10


def test_a_small_change_waits_until_more_is_saved() -> None:
    """With a budget for one publish in four, those with the larger changes go out."""
    peer = learner(budget="45 kB/minute")
    meet(peer, "a", "b", "c")
    gone: dict[float, int] = {0.001: 0, 0.1: 0}
    for turn in range(800):
        size = 0.1 if turn % 8 == 0 else 0.001
        gone[size] += bool(published(peer, noise(SIZE, turn, size), 10.0 + turn))
    print(gone)
    assert gone[0.1] / 100 > 2 * gone[0.001] / 700


def test_an_empty_purse_gives_no_snapshots() -> None:
    peer = learner(budget="4 kB/minute")
    meet(peer, "a", "b")
    trained(peer, noise(SIZE, 1))
    peer.handle(ev.TimerFired(PUBLISH), 9.0)
    given_ = []
    for turn in range(20):
        for other in "ab":
            given_ += told(
                msg.Snapshot, peer.handle(ev.Received(other, msg.encode(msg.NeedSnapshot())), 10.0 + 3 * turn)
            )
    assert 2 <= len(given_) <= 9
