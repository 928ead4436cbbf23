"""Messages: what is sent is what is read, and nothing but a message or a RemoteError leaves `decode`."""

import tracemalloc
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gossipfl.codec.codec import Delta
from gossipfl.codec.coordinates import All, Bitmap, Gaps, Seeded, Strided
from gossipfl.errors import RemoteError
from gossipfl.membership.charter import Admission, Revocation
from gossipfl.membership.rumours import Rumour, Standing
from gossipfl.model.replica import MAX_AGE
from gossipfl.wire import frames
from gossipfl.wire import messages as msg
from tests.gossipfl.builders import full_of, in_full, int8

HASH = bytes(range(16))
PAYLOAD = int8(b"\0\0\x80?", b"\1\2\3")

ascii_text = st.characters(min_codepoint=33, max_codepoint=126)
hashes = st.binary(min_size=16, max_size=16)
counters = st.integers(0, 2**53)
ages = st.floats(0, MAX_AGE)
rates = st.floats(0, msg.MAX_RATE, exclude_min=True)
addresses = st.lists(st.text(ascii_text, min_size=1, max_size=256), max_size=8).map(tuple)
positions = st.integers(0, 2**40)
coordinates = st.one_of(
    st.just(All()),
    st.builds(Strided, positions, positions, st.integers(1, 2**40)),
    st.builds(Bitmap, st.booleans(), st.binary(max_size=40)),
    st.builds(Gaps, st.binary(max_size=40)),
    st.builds(Seeded, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
)
payloads = st.builds(Delta, coordinates, st.integers(0, 255), st.booleans(), st.binary(max_size=400).map(memoryview))
ids = st.text(ascii_text, min_size=1, max_size=128)
known = st.builds(msg.KnownPeer, ids, addresses)
rumours = st.lists(st.builds(Rumour, ids, st.sampled_from(Standing), counters, counters), max_size=8).map(tuple)
signatures = st.binary(min_size=64, max_size=64)
admissions = st.builds(Admission, ids, ids, st.booleans(), signatures)
averages = st.floats(-msg.MAX_VALUE, msg.MAX_VALUE)
counts = st.builds(msg.Count, counters, counters, averages, averages)

BY_KIND: dict[str, st.SearchStrategy[Any]] = {
    "Hello": st.builds(
        msg.Hello,
        st.text(max_size=64),
        hashes,
        hashes,
        counters,
        counters,
        ages,
        addresses,
        st.text(max_size=16),
        st.text(max_size=64),
        st.booleans(),
    ),
    "Peers": st.builds(msg.Peers, st.lists(known, max_size=64).map(tuple), st.booleans()),
    "Update": st.builds(msg.Update, hashes, hashes, counters, counters, ages, rates, payloads),
    "NeedBase": st.builds(msg.NeedBase, hashes, hashes),
    "Base": st.builds(msg.Base, hashes, hashes, payloads),
    "NeedSnapshot": st.just(msg.NeedSnapshot()),
    "Snapshot": st.builds(msg.Snapshot, hashes, hashes, ages, payloads),
    "Goodbye": st.builds(msg.Goodbye, st.booleans()),
    "Credential": st.builds(msg.Credential, st.lists(admissions, max_size=2).map(tuple)),
    "Revocations": st.builds(
        msg.Revocations,
        st.lists(
            st.builds(Revocation, ids, ids, st.lists(admissions, max_size=1).map(tuple), signatures), max_size=32
        ).map(tuple),
    ),
    "Ping": st.builds(msg.Ping, counters, rumours, counts),
    "Ack": st.builds(msg.Ack, counters, ids, rumours, counts),
    "PingFor": st.builds(msg.PingFor, counters, ids, addresses),
}
any_message = st.one_of(*BY_KIND.values())


@pytest.mark.parametrize("kind", BY_KIND)
def test_every_message_comes_back_as_it_was_sent(kind: str) -> None:
    @given(BY_KIND[kind])
    def comes_back(message: msg.Message) -> None:
        assert type(message).__name__ == kind
        assert msg.decode(msg.encode(message)) == message

    comes_back()


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_535, 65_536, 1_000_000])
@pytest.mark.parametrize("kind", ["Update", "Base", "Snapshot"])
def test_data_lies_in_a_message_as_messagepack_has_it_and_is_copied_once(kind: str, size: int) -> None:
    data = memoryview(bytes(range(256)) * (size // 256 + 1))[:size]
    delta = Delta(All(), 1, packed=False, data=data)
    messages: dict[str, msg.Message] = {
        "Update": msg.Update(HASH, HASH, 1, 2, 3.0, 1.0, delta),
        "Base": msg.Base(HASH, HASH, delta),
        "Snapshot": msg.Snapshot(HASH, HASH, 3.0, delta),
    }
    message = messages[kind]
    wanted = frames.wrap(msgspec.msgpack.encode(message))
    tracemalloc.start()
    try:
        body = msg.encode(message)
        assert tracemalloc.get_traced_memory()[1] < 1.1 * size + 10_000
    finally:
        tracemalloc.stop()
    assert body == wanted
    decoded = msg.decode(body)
    assert decoded == message
    assert isinstance(decoded, msg.Update | msg.Base | msg.Snapshot)
    assert decoded.payload.data.obj is body, "a view of the frame"


def test_there_is_a_strategy_for_every_message() -> None:
    assert set(BY_KIND) == {kind.__name__ for kind in msg.Message.__args__}


@pytest.mark.parametrize(
    "message",
    [
        msg.Hello("ü" * 64, HASH, HASH, 1, 1, 0.0, (), "", "int8", heard=True),
        msg.Hello("m", HASH, HASH, 1, 1, 0.0, ("/dns/" + "ü" * 251,), "", "int8", heard=True),
        msg.Peers((msg.KnownPeer("漢" * 128, ()),), asks=True),
    ],
    ids=["mesh", "address", "peer"],
)
def test_limits_count_characters_not_bytes(message: msg.Message) -> None:
    assert msg.decode(msg.encode(message)) == message


def test_the_largest_messages_are_within_the_largest_body() -> None:
    address = "x" * 256
    peers = msg.Peers(tuple(msg.KnownPeer("p" * 128, (address,) * 8) for _ in range(64)), asks=False)
    assert len(msg.encode(peers)) <= msg.max_body(1)
    for size in (1, 1000, 1_000_000):
        assert len(msg.encode(msg.Base(HASH, HASH, in_full(full_of(1, size))))) <= msg.max_body(size)
        full = int8(bytes(4 * -(-size // 256)), bytes(size))
        assert len(msg.encode(msg.Update(HASH, HASH, 2**53, 2**53, 1.5, 1.5, full))) <= msg.max_body(size)


def hello(**fields: Any) -> list[Any]:
    usual = {"mesh": "m", "schema": HASH, "base": HASH, "inc": 1, "seq": 2, "age": 3.0, "at": ["a"]}
    usual |= {"role": "gateway", "codec": "int8", "heard": True}
    return [1, *(usual | fields).values()]


def update(**fields: Any) -> list[Any]:
    usual = {
        "schema": HASH,
        "base": HASH,
        "inc": 1,
        "seq": 2,
        "age": 3.0,
        "rate": 1.0,
        "payload": [1, [1], 1, False, b""],
    }
    return [3, *(usual | fields).values()]


def snapshot(**fields: Any) -> list[Any]:
    return [7, *({"schema": HASH, "base": HASH, "age": 3.0, "payload": [1, [1], 1, False, b""]} | fields).values()]


def ping(**fields: Any) -> list[Any]:
    return [11, *({"number": 1, "rumours": [], "count": [1, 2, 0.5, 0.5]} | fields).values()]


GOOD: list[Any] = [
    hello(), update(), snapshot(), hello(at=["a"] * 8), hello(age=3), update(rate=1), [6], [8, True], [2, [], True],
    ping(),
    ping(rumours=[["b", 0, 1, 2]] * 8), [12, 1, "a", [["b", 3, 1, 2]], [1, 2, 0, -1]], [13, 1, "a", []],
]  # fmt: skip

BAD: dict[str, Any] = {
    "nil": None,
    "a number": 1,
    "a string": "hello",
    "bytes": b"\x91\x08",
    "true": True,
    "a map": {1: 2},
    "an empty map": {},
    "an empty array": [],
    "no tag": ["hello"],
    "tag 0": [0],
    "tag 9": [9],
    "tag -1": [-1],
    "tag 2**63": [2**63],
    "tag as a float": [8.0, True],
    "tag as a string": ["8", True],
    "tag as an array": [[8], True],
    "goodbye without its field": [8],
    "goodbye with another field": [8, 1],
    "goodbye with two": [8, True, True],
    "need snapshot with a field": [6, None],
    "hello without its last field": hello()[:-1],
    "hello with one more": [*hello(), 1],
    "update without a payload": update()[:-1],
    "update with one more": [*update(), 1],
    "negative seq": hello(seq=-1),
    "seq over 2**53": hello(seq=2**53 + 1),
    "seq as a float": hello(seq=1.5),
    "seq as a bool": hello(seq=True),
    "seq as a string": hello(seq="1"),
    "negative incarnation": update(inc=-1),
    "incarnation over 2**53": update(inc=2**60),
    "age not a number": hello(age=float("nan")),
    "age infinite": hello(age=float("inf")),
    "age minus infinite": hello(age=float("-inf")),
    "age negative": hello(age=-1.0),
    "age too large": hello(age=1.1e15),
    "age a huge integer": hello(age=2**63),
    "age a string": hello(age="3"),
    "update age not a number": update(age=float("nan")),
    "update age infinite": update(age=float("inf")),
    "snapshot age not a number": snapshot(age=float("nan")),
    "snapshot age negative": snapshot(age=-0.1),
    "rate not a number": update(rate=float("nan")),
    "rate infinite": update(rate=float("inf")),
    "rate zero": update(rate=0.0),
    "rate zero, an integer": update(rate=0),
    "rate negative": update(rate=-1.0),
    "rate too large": update(rate=1.1e6),
    "rate missing": update(rate=None),
    "nine addresses": hello(at=["a"] * 9),
    "an empty address": hello(at=[""]),
    "an address too long": hello(at=["a" * 257]),
    "addresses as a string": hello(at="a"),
    "addresses of bytes": hello(at=[b"a"]),
    "mesh too long": hello(mesh="m" * 65),
    "mesh of a megabyte": hello(mesh="m" * (1 << 20)),
    "mesh as bytes": hello(mesh=b"m"),
    "role too long": hello(role="r" * 17),
    "role as bytes": hello(role=b"sensor"),
    "heard as a number": hello(heard=1),
    "hash too short": hello(schema=HASH[1:]),
    "hash too long": hello(base=HASH + b"!"),
    "hash as a string": hello(schema="0123456789abcdef"),
    "hash in base64": hello(schema="AAAAAAAAAAAAAAAAAAAAAA=="),
    "65 peers": [2, [["p", []]] * 65, True],
    "a peer without a name": [2, [["", []]], True],
    "a peer's name too long": [2, [["p" * 129, []]], True],
    "a peer with nine addresses": [2, [["p", ["a"] * 9]], True],
    "a peer with three fields": [2, [["p", [], 1]], True],
    "a peer with one field": [2, [["p"]], True],
    "peers as a number": [2, 5, True],
    "peers that do not say whether they ask": [2, []],
    "nine rumours": ping(rumours=[["b", 0, 1, 2]] * 9),
    "a rumour of no standing": ping(rumours=[["b", 4, 1, 2]]),
    "a rumour about nobody": ping(rumours=[["", 1, 1, 2]]),
    "a rumour of a negative life": ping(rumours=[["b", 1, -1, 2]]),
    "a rumour that was refuted too often": ping(rumours=[["b", 1, 1, 2**53 + 1]]),
    "an estimate that is not a number": ping(count=[1, 2, 0.0, float("nan")]),
    "a flow that is not a number": ping(count=[1, 2, float("nan"), 0.0]),
    "a flow that is infinite": ping(count=[1, 2, float("-inf"), 0.0]),
    "an estimate too large": ping(count=[1, 2, 0.0, 1.1e6]),
    "an answer with an estimate that is not a number": [12, 1, "a", [], [1, 2, 0.0, float("nan")]],
    "an answer about nobody": [12, 1, "", [], [1, 2, 0.0, 0.0]],
    "payload of another tag": update(payload=[2, b"", b""]),
    "payload without codes": update(payload=[1, b""]),
    "payload with one more": update(payload=[1, b"", b"", b""]),
    "payload as bytes": update(payload=b"\1"),
    "payload of strings": update(payload=[1, "", ""]),
    "payload of numbers": update(payload=[1, 1, 1]),
    "base as an array": [5, HASH, [1.0, 2.0]],
    "arrays in arrays": [2, [[[[[[[["p"]]]]]]]]],
    "a map for a field": [4, {}],
    "an ext type": [4, msgpack.ExtType(5, HASH)],
    "an empty ext type": [4, msgpack.ExtType(5, b"")],
    "a time": [4, msgpack.Timestamp(1)],
}


@pytest.mark.parametrize("fields", GOOD, ids=str)
def test_the_table_of_bad_messages_is_bad_for_its_reasons_alone(fields: Any) -> None:
    assert msg.decode(frames.wrap(msgpack.packb(fields)))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_is_refused(name: str) -> None:
    with pytest.raises(RemoteError):
        msg.decode(frames.wrap(msgpack.packb(BAD[name])))


RAW: dict[str, bytes] = {
    "nothing": b"",
    "a byte that MessagePack never uses": b"\xc1",
    "half a message": msg.encode(msg.NeedBase(HASH, HASH))[frames.OVERHEAD : -1],
    "a message and a half": bytes(frames.unwrap(msg.encode(msg.Goodbye(leaves=True)))) + b"\x91",
    "two messages": bytes(frames.unwrap(msg.encode(msg.Goodbye(leaves=True)))) * 2,
    "an array that claims 2**32 - 1 items": b"\xdd\xff\xff\xff\xff",
    "an array that claims 65 items": b"\xdc\x00\x41" + b"\x01" * 65,
    "a map that claims 2**32 - 1 items": b"\xdf\xff\xff\xff\xff",
    "bytes that claim 4 GiB": b"\x92\x04\xc6\xff\xff\xff\xff",
    "a string that claims 4 GiB": b"\x92\x04\xdb\xff\xff\xff\xff",
    "an ext that claims 4 GiB": b"\x92\x04\xc9\xff\xff\xff\xff\x01",
    "a string that is not UTF-8": b"\x92\x04\xa1\xff",
    "a lone surrogate": b"\x92\x04\xa3\xed\xa0\x80",
    "a map with a map as its key": b"\x81\x80\x01",
    "deep arrays": b"\x91" * 100_000,
    "deep arrays that end": b"\x91" * 900 + b"\x01",
    "wide and deep arrays": b"\xdc\x00\x40" * 20_000,
}


@pytest.mark.parametrize("name", RAW)
def test_bytes_that_are_no_message_are_refused(name: str) -> None:
    with pytest.raises(RemoteError):
        msg.decode(frames.wrap(RAW[name]))


@pytest.mark.parametrize("name", RAW)
def test_a_claim_costs_no_more_memory_than_its_bytes(name: str) -> None:
    body = frames.wrap(RAW[name])
    tracemalloc.start()
    try:
        with pytest.raises(RemoteError):
            msg.decode(body)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000 + 10 * len(body)
    finally:
        tracemalloc.stop()


def decodes_or_is_refused(body: bytes) -> None:
    try:
        message = msg.decode(body)
    except RemoteError:
        return
    assert isinstance(message, msg.Message)


@given(st.binary(max_size=300))
@settings(max_examples=300)
@example(b"")
def test_any_bytes_are_a_message_or_refused(raw: bytes) -> None:
    decodes_or_is_refused(raw)
    decodes_or_is_refused(frames.wrap(raw))


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20) | st.binary(),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=20,
)


@given(st.integers(0, 10), st.lists(json_like, max_size=9))
@settings(max_examples=300)
def test_any_fields_are_a_message_or_refused(tag: int, fields: list[Any]) -> None:
    decodes_or_is_refused(frames.wrap(msgpack.packb([tag, *fields])))


@given(any_message, any_message, st.data())
@settings(max_examples=300)
def test_a_mutated_message_is_a_message_or_refused(one: msg.Message, other: msg.Message, data: st.DataObject) -> None:
    raw, donor = (bytearray(frames.unwrap(msg.encode(message))) for message in (one, other))
    where = data.draw(st.integers(0, len(raw) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "splice", "insert", "drop"])):
        case "flip":
            raw[where] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del raw[where:]
        case "splice":
            raw[where:] = donor[data.draw(st.integers(0, len(donor) - 1)) :]
        case "insert":
            raw[where:where] = data.draw(st.binary(min_size=1, max_size=6))
        case _:
            del raw[where]
    decodes_or_is_refused(frames.wrap(bytes(raw)))
