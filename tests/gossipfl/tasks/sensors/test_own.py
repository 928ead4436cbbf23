"""The own model and its weight: as the formulas say, and within [0, 1] whatever comes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.tasks.sensors import own
from gossipfl.tasks.sensors.windows import LENGTH, Windows, windows
from tests.gossipfl.tasks.sensors import cities


def made(rows: int = 300, seed: int = 0) -> Windows:
    series = cities.speeds(rows, 1, seed)[:, 0]
    return windows(series, np.full(rows, np.nan, np.float32), 65.0)


def test_the_own_model_is_the_minimum_of_squares_and_penalty() -> None:
    data = made().part(slice(0, 200))
    coefficients = own.fit(data, prior=7.0)

    def cost(c: own.Coefficients) -> float:
        missed = data.y - np.c_[np.ones(len(data)), data.x] @ c
        return float((missed**2).sum() + 7.0 * (c**2).sum())

    rng = np.random.default_rng(0)
    for _ in range(20):
        assert cost(coefficients) < cost(coefficients + 1e-3 * rng.standard_normal(coefficients.shape))


def test_unknown_targets_are_left_out_column_by_column() -> None:
    data = made().part(slice(0, 200))
    data.y[::3, 5] = np.nan
    whole, known = own.fit(data), np.arange(200) % 3 != 0
    assert np.allclose(whole[:, 5], own.fit(data.part(known))[:, 5])
    data.y[::3, 5] = 0
    assert np.allclose(whole[:, 4], own.fit(data)[:, 4])


def test_with_a_strong_prior_it_stays_as_it_is() -> None:
    data = made()
    assert np.abs(own.forecast(own.fit(data, prior=1e9), data.x)).max() < 1e-4


def test_what_is_unseen_was_fitted_on_nothing_that_overlaps() -> None:
    data = made(200)
    before = own.unseen(data)
    fold = np.array_split(np.arange(len(data)), own.FOLDS)[1]
    data.y[fold[0] - LENGTH + 1 : fold[-1] + LENGTH] = 100
    after = own.unseen(data)
    assert np.allclose(before[fold], after[fold])
    assert not np.allclose(before, after, atol=1e-2)


def test_each_step_has_the_best_weight_drawn_towards_a_half_and_at_least_what_is_insured() -> None:
    rng = np.random.default_rng(0)
    n = 3000
    own_ones, shared = rng.standard_normal((2, n, 3)).astype(np.float32)
    best = np.array([0.0, 0.3, 1.0], np.float32)
    y = shared + best * (own_ones - shared)
    expected = own.INSURED + (1 - own.INSURED) * (n * best + own.PRIOR * 0.5) / (n + own.PRIOR)
    assert own.weights(own_ones, shared, y) == pytest.approx(expected, abs=1e-4)
    undecided = own.INSURED + (1 - own.INSURED) * 0.5
    assert own.weights(own_ones, own_ones, y) == pytest.approx([undecided] * 3)
    y[:, 1] = np.nan
    assert own.weights(own_ones, shared, y) == pytest.approx([expected[0], undecided, expected[2]], abs=1e-4)


@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_a_weight_is_never_below_what_is_insured_nor_above_1(n: int, seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    ones, shared, y = (size * rng.standard_cauchy((3, n, 12))).astype(np.float32)
    y[rng.random(y.shape) < 0.3] = np.nan
    found = own.weights(ones, shared, y)
    assert found.shape == (12,)
    assert (found >= np.float32(own.INSURED)).all()
    assert (found <= 1).all()


@pytest.mark.parametrize("rows", [13, 14, 24, 30, 60])
def test_few_windows_do(rows: int) -> None:
    data = made(rows)
    assert len(data) == rows - 12
    assert np.isfinite(own.unseen(data)).all()
    assert np.isfinite(own.fit(data)).all()
