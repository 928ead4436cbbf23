"""Recordings as bytes: every record comes back as it was, any end is survived, and what is none is refused by place."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gossipfl.errors import LocalError
from gossipfl.membership.charter import Admission, Revocation
from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.recording import records as rec
from gossipfl.protocol.recording.records import Followed, Happened, Origin, Raw, Record, State, encode
from gossipfl.protocol.recording.stream import MAGIC, OVERHEAD, VERSION, Reader, pack
from gossipfl.protocol.settings import Settings
from gossipfl_topology.live import LIVE, Fixed, Hierarchical, KOut, Ring, Topology
from tests.gossipfl.builders import Device, a_learning_peer, full_of, meet, noise, update

SCHEMA = Schema([Tensor("w", (3, 2)), Tensor("mine", (2,), personal=True)])


def an_origin(**changed: Any) -> Origin:
    origin = Origin(
        "me", SCHEMA, noise(8), Settings(interval=0.5), 2**128 - 1, 7, ("here",), {"them": ("there", "yonder")},
        KOut(k=2), {"numpy": "2.0"},
    )  # fmt: skip
    return msgspec.structs.replace(origin, **changed)


def packed(*records: Record) -> bytes:
    return MAGIC + b"".join(pack(encode(record)) for record in records)


def read(content: bytes, step: int | None = None) -> tuple[list[Record], int]:
    """All records, and the bytes that are left over, fed `step` at a time."""
    reader, found = Reader(), list[Record]()
    for at in range(0, len(content), step or len(content) or 1):
        reader.feed(content[at : at + (step or len(content))])
        while (record := reader.next()) is not None:
            found.append(record)
    return found, reader.left


def alike(one: Any, other: Any) -> bool:
    """Equal in type and in every bit, NaN too."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if isinstance(one, msgspec.Struct):
        return type(one) is type(other) and all(
            alike(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__
        )
    return type(one) is type(other) and one == other


# --- round trips

texts = st.text(max_size=20)
vectors = arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32))
topologies: st.SearchStrategy[Topology] = st.one_of(
    st.sampled_from([make() for make in LIVE.values()]),
    st.builds(KOut, k=st.integers(1, 32)),
    st.builds(Fixed, texts, st.dictionaries(texts, st.lists(texts, max_size=3).map(tuple), max_size=3)),
)
numbers = st.integers(0, 2**53)
ids, signatures = st.text(min_size=1, max_size=128), st.binary(min_size=64, max_size=64)
admissions = st.builds(Admission, ids, ids, st.booleans(), signatures)
revocations = st.builds(Revocation, ids, ids, st.lists(admissions, max_size=1).map(tuple), signatures)
events: dict[type, st.SearchStrategy[Any]] = {
    ev.Started: st.just(ev.Started()),
    ev.Connected: st.builds(ev.Connected, texts, st.booleans()),
    ev.Disconnected: st.builds(ev.Disconnected, texts),
    ev.DialFailed: st.builds(ev.DialFailed, texts),
    ev.Received: st.builds(ev.Received, texts, st.binary(max_size=200)),
    ev.Trained: st.builds(ev.Trained, numbers, vectors, numbers),
    ev.TrainingFailed: st.builds(ev.TrainingFailed, numbers, texts),
    ev.TimerFired: st.builds(ev.TimerFired, texts | st.tuples(st.just("redial"), texts)),
    ev.Rewired: st.builds(ev.Rewired, topologies),
    ev.Revoke: st.builds(ev.Revoke, revocations),
    ev.Stopping: st.just(ev.Stopping()),
    ev.Found: st.builds(ev.Found, texts, st.lists(texts, max_size=3).map(tuple)),
    ev.Readdressed: st.builds(ev.Readdressed, st.lists(texts, max_size=3).map(tuple)),
}
times = st.floats(0, rec.MAX_NOW)


def test_every_event_that_there_is_can_be_recorded() -> None:
    assert set(events) == set(ev.Event.__args__)
    assert set(rec._EFFECTS) == set(ev.Effect.__args__)


@pytest.mark.parametrize("kind", events, ids=lambda kind: kind.__name__)
def test_an_event_comes_back_as_it_was(kind: type) -> None:
    @given(times, events[kind])
    def check(now: float, event: ev.Event) -> None:
        (origin, happened), left = read(packed(an_origin(), Happened(now, event)))
        assert left == 0
        assert alike(origin, an_origin())
        assert alike(happened, Happened(now, event))

    check()


