"""Frames: what a byte stream may be cut into, and what is refused before it costs memory."""

import struct
import tracemalloc
import zlib
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import LocalError, RemoteError
from gossipfl.wire import frames
from gossipfl.wire.frames import KEEP_ALIVE, FrameDecoder, parts, unwrap, wrap
from tests.gossipfl.builders import frame

LIMIT = 64


def test_a_frame_is_laid_out_as_documented() -> None:
    message = b"hi"
    body = b"gf\x01" + struct.pack(">I", zlib.crc32(message)) + message
    assert wrap(message) == body
    assert frame(body) == b"\0\0\0\x09" + body
    assert len(parts(body)) == 1
    assert len(body) - len(message) == frames.OVERHEAD


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "shorter than its header"),
        (b"gf\x01\0\0\0", "shorter than its header"),
        (b"GF" + wrap(b"x")[2:], "does not start with"),
        (b"gf\x02" + wrap(b"x")[3:], "protocol version 2; this node speaks 1"),
        (b"gf\x00" + wrap(b"x")[3:], "protocol version 0"),
        (wrap(b"x")[:-1] + b"y", "checksum"),
        (wrap(b"xy")[:-1], "checksum"),
        (wrap(b"x") + b"x", "checksum"),
        (wrap(b"x")[:3] + b"\0\0\0\0" + b"x", "checksum"),
    ],
)
def test_a_bad_body_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(RemoteError, match=reason):
        unwrap(body)


@given(st.binary(max_size=200))
def test_unwrap_undoes_wrap(message: bytes) -> None:
    assert bytes(unwrap(wrap(message))) == message


@given(st.binary(max_size=200), st.data())
def test_one_flipped_bit_anywhere_is_noticed(message: bytes, data: st.DataObject) -> None:
    damaged = bytearray(wrap(message))
    bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RemoteError):
        unwrap(bytes(damaged))


STREAMS: list[tuple[str, bytes, list[bytes] | None]] = [
    ("nothing", b"", []),
    ("half a length", b"\0\0", []),
    ("a keep-alive", KEEP_ALIVE, []),
    ("a thousand keep-alives", KEEP_ALIVE * 1000, []),
    ("one body", frame(b"a"), [b"a"]),
    ("two bodies", frame(b"a") + frame(b"bc"), [b"a", b"bc"]),
    ("keep-alives between", KEEP_ALIVE + frame(b"a") + KEEP_ALIVE * 2 + frame(b"b") + KEEP_ALIVE, [b"a", b"b"]),
    ("the beginning of another", frame(b"a") + frame(b"bcd")[:-1], [b"a"]),
    ("the largest body", frame(b"z" * LIMIT), [b"z" * LIMIT]),
    ("one byte too many", frame(b"z" * (LIMIT + 1)), None),
    ("a length of 4 GiB", b"\xff\xff\xff\xff", None),
    ("a lie after a good body", frame(b"a") + b"\x7f\0\0\0", None),
]


@pytest.mark.parametrize(("stream", "bodies"), [case[1:] for case in STREAMS], ids=[case[0] for case in STREAMS])
@pytest.mark.parametrize("step", [1, 3, 1 << 20], ids=["byte by byte", "by threes", "whole"])
def test_a_stream_is_cut_the_same_however_it_arrives(stream: bytes, bodies: list[bytes] | None, step: int) -> None:
    decoder, got = FrameDecoder(LIMIT), list[bytes]()

    def feed() -> None:
        for start in range(0, len(stream), step):
            got.extend(filter(None, decoder.feed(stream[start : start + step])))

    if bodies is None:
        with pytest.raises(RemoteError, match="at most 64 are allowed"):
            feed()
    else:
        feed()
        assert got == bodies


