"""Quantisers: unbiased where they say so, off by what they say, and deaf to payloads that lie."""

import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gossipfl.codec.quantisers import BY_NUMBER, QUANTISERS, Quantiser, check, quantiser, values
from gossipfl.codec.quantisers.bits import pack_bits, packed_size, unpack_bits
from gossipfl.codec.quantisers.qsgd import DITHER_BITS, QSGD, dither
from gossipfl.errors import LocalError, RemoteError
from gossipfl.kernels import BLOCK, MAX_SCALE
from gossipfl.kernels import numpy as reference
from gossipfl.model.schema import Vector
from tests.gossipfl.builders import full_of, noise

STOCHASTIC = [one for one in QUANTISERS.values() if isinstance(one, QSGD)]
FLOATS = [quantiser(name) for name in ("float32", "float16", "bfloat16")]
every = pytest.mark.parametrize("by", QUANTISERS.values(), ids=QUANTISERS)
stochastic = pytest.mark.parametrize("by", STOCHASTIC, ids=lambda one: one.name)


def encode(by: Quantiser, v: Vector, seed: int | random.Random = 0) -> bytes:
    rng = seed if isinstance(seed, random.Random) else random.Random(seed)
    return bytes(by.encode(v, np.zeros_like(v), rng, reference))


def there_and_back(by: Quantiser, v: Vector, seed: int | random.Random = 0) -> tuple[Vector, Vector]:
    """The decoded vector, and the scale of each coordinate."""
    scales, codes = by.decode(encode(by, v, seed), v.size)
    check(scales)
    return values(scales, codes), np.repeat(scales, BLOCK)[: v.size]


@every
@given(size=st.integers(0, 1000), seed=st.integers(0, 2**32))
@example(size=BLOCK, seed=0)
@example(size=BLOCK + 1, seed=0)
@example(size=(1 << DITHER_BITS) + 1, seed=0)
def test_the_length_is_known_before(by: Quantiser, size: int, seed: int) -> None:
    raw = encode(by, noise(size, seed), seed)
    assert len(raw) == by.size(size)
    decoded, _ = there_and_back(by, noise(size, seed), seed)
    assert decoded.shape == (size,)
    assert decoded.dtype == np.float32


@every
def test_bits_are_what_a_long_vector_takes(by: Quantiser) -> None:
    assert 8 * by.size(1 << 20) / (1 << 20) == pytest.approx(by.bits, rel=0.001)


@stochastic
@given(size=st.integers(1, 1000), seed=st.integers(0, 2**32), scale=st.floats(1e-6, 1e6))
def test_no_coordinate_is_off_by_a_whole_step(by: QSGD, size: int, seed: int, scale: float) -> None:
    v = noise(size, seed, scale)
    decoded, steps = there_and_back(by, v, seed)
    assert (np.abs(decoded.astype(np.float64) - v) <= steps * (1 + 1e-5)).all()
    assert np.abs(decoded).max() <= np.abs(v).max() * (1 + 1e-6)


@stochastic
def test_rounding_is_unbiased(by: QSGD) -> None:
    v, draws = noise(600, 1), 4000
    rng, total = random.Random(2), np.zeros(600)
    for _ in range(draws):
        decoded, steps = there_and_back(by, v, rng)
        total += decoded
    # One draw's standard deviation is at most half a step; 5 of them for the mean of 600 coordinates, 1 in 3,000 runs.
    assert (np.abs(total / draws - v) < 5 * 0.5 * steps / np.sqrt(draws)).all()


@given(st.integers(1, 2000), st.integers(0, 2**32), st.sampled_from([0.0, 1.0, 5.0]))
def test_signs_contract(size: int, seed: int, mean: float) -> None:
    """‖Q(v) − v‖² ≤ (1 − ‖v_b‖₁² / (n_b‖v_b‖₂²)) ‖v_b‖² for every block b, with equality."""
    v = noise(size, seed) + np.float32(mean)
    decoded, _ = there_and_back(quantiser("sign"), v)
    for start in range(0, size, BLOCK):
        block, error = (
            v[start : start + BLOCK].astype(np.float64),
            decoded[start : start + BLOCK] - v[start : start + BLOCK],
        )
        bound = (block**2).sum() - np.abs(block).sum() ** 2 / block.size
        assert (error.astype(np.float64) ** 2).sum() <= bound * (1 + 1e-4) + 1e-5