@given(
    seed=st.integers(0, 2**128 - 1), incarnation=numbers, addresses=st.lists(texts, max_size=3).map(tuple),
    bootstrap=st.dictionaries(texts, st.lists(texts, max_size=2).map(tuple), max_size=3), topology=topologies, me=texts,
    initial=arrays(np.float32, 8, elements=st.floats(width=32)), made_with=st.dictionaries(texts, texts, max_size=3),
)  # fmt: skip
def test_an_origin_comes_back_as_it_was(**fields: Any) -> None:
    (found,), left = read(packed(an_origin(**fields)))
    assert alike(found, an_origin(**fields))
    assert left == 0


def test_an_origin_in_a_closed_mesh_has_its_charter() -> None:
    founder = Device(1)
    member, other = founder.welcome(2), founder.welcome(3)
    charter = msgspec.structs.replace(member.charter, revocations=(founder.ban(other.id),))
    origin = an_origin(me=member.id, charter=charter)
    (found,), left = read(packed(origin))
    assert left == 0
    assert alike(found, origin)
    assert isinstance(found, Origin)
    assert found.peer().members is not None


def test_an_origin_of_who_came_back_has_what_it_had_saved() -> None:
    peer = a_learning_peer(noise(8, 1), schema=SCHEMA)
    meet(peer, "a", now=3.5)
    peer.handle(ev.Trained(1, noise(8, 2), 20), 4.0)
    origin = an_origin(saved=peer.save())
    (found,), left = read(packed(origin))
    assert left == 0
    assert alike(found, origin)
    assert isinstance(found, Origin)
    assert State.of(found.peer()) == msgspec.structs.replace(State.of(peer), incarnation=origin.incarnation, seq=0)
    assert found.peer().neighbourhood.known.keys() == {"a", "them"}


def test_a_recording_from_before_peers_saved_is_still_read() -> None:
    raw = encode(an_origin())
    fields = msgspec.msgpack.decode(raw.body)
    assert fields[-1] is None
    shorter = Raw(raw.kind, msgspec.msgpack.encode(fields[:-1]))
    (found,), _ = read(MAGIC + pack(shorter))
    assert alike(found, an_origin())


def test_a_graph_from_a_file_comes_back_whole() -> None:
    drawn = Fixed("city.graphml", {"me": ("a", "b"), "a": ("me",), "b": ("me",)})
    (origin, happened), _ = read(packed(an_origin(topology=drawn), Happened(1.0, ev.Rewired(drawn))))
    assert isinstance(origin, Origin)
    assert origin.topology == drawn
    assert alike(happened, Happened(1.0, ev.Rewired(drawn)))


def test_peers_of_one_origin_are_the_same_and_of_another_seed_are_not() -> None:
    def lived(origin: Origin) -> list[bytes]:
        peer = origin.peer()
        happenings: list[ev.Event] = [ev.Started(), ev.TimerFired("join"), ev.Connected("a"), ev.TimerFired("publish")]
        return [rec.outline(effect) for i, event in enumerate(happenings) for effect in peer.handle(event, float(i))]

    (again,), _ = read(packed(an_origin()))
    assert isinstance(again, Origin)
    assert len(lived(again)) >= 5
    assert lived(again) == lived(an_origin())
    assert lived(an_origin(seed=5)) != lived(an_origin())


def test_what_is_recorded_does_not_change_with_the_event() -> None:
    delta = full_of(1.0)
    raw = encode(Happened(1.0, ev.Trained(1, delta, 5)))
    delta.fill(9.0)
    (_, happened), _ = read(packed(an_origin()) + pack(raw))
    assert alike(happened, Happened(1.0, ev.Trained(1, full_of(1.0), 5)))