@given(st.lists(st.binary(max_size=LIMIT), max_size=8), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_any_bodies_come_out_of_any_chunks(bodies: list[bytes], chunks: list[int]) -> None:
    stream = b"".join(frame(body) if body else KEEP_ALIVE for body in bodies)
    decoder, got, start, turn = FrameDecoder(LIMIT), list[bytes](), 0, 0
    while start < len(stream):
        size = chunks[turn % len(chunks)]
        got += decoder.feed(stream[start : start + size])
        start, turn = start + size, turn + 1
    assert got == bodies
    assert not decoder.held


@given(
    st.lists(st.binary(max_size=LIMIT), max_size=8),
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), min_size=1, max_size=8),
)
def test_whoever_takes_few_at_a_time_gets_all_in_the_end(bodies: list[bytes], chunks: list[tuple[int, int]]) -> None:
    stream = b"".join(frame(body) if body else KEEP_ALIVE for body in bodies)
    decoder, got, start, turn = FrameDecoder(LIMIT), list[bytes](), 0, 0
    while start < len(stream):
        size, taken = chunks[turn % len(chunks)]
        got += islice(decoder.feed(stream[start : start + size]), taken)
        start, turn = start + size, turn + 1
    assert got + list(decoder.feed(b"")) == bodies
    assert not decoder.held


@pytest.mark.parametrize("length", [LIMIT + 1, 1 << 30, (1 << 32) - 1])
def test_a_lying_length_is_refused_at_its_fourth_byte(length: int) -> None:
    decoder = FrameDecoder(LIMIT)
    lie = struct.pack(">I", length)
    assert not list(decoder.feed(lie[:3]))
    with pytest.raises(RemoteError):
        next(decoder.feed(lie[3:]))


def test_a_length_is_believed_only_as_far_as_bytes_arrive() -> None:
    tracemalloc.start()
    try:
        for length in ((1 << 32) - 1, 1 << 30):
            decoder = FrameDecoder(1 << 30)
            try:
                assert not list(decoder.feed(struct.pack(">I", length) + b"x" * 100))
            except RemoteError:
                assert length > 1 << 30
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_stream_of_single_bytes_does_not_become_as_many_objects() -> None:
    decoder, body = FrameDecoder(1 << 20), b"x" * 100_000
    tracemalloc.start()
    try:
        for at in range(50_000):
            assert not list(decoder.feed(frame(body)[at : at + 1] if at < 4 else b"x"))
        assert tracemalloc.get_traced_memory()[1] < 400_000
    finally:
        tracemalloc.stop()


def test_bodies_are_cut_as_they_are_asked_for_and_a_later_feed_goes_on_where_an_earlier_one_was_left() -> None:
    decoder = FrameDecoder(LIMIT)
    bodies = [b"%d" % number for number in range(10)]
    stream = b"".join(map(frame, bodies))
    first = decoder.feed(stream[:-1])
    assert [next(first) for _ in range(3)] == bodies[:3]
    assert decoder.held == len(stream) - 1 - 3 * len(frame(b"0"))
    assert list(decoder.feed(stream[-1:])) == bodies[3:]
    assert decoder.held == 0


def test_a_large_body_is_not_copied_to_be_sent() -> None:
    body = bytes(range(256)) * 1000
    head, rest = parts(body)
    assert isinstance(rest, memoryview)
    assert rest.obj is body
    assert bytes(head) + bytes(rest) == struct.pack(">I", len(body)) + body


@pytest.mark.parametrize("step", [1000, 1 << 16])
def test_a_large_body_takes_its_memory_once(step: int) -> None:
    size = 4_000_000
    decoder, chunk = FrameDecoder(size + 4), bytes(step)
    tracemalloc.start()
    try:
        assert not list(decoder.feed(struct.pack(">I", size + 4)))
        for _ in range(size // step):
            assert not list(decoder.feed(chunk))
        assert not list(decoder.feed(bytes(size % step)))
        (body,) = decoder.feed(b"last")
        assert tracemalloc.get_traced_memory()[1] < 1.3 * size
    finally:
        tracemalloc.stop()
    assert len(body) == size + 4


def test_an_empty_body_is_our_own_mistake() -> None:
    with pytest.raises(LocalError, match="keep-alive"):
        frame(b"")
