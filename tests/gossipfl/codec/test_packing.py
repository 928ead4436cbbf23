"""Packing: what goes in comes out, and a frame that lies about its size costs nothing."""

import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.codec.packing import pack, unpack
from gossipfl.errors import RemoteError


@given(st.binary(max_size=2000), st.integers(0, 20))
def test_what_goes_in_comes_out(data: bytes, times: int) -> None:
    data *= times
    packed, result = pack(data)
    assert len(result) <= len(data)
    assert (unpack(result, len(data)) if packed else result) == data


@pytest.mark.parametrize("size", [10_000, 10_000_000])
def test_large_payloads_come_out(size: int) -> None:
    data = np.random.default_rng(0).integers(0, 16, size).astype(np.uint8).tobytes()
    packed, result = pack(data)
    assert packed
    assert len(result) < 0.52 * size
    assert unpack(result, size) == data


def test_what_can_not_be_packed_is_left_as_it_is() -> None:
    data = np.random.default_rng(0).bytes(1000)
    assert pack(data) == (False, data)


@given(st.binary(max_size=300), st.integers(1, 1000))
def test_any_bytes_are_refused_or_have_the_size(data: bytes, size: int) -> None:
    with suppress(RemoteError):
        assert len(unpack(data, size)) == size


GOOD = pack(bytes(1000))[1]


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (GOOD, 999), (GOOD, 1001), (GOOD[:-1], 1000), (GOOD + b"\0", 1000), (GOOD + GOOD, 1000), (b"", 1),
        (zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000)), 1000),
    ],
    ids=["longer", "shorter", "cut off", "with something behind", "twice", "nothing", "without a size"],
)  # fmt: skip
def test_lies_are_refused(data: bytes, size: int) -> None:
    with pytest.raises(RemoteError, match="packed payload"):
        unpack(data, size)


def test_a_bomb_is_refused_before_anything_is_allocated() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    tracemalloc.start()
    try:
        with pytest.raises(RemoteError):
            unpack(bomb, 1000)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_the_same_bytes_are_packed_alike() -> None:
    assert pack(bytes(range(100)) * 50) == pack(bytes(range(100)) * 50)