class Odd(Ring):
    """A topology whose name does not tell what it is."""

    def chance(self, others: int) -> float:
        return super().chance(others) / 2


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (ev.Trained(1, np.zeros(3), 1), "float32"),  # type: ignore[arg-type]
        (ev.Trained(1, np.zeros((2, 2), np.float32), 1), "flat"),
        (ev.TimerFired(object()), "TimerFired|Happened"),
        (ev.TimerFired(3), "Happened"),
        (ev.Rewired(Odd()), "'ring' can't be recorded"),
        (ev.Connected("\ud800"), "Happened can't be recorded"),
        (ev.TrainingFailed(2**70, "x"), "Happened can't be recorded"),
    ],
)
def test_what_can_t_be_recorded_is_refused(event: ev.Event, says: str) -> None:
    with pytest.raises(LocalError, match=says):
        encode(Happened(1.0, event))


def test_a_body_over_the_limit_is_refused_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed(an_origin(), Happened(1.0, ev.Received("a", bytes(100))))
    for module in ("records", "stream"):
        monkeypatch.setattr(f"gossipfl.protocol.recording.{module}.MAX_BODY", 100)
    with pytest.raises(LocalError, match="at most 100"):
        encode(Happened(1.0, ev.Received("a", bytes(100))))
    with pytest.raises(LocalError, match="at most 100"):
        read(content)


# --- effects and states

EFFECTS: list[ev.Effect] = [
    ev.Send(("a", "b"), b"x"), ev.Send(("a", "b"), b"y"), ev.Send(("a",), b"x"), ev.Send(("a", "b"), b"x", True),
    ev.Dial("a", ("b",)), ev.Dial("a", ()), ev.Disconnect("a", "b"), ev.Refused("a", "b"), ev.SetTimer("publish", 1.0),
    ev.SetTimer("publish", np.nextafter(1.0, 2.0).item()), ev.SetTimer(("redial", "a"), 1.0),
    ev.Train(1, full_of(1.0), 2, 0.0), ev.Train(1, full_of(1.0, 9), 2, 0.0), ev.Train(1, -full_of(0.0), 2, 0.0),
    ev.Train(1, full_of(0.0), 2, 0.0), ev.Joined(("a",)), ev.Joined(()), ev.Published(1, ("a",), 5),
    ev.Merged("a", 0.0, 0.5), ev.Merged("a", 0.0, 0.25), ev.Failed("b"),
    ev.Suspected("a"), ev.Suspected("b"), ev.Died("a"), ev.Partitioned(1, 2), ev.Healed(1, 2), ev.Healed(0, 2),
    ev.Admitted("a"), ev.Admitted("b"), ev.Revoked(Device(1).ban("a")), ev.Revoked(Device(1).ban("b")),
]  # fmt: skip


def test_effects_that_differ_have_different_outlines() -> None:
    outlines = [rec.outline(effect) for effect in EFFECTS]
    assert len(set(outlines)) == len(EFFECTS)
    assert {len(outline) for outline in outlines} == {rec.OUTLINE}
    assert [rec.effect_of(outline) for outline in outlines] == [type(effect).__name__ for effect in EFFECTS]
    assert {type(effect) for effect in EFFECTS} == set(ev.Effect.__args__)


def test_an_outline_is_of_values_not_of_their_types_in_numpy() -> None:
    assert rec.outline(ev.Merged("a", 0.0, np.float64(0.5))) == rec.outline(ev.Merged("a", 0.0, 0.5))
    vector = noise(16)
    assert rec.outline(ev.Train(1, np.repeat(vector, 2)[::2], 2, 0.0)) == rec.outline(ev.Train(1, vector, 2, 0.0))


@given(st.lists(st.sampled_from(EFFECTS), max_size=6))
def test_what_followed_comes_back_as_it_was(effects: list[ev.Effect]) -> None:
    followed = Followed.of(effects)
    found, _ = read(packed(an_origin(), Happened(1.0, ev.Started()), followed))
    assert found[2] == followed
    assert [rec.effect_of(outline) for outline in followed.outlines] == [type(effect).__name__ for effect in effects]


def test_a_state_tells_of_everything_that_moves() -> None:
    peer = a_learning_peer(noise(8))
    seen = [State.of(peer).hash]

    def changed() -> bool:
        seen.append(State.of(peer).hash)
        return seen[-1] not in seen[:-1]

    assert State.of(peer).hash == seen[0]
    assert len(seen[0]) == 32
    peer.handle(ev.Trained(1 + 1, full_of(0.25), 20), 4.0)
    meet(peer, "a", now=5.0)
    peer.replica.age += 1
    assert changed()
    peer.handle(ev.Received("a", update(peer, noise(8, seed=3))), 6.0)
    assert changed()
    peer.replica.served.restart(full_of(3.0))
    assert changed()
    peer.incarnation += 1
    assert changed()
    peer.seq += 1
    assert changed()
    state = State.of(peer)
    found, _ = read(packed(an_origin(), Happened(1.0, ev.Started()), Followed(()), state))
    assert found[3] == state


