"""Both kernels give equal bytes, whatever the numbers; and what they give is what the formulas say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.errors import LocalError
from gossipfl.kernels import BLOCK, MAX_COORDINATE, MAX_SCALE, Floats, Kernel, kernel
from gossipfl.kernels import numpy as reference

SIZES = st.one_of(st.integers(1, 3 * BLOCK), st.sampled_from([BLOCK, 2 * BLOCK, 10_007]))
SPREADS = st.sampled_from([0.0, 1e-42, 1e-30, 1e-3, 1.0, 1e9])
SCALES = st.sampled_from([0.0, -0.0, 1e-42, 1e-3, 0.1, 1.0, MAX_SCALE, 1.1 * MAX_SCALE, -1.0, math.nan, math.inf])
WEIGHTS = st.sampled_from([0.0, 1e-9, 0.25, 1 / 3, 0.5])
SEEDS = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def compiled() -> Kernel:
    return kernel("numba")


def noise(rng: np.random.Generator, size: int, spread: float) -> Floats:
    """Of any magnitude, with zeros of both signs."""
    v = (spread * rng.standard_normal(size)).astype(np.float32)
    v[rng.random(size) < 0.1] = rng.choice([0.0, -0.0])
    return v


def steps(size: int) -> int:
    return -(-size // BLOCK)


@given(SIZES, SEEDS, SPREADS, SPREADS, st.lists(SCALES, min_size=1, max_size=3), WEIGHTS, st.sampled_from([0.0, 0.1]))
@settings(max_examples=300, deadline=None)
def test_merges_are_equal_in_every_byte(
    compiled: Kernel,
    size: int,
    seed: int,
    spread: float,
    apart: float,
    scales: list[float],
    weight: float,
    floor: float,
) -> None:
    rng = np.random.default_rng(seed)
    base = noise(rng, size, spread)
    x = base + noise(rng, size, apart)
    base.flags.writeable = False
    step = rng.choice(np.array(scales, np.float32), steps(size))
    codes = rng.integers(-128, 128, size).astype(np.int8)
    one, other = x.copy(), x.copy()
    expected = reference.merge(one, base, step, codes, weight, floor, 10.0)
    assert repr(compiled.merge(other, base, step, codes, weight, floor, 10.0)) == repr(expected)
    assert one.tobytes() == other.tobytes()
    distance, radius, moved = expected
    if distance <= 10 * radius and math.isfinite(distance):
        assert moved == weight * min(1.0, radius / distance if distance else 1.0)
    else:
        assert moved == 0
    if not moved:
        assert one.tobytes() == x.tobytes()


@given(SIZES, SEEDS, SPREADS, SPREADS, st.sampled_from([127, 7, 3, 1]))
@settings(max_examples=200, deadline=None)
def test_encodings_are_equal_in_every_byte(
    compiled: Kernel, size: int, seed: int, spread: float, apart: float, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    base = noise(rng, size, spread)
    x = base + noise(rng, size, apart)
    dither = rng.random(size, dtype=np.float32)
    made = []
    for one in (reference, compiled):
        scales, codes = np.empty(steps(size), np.float32), np.empty(size, np.int8)
        one.encode(x, base, dither, levels, scales, codes)
        made.append((scales.tobytes(), codes.tobytes()))
    assert made[0] == made[1]


@given(SIZES, SEEDS, SPREADS, st.floats(0.1, 1), st.sampled_from([0.0, 0.05, 0.5]))
@settings(max_examples=100, deadline=None)
def test_averages_and_sums_are_equal_in_every_byte(
    compiled: Kernel, size: int, seed: int, spread: float, weight: float, push: float
) -> None:
    rng = np.random.default_rng(seed)
    x, average = noise(rng, size, spread), noise(rng, size, spread)
    one, other, first, second = average.copy(), average.copy(), x.copy(), x.copy()
    reference.follow(one, first, weight, push)
    compiled.follow(other, second, weight, push)
    assert one.tobytes() == other.tobytes()
    assert first.tobytes() == second.tobytes()
    assert push or first.tobytes() == x.tobytes()
    first, second = x.copy(), x.copy()
    fits = bool((np.abs(x + average) <= MAX_COORDINATE).all())
    assert reference.add(first, average) == compiled.add(second, average) == fits
    assert first.tobytes() == second.tobytes() == (x + average if fits else x).tobytes()


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3.4e38, 2e8, -2e9])
def test_a_sum_that_is_no_model_changes_nothing(name: str, bad: float) -> None:
    x = np.full(70_000, 9e8, np.float32)
    delta = np.full(70_000, 1e7, np.float32)
    delta[-1] = bad
    assert not kernel(name).add(x, delta)
    assert (x == np.float32(9e8)).all()
    delta[-1] = 0
    assert kernel(name).add(x, delta)
    assert (x[:-1] == np.float32(9e8) + np.float32(1e7)).all()


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_norms_are_right(name: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(5000).astype(np.float32)
    base = rng.standard_normal(5000).astype(np.float32)
    scales, codes = np.full(20, 0.01, np.float32), rng.integers(-127, 128, 5000).astype(np.int8)
    other = base + codes * np.float32(0.01)
    before = x.copy()
    distance, radius, weight = kernel(name).merge(x, base, scales, codes, 0.5, 2.0, 10.0)
    assert distance == pytest.approx(np.linalg.norm((other - before).astype(np.float64)), rel=1e-5)
    assert radius == pytest.approx(np.linalg.norm(before.astype(np.float64)) + 2.0, rel=1e-5)
    assert np.allclose(x, before + weight * (other - before), atol=1e-5)


@pytest.mark.parametrize(("name", "reason"), [("cuda", "allowed is numpy or numba"), ("", "allowed is")])
def test_a_kernel_must_be_known(name: str, reason: str) -> None:
    with pytest.raises(LocalError, match=reason):
        kernel(name)


def test_a_kernel_that_is_not_installed_is_named(monkeypatch: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "gossipfl.kernels.numba", None)
    with pytest.raises(LocalError, match="extra `sim`"):
        kernel("numba")