@pytest.mark.parametrize(("name", "precision"), [("float32", 0.0), ("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
@given(seed=st.integers(0, 2**32), scale=st.floats(1e-3, 1e3))
def test_floats_are_rounded_to_the_nearest(name: str, precision: float, seed: int, scale: float) -> None:
    v = noise(500, seed, scale)
    decoded, _ = there_and_back(quantiser(name), v)
    assert (np.abs(decoded - v) <= precision * np.abs(v) * (1 + 1e-6) + 1e-7).all()


def test_what_is_too_large_for_half_precision_is_cut_off() -> None:
    decoded, _ = there_and_back(quantiser("float16"), np.array([1e6, -1e9, 65504, 65519], np.float32))
    assert list(decoded) == [65504, -65504, 65504, 65504]


@every
@pytest.mark.parametrize("size", [1, 255, 256, 257, 1000])
def test_zero_stays_exactly_zero(by: Quantiser, size: int) -> None:
    decoded, _ = there_and_back(by, np.zeros(size, np.float32))
    assert not decoded.any()


@stochastic
def test_a_zero_among_others_stays_exactly_zero(by: QSGD) -> None:
    v = noise(1000)
    v[::3] = 0
    assert all(not there_and_back(by, v, seed)[0][::3].any() for seed in range(20))


def test_the_dither_is_uniform_and_in_no_order() -> None:
    size = 1 << DITHER_BITS
    table = dither().astype(np.float64)
    assert (np.sort(table[:size]) == (np.arange(size) + 0.5) / size).all()
    assert (table[:size] == table[size:]).all()
    centred = table - 0.5
    lags = [1, 2, 3, BLOCK, 650, 12_345]
    correlations = [float(np.mean(centred[:size] * centred[lag : size + lag])) * 12 for lag in lags]
    assert max(map(abs, correlations)) < 5 / np.sqrt(size)


@stochastic
def test_coordinates_beyond_the_dither_are_rounded_on_their_own(by: QSGD) -> None:
    size = 1 << DITHER_BITS
    v = np.full(size + 3 * BLOCK + 5, 0.3, np.float32)
    v[::BLOCK] = 1.0  # the largest of each block
    decoded, steps = there_and_back(by, v)
    assert (decoded[:700] != decoded[size : size + 700]).any()
    assert (np.abs(decoded - v) <= steps * (1 + 1e-5)).all()


@every
def test_each_block_has_its_own_scale(by: Quantiser) -> None:
    v = np.concatenate([full_of(1e-4, BLOCK), full_of(100.0, BLOCK)])
    decoded, _ = there_and_back(by, v)
    assert np.allclose(decoded, v, rtol=1.0 / 127)


@every
def test_the_same_randomness_gives_the_same_bytes(by: Quantiser) -> None:
    assert encode(by, noise(500), 3) == encode(by, noise(500), 3)


@every
@pytest.mark.parametrize("magnitude", [1e-45, 1e-40, 1e-38, 1e-30, 6e4])
def test_extreme_magnitudes_decode_to_something_near(by: Quantiser, magnitude: float) -> None:
    decoded, _ = there_and_back(by, full_of(magnitude, 10))
    assert np.abs(decoded - np.float32(magnitude)).max() <= max(magnitude / 64, 6e-8)


@every
def test_encode_leaves_its_input_alone(by: Quantiser) -> None:
    v = noise(100)
    v.flags.writeable = False
    encode(by, v)


@every
@pytest.mark.parametrize("n", [1, 8, 255, 257])
def test_a_wrong_length_is_refused(by: Quantiser, n: int) -> None:
    raw = encode(by, noise(n))
    for wrong in (b"", raw[:-1], raw + b"\0", raw * 2):
        with pytest.raises(RemoteError, match=f"{by.name} payload"):
            by.decode(wrong, n)


@every
@given(data=st.data(), n=st.integers(1, 600))
def test_any_bytes_of_the_right_length_are_finite_numbers_or_refused(
    by: Quantiser, data: st.DataObject, n: int
) -> None:
    raw = data.draw(st.binary(min_size=by.size(n), max_size=by.size(n)))
    try:
        scales, codes = by.decode(raw, n)
        check(scales)
    except RemoteError:
        return
    assert np.isfinite(values(scales, codes)).all()
    assert codes.shape == (n,)


@pytest.mark.parametrize("scale", [np.nan, np.inf, -np.inf, -1.0, -1e-40, 1.1 * MAX_SCALE, 3e38])
def test_a_bad_scale_is_refused(scale: float) -> None:
    with pytest.raises(RemoteError, match="scale outside"):
        check(np.array([1.0, scale], np.float32))


@pytest.mark.parametrize(("name", "byte"), [("int4", 0xFF), ("int3", 0xFF), ("int2", 0xFF)])
def test_a_code_over_the_last_level_is_refused(name: str, byte: int) -> None:
    by = quantiser(name)
    raw = bytearray(encode(by, full_of(1.0, 8)))
    raw[4] = byte
    with pytest.raises(RemoteError, match="has a code"):
        by.decode(bytes(raw), 8)


@pytest.mark.parametrize("name", ["int4", "int3", "int2", "sign"])
def test_nothing_may_hide_behind_the_last_coordinate(name: str) -> None:
    by = quantiser(name)
    raw = bytearray(encode(by, full_of(1.0, 1)))
    raw[-1] |= 0x80
    with pytest.raises(RemoteError, match="after its last"):
        by.decode(bytes(raw), 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.1e9])
def test_floats_that_are_no_weights_are_refused(value: float) -> None:
    with pytest.raises(RemoteError, match="not within"):
        quantiser("float32").decode(np.array([1, value], "<f4").tobytes(), 2)


@every
@pytest.mark.parametrize("place", range(1, 5))
def test_a_payload_is_read_wherever_it_lies(by: Quantiser, place: int) -> None:
    raw = encode(by, noise(700), 0)
    within = memoryview(bytes(place) + raw)[place:]
    for one, other in zip(by.decode(within, 700), by.decode(raw, 700), strict=True):
        assert one.flags.aligned
        assert one.tobytes() == other.tobytes()


@given(st.integers(1, 4), st.integers(0, 300), st.integers(0, 2**32))
@example(3, (1 << 18) + 9, 0)
def test_packed_bits_come_back(width: int, n: int, seed: int) -> None:
    numbers = np.random.default_rng(seed).integers(0, 1 << width, n).astype(np.uint8)
    packed = np.empty(packed_size(n, width), np.uint8)
    pack_bits(numbers, width, packed)
    assert len(packed) == packed_size(n, width)
    assert (unpack_bits(packed.data, n, width) == numbers).all()


@every
def test_decoding_takes_no_more_memory_than_a_few_vectors(by: Quantiser) -> None:
    n = 1 << 20
    raw = encode(by, noise(n))
    tracemalloc.start()
    try:
        by.decode(raw, n)
        assert tracemalloc.get_traced_memory()[1] < 3.2 * 4 * n
    finally:
        tracemalloc.stop()


def test_numbers_on_the_wire_are_for_ever() -> None:
    assert {number: one.name for number, one in BY_NUMBER.items()} == {
        1: "int8", 2: "int4", 3: "int3", 4: "int2", 5: "sign", 6: "float32", 7: "float16", 8: "bfloat16",
    }  # fmt: skip


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(LocalError, match="quantiser 'int9': allowed is one of int8, "):
        quantiser("int9")