# --- anything may end anywhere


def a_life() -> list[Record]:
    """A recording with a record of every sort, of which some are deflated."""
    return [
        an_origin(initial=full_of(0.5)),
        Happened(1.0, ev.Started()),
        Followed.of(EFFECTS[:3]),
        State.of(a_learning_peer()),
        Happened(2.0, ev.Trained(1, np.zeros(64, np.float32), 20)),
        Followed(()),
        Happened(3.0, ev.Received("a", noise(30).tobytes())),
        Followed.of(EFFECTS[3:4]),
        Happened(4.0, ev.Stopping()),
        Followed(()),
        State.of(a_learning_peer(noise(8))),
    ]


def test_a_recording_that_was_cut_anywhere_is_read_up_to_there() -> None:
    life = a_life()
    ends, content = [], MAGIC
    for record in life:
        content += pack(encode(record))
        ends.append(len(content))
    for length in range(len(content) + 1):
        found, left = read(content[:length])
        whole = sum(end <= length for end in ends)
        assert len(found) == whole
        assert all(map(alike, found, life))
        begun = ends[whole - 1] if whole else len(MAGIC) if length >= len(MAGIC) else 0
        assert left == length - begun


@pytest.mark.parametrize("step", [1, 2, 7, 100])
def test_it_does_not_matter_in_which_pieces_it_is_fed(step: int) -> None:
    found, left = read(packed(*a_life()), step)
    assert left == 0
    assert len(found) == len(a_life())
    assert all(map(alike, found, a_life()))


def test_a_record_of_few_different_bytes_takes_less_than_they_do() -> None:
    raw = encode(Happened(1.0, ev.Trained(1, np.zeros(1000, np.float32), 20)))
    assert len(pack(raw)) < 100
    assert len(pack(encode(Happened(1.0, ev.Received("a", noise(100).tobytes()))))) <= 400 + OVERHEAD + 20


# --- what is no recording


def damaged(content: bytes) -> Iterator[tuple[int, bytes]]:
    """With each byte in turn changed."""
    for at in range(len(content)):
        yield at, content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :]


def test_no_damage_goes_unseen_and_its_place_is_told() -> None:
    starts = [0, len(MAGIC)]
    for record in a_life():
        starts.append(starts[-1] + len(pack(encode(record))))
    for at, content in damaged(packed(*a_life())):
        begins = max(start for start in starts if start <= at)
        with pytest.raises(LocalError, match=rf"^byte {begins}: "):
            read(content)


def forged(kind: int, body: bytes, **head: int) -> bytes:
    """A record whose checksums are right, whatever else isn't."""
    fields = {"stored": len(body), "size": len(body)} | head
    packed = struct.pack("<BIII", kind, fields["stored"], fields["size"], zlib.crc32(body))
    return packed + struct.pack("<I", zlib.crc32(packed)) + body


def origin_with(**fields: Any) -> bytes:
    flat = msgspec.structs.replace(rec._flat_origin(an_origin()), **fields)
    return MAGIC + forged(0, msgspec.msgpack.encode(flat))


