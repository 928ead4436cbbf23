"""int8: unbiased, off by less than one step, and deaf to payloads that lie."""

import random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gossipfl.codec.int8 import DITHER_BITS, decode, dither
from gossipfl.codec.int8 import encode as encode_against
from gossipfl.errors import RemoteError
from gossipfl.kernels import BLOCK, LEVELS, MAX_SCALE
from gossipfl.model.schema import Vector
from tests.gossipfl.builders import full_of, noise


def encode(v: Vector, rng: random.Random) -> tuple[bytes, bytes]:
    return encode_against(v, np.zeros_like(v), rng)


def there_and_back(v: Vector, seed: int = 0) -> tuple[Vector, Vector]:
    """The decoded vector, and the scale of each coordinate."""
    scales, codes = encode(v, random.Random(seed))
    steps = np.repeat(np.frombuffer(scales, "<f4"), BLOCK)[: v.size]
    return decode(scales, codes, v.size), steps


@given(st.integers(1, 1000), st.integers(0, 2**32), st.floats(1e-6, 1e6))
@example(BLOCK, 0, 1.0)
@example(BLOCK + 1, 0, 1.0)
def test_no_coordinate_is_off_by_a_whole_step(size: int, seed: int, scale: float) -> None:
    v = noise(size, seed, scale)
    scales, codes = encode(v, random.Random(seed))
    assert (len(scales), len(codes)) == (4 * -(-size // BLOCK), size)
    decoded, steps = there_and_back(v, seed)
    assert decoded.dtype == np.float32
    assert decoded.shape == (size,)
    assert (np.abs(decoded.astype(np.float64) - v) <= steps * (1 + 1e-5)).all()
    assert np.abs(decoded).max() <= np.abs(v).max() * (1 + 1e-6)


@given(st.integers(1, 1000), st.integers(0, 2**32))
def test_zero_stays_exactly_zero(size: int, seed: int) -> None:
    decoded, _ = there_and_back(np.zeros(size, np.float32), seed)
    assert not decoded.any()
    assert not np.signbit(decoded).any()


def test_a_zero_among_others_stays_exactly_zero() -> None:
    v = noise(1000)
    v[::3] = 0
    assert all(not there_and_back(v, seed)[0][::3].any() for seed in range(20))


def test_rounding_is_unbiased() -> None:
    v, draws = noise(600, 1), 4000
    rng = random.Random(2)
    total = np.zeros(v.size)
    for _ in range(draws):
        scales, codes = encode(v, rng)
        total += decode(scales, codes, v.size)
    steps = np.repeat(np.frombuffer(scales, "<f4"), BLOCK)[: v.size]
    # One draw's standard deviation is at most half a step; 5 of them for the mean of 600 coordinates, 1 in 3,000 runs.
    assert (np.abs(total / draws - v) < 5 * 0.5 * steps / np.sqrt(draws)).all()


def test_the_dither_is_uniform_and_in_no_order() -> None:
    size = 1 << DITHER_BITS
    table = dither().astype(np.float64)
    assert (np.sort(table[:size]) == (np.arange(size) + 0.5) / size).all()
    assert (table[:size] == table[size:]).all()
    centred = table - 0.5
    lags = [1, 2, 3, BLOCK, 650, 12_345]
    correlations = [float(np.mean(centred[:size] * centred[lag : size + lag])) * 12 for lag in lags]
    assert max(map(abs, correlations)) < 5 / np.sqrt(size)


def test_coordinates_beyond_the_dither_are_rounded_on_their_own() -> None:
    size = 1 << DITHER_BITS
    v = np.full(size + 3 * BLOCK + 5, 0.3, np.float32)
    v[::BLOCK] = 1.0  # the largest of each block
    _, codes = encode(v, random.Random(0))
    assert len(codes) == v.size
    assert codes[:700] != codes[size : size + 700]
    decoded, steps = there_and_back(v)
    assert (np.abs(decoded - v) <= steps * (1 + 1e-5)).all()


def test_each_block_has_its_own_scale() -> None:
    v = np.concatenate([full_of(1e-4, BLOCK), full_of(100.0, BLOCK)])
    decoded, _ = there_and_back(v)
    assert np.allclose(decoded, v, rtol=1.0 / LEVELS)


def test_the_same_randomness_gives_the_same_bytes() -> None:
    v = noise(500)
    assert encode(v, random.Random(3)) == encode(v, random.Random(3))
    assert encode(v, random.Random(3)) != encode(v, random.Random(4))


@pytest.mark.parametrize("magnitude", [1e-45, 1e-40, 1e-38, 1e-30, 1e9])
def test_extreme_magnitudes_decode_to_something_near(magnitude: float) -> None:
    v = full_of(magnitude, 10)
    decoded, _ = there_and_back(v)
    assert np.isfinite(decoded).all()
    assert np.abs(decoded - v).max() <= max(magnitude / 64, 2e-36)


def test_encode_leaves_its_input_alone() -> None:
    v = noise(100)
    v.flags.writeable = False
    encode(v, random.Random(0))


def scale_of(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


@pytest.mark.parametrize(
    ("scales", "codes", "size"),
    [
        (b"", b"", 1),
        (scale_of(1), b"", 1),
        (scale_of(1), b"\1\1", 1),
        (scale_of(1), b"\1", 2),
        (scale_of(1, 1), b"\1", 1),
        (scale_of(1)[:3], b"\1", 1),
        (b"", b"\1", 1),
        (scale_of(1), b"\1" * 257, 257),
        (scale_of(1, 1), b"\1" * 256, 256),
        (scale_of(float("nan")), b"\1", 1),
        (scale_of(float("inf")), b"\1", 1),
        (scale_of(float("-inf")), b"\1", 1),
        (scale_of(-1), b"\1", 1),
        (scale_of(-1e-40), b"\1", 1),
        (scale_of(1.1 * MAX_SCALE), b"\1", 1),
        (scale_of(3e38), b"\1", 1),
        (scale_of(1, float("nan")), b"\1" * 300, 300),
    ],
)
def test_a_payload_that_lies_is_refused(scales: bytes, codes: bytes, size: int) -> None:
    with pytest.raises(RemoteError, match="int8 payload"):
        decode(scales, codes, size)


@given(st.binary(min_size=300, max_size=300), st.lists(st.floats(0, 2.0**29, width=32), min_size=2, max_size=2))
def test_every_legal_payload_decodes_to_finite_numbers(codes: bytes, scales: list[float]) -> None:
    decoded = decode(scale_of(*scales), codes, 300)
    assert np.isfinite(decoded).all()
    steps = np.repeat(np.array(scales, np.float32), BLOCK)[:300]
    assert (decoded == np.frombuffer(codes, np.int8).astype(np.float32) * steps).all()