START = packed(an_origin())
EVENT = pack(encode(Happened(1.0, ev.Started())))
DEFLATED = zlib.compress(bytes(1000))
huge = rec.MAX_BODY + 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"gossipfl recordinX\0\1", "not a recording"),
        (b"PK\x03\x04" + bytes(40), "not a recording"),
        (MAGIC[:-2] + struct.pack("<H", VERSION + 1) + bytes(50), f"format version {VERSION + 1}"),
        (MAGIC + EVENT, "can't stand at the start"),
        (START + START[len(MAGIC) :], "Origin can't stand after Origin"),
        (START + EVENT + EVENT, "Happened can't stand after Happened"),
        (START + pack(encode(Followed(()))), "Followed can't stand after Origin"),
        (START + EVENT + pack(encode(State.of(a_learning_peer()))), "State can't stand after Happened"),
        (START + forged(3, b""), "kind 3"),
        (START + forged(255, b""), "kind 255"),
        (START + forged(16, b"", size=huge), f"at most {rec.MAX_BODY}"),
        (START + forged(16, bytes(20), size=19), "of 19 bytes in 20"),
        (START + forged(16, DEFLATED, size=1001), "1001 bytes that it promises"),
        (START + forged(16, DEFLATED, size=999), "999 bytes that it promises"),
        (START + forged(16, DEFLATED + b"x", size=1000), "1000 bytes that it promises"),
        (START + forged(16, b"no deflate", size=1000), "can't be inflated"),
        (START + forged(16, b"\xc1"), "does not hold"),
        (START + forged(16, b"\x91" * 5000), "does not hold"),
        (START + forged(16, msgspec.msgpack.encode([1.0, 2.0])), "does not hold"),
        (START + forged(17, msgspec.msgpack.encode([1.0, 2.0])), "does not hold"),
        (START + forged(23, msgspec.msgpack.encode([1.0, [[]]])), "does not hold"),
        (START + forged(16, msgspec.msgpack.encode([float("nan")])), "an event at nan"),
        (START + forged(16, msgspec.msgpack.encode([-1.0])), "an event at -1.0"),
        (START + forged(16, msgspec.msgpack.encode([1e300])), "an event at 1e"),
        (START + forged(21, msgspec.msgpack.encode([1.0, 1, b"12345", 1])), "5 bytes, which are no float32"),
        (START + forged(24, msgspec.msgpack.encode([1.0, ["star", None]])), "star"),
        (START + EVENT + forged(1, b"\0" * 9), "no outlines"),
        (START + EVENT + forged(1, b"\xff" * 8), "no outlines"),
        (START + EVENT + forged(1, b"") + forged(2, b"\x90"), "does not hold"),
        (origin_with(initial=bytes(31)), "does not fit"),
        (origin_with(initial=bytes(28)), "does not fit"),
        (origin_with(tensors=(Tensor("w", (1 << 40,)),)), "does not fit"),
        (origin_with(tensors=(Tensor("w", (1,) * 65),), initial=bytes(4)), "more than 64 sides"),
        (origin_with(tensors=(Tensor("w", (-2, -4)),)), "≥ 1"),
        (origin_with(tensors=(Tensor("w", (8,), personal=True),)), "no shared element"),
        (origin_with(seed=bytes(15)), "does not hold"),
        (origin_with(settings={"interval": 0.0}), "interval"),
        (origin_with(settings={"pace": 1}), "does not hold"),
        (origin_with(topology=rec._Wiring("k-out:k=99", None)), "k = 99"),
    ],
)
def test_what_is_no_recording_is_refused_with_what_is_wrong(content: bytes, says: str) -> None:
    with pytest.raises(LocalError, match=says) as caught:
        read(content)
    assert str(caught.value).startswith("byte ")


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_read_or_refused(content: bytes) -> None:
    for before in (b"", MAGIC, START, START + EVENT):
        try:
            found, left = read(before + content)
        except LocalError:
            continue
        assert len(found) == 0 or isinstance(found[0], Origin)
        assert left <= len(before) + len(content)


def trees() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts | st.binary(max_size=9)
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3))


@given(st.sampled_from([0, 1, 2, *range(16, 26)]), st.lists(trees(), max_size=11))
def test_a_body_of_anything_is_decoded_or_refused(kind: int, fields: list[Any]) -> None:
    for first in ([], [1.0]):
        try:
            record = rec.decode(Raw(kind, msgspec.msgpack.encode([*first, *fields])))
        except LocalError:
            continue
        assert alike(rec.decode(encode(record)), record)


def vector_of(make: Callable[[int], Vector]) -> Raw:
    return encode(Happened(1.0, ev.Trained(1, make(2410), 20)))


def test_a_vector_takes_its_own_bytes_and_few_more() -> None:
    assert len(vector_of(noise).body) < 4 * 2410 + 40


def test_topologies_by_name_come_back_equal() -> None:
    for topology in (Ring(), Hierarchical(), KOut(k=5)):
        (_, happened), _ = read(packed(an_origin(), Happened(1.0, ev.Rewired(topology))))
        assert alike(happened, Happened(1.0, ev.Rewired(topology)))
