"""Coverage is what was asked for: on digits, on a made-up regression whose noise is not normal, and in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.errors import LocalError
from gossipfl.tasks.digits import HELD_OUT, _images
from gossipfl.tasks.mlp import MLP
from gossipfl.uncertainty import intervals, label_sets
from gossipfl.uncertainty.quantile import quantile

SPLITS = 200
COVERAGES = (0.8, 0.9, 0.95)


def within(covered: list[float], coverage: float, calibrated: int) -> None:
    """The mean over random splits is at least what was asked for and at most 1/(n + 1) more, but for chance."""
    mean, error = np.mean(covered), np.std(covered) / np.sqrt(len(covered))
    assert coverage - 4 * error <= mean <= coverage + 1 / (calibrated + 1) + 4 * error


@pytest.mark.parametrize("coverage", COVERAGES)
def test_sets_of_digits_hold_the_true_label_as_often_as_was_asked_for(coverage: float) -> None:
    """A model that is not good yet: after 30 steps it is right for four of five."""
    x, y = _images()
    task = MLP(x[HELD_OUT:], y[HELD_OUT:], x[:HELD_OUT], y[:HELD_OUT], classes=10, hidden=(32,), lr=0.3)
    vector = task.initial()
    task.train(vector, 30, np.random.default_rng(0))
    held_out, labels = task.calibration()
    outputs = task.predict(vector, held_out)
    scores = label_sets.scores(outputs, labels)
    covered, rng = [], np.random.default_rng(1)
    for _ in range(SPLITS):
        order = rng.permutation(len(labels))
        known, new = order[: len(order) // 2], order[len(order) // 2 :]
        sets = label_sets.label_sets(outputs[new], quantile(scores[known], coverage))
        assert all(labels_[0] == row.argmax() for labels_, row in zip(sets, outputs[new], strict=True))
        covered.append(np.mean([label in labels_ for label, labels_ in zip(labels[new], sets, strict=True)]))
    mean, error = np.mean(covered), np.std(covered) / np.sqrt(SPLITS)
    assert mean >= coverage - 4 * error
    assert mean <= max(coverage, (outputs.argmax(axis=1) == labels).mean()) + 1 / (len(labels) // 2 + 1) + 4 * error


@pytest.mark.parametrize("coverage", COVERAGES)
def test_intervals_hold_the_truth_whatever_the_noise_and_however_wrong_the_model(coverage: float) -> None:
    """Two outputs; the model is a straight line through a sine, the noise of one output has no mean."""
    rng, n = np.random.default_rng(2), 400
    covered: list[list[float]] = [[], []]
    for _ in range(SPLITS):
        x = rng.uniform(-3, 3, 2 * n)
        noise = (rng.exponential(0.3, 2 * n), rng.standard_cauchy(2 * n))
        y = np.stack([np.sin(x) + noise[0], x + noise[1]], axis=1).astype(np.float32)
        outputs = np.stack([0.3 * x, 0.5 * x], axis=1).astype(np.float32)
        worst = quantile(intervals.scores(outputs[:n], y[:n]), coverage)
        lower, upper = intervals.intervals(outputs[n:], worst)
        for output, inside in enumerate(((lower <= y[n:]) & (y[n:] <= upper)).mean(axis=0)):
            covered[output].append(inside)
    for shares in covered:
        within(shares, coverage, n)


@pytest.mark.parametrize(
    ("n", "coverage", "expected"),
    [(9, 0.9, 9), (10, 0.9, 10), (19, 0.9, 18), (99, 0.95, 95), (999, 0.9, 900), (4, 0.5, 3), (1, 0.5, 1)],
)
def test_the_rank_is_that_of_the_theorem(n: int, coverage: float, expected: int) -> None:
    scores = np.random.default_rng(0).permutation(n).astype(np.float32) + 1
    assert quantile(scores, coverage) == expected


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_too_few_rows_are_refused_and_as_many_as_it_says_do(n: int, coverage: float) -> None:
    scores = np.arange(n, dtype=np.float32)
    try:
        quantile(scores, coverage)
    except LocalError as error:
        least = int(str(error).split(" takes ")[1].split()[0])
        assert n < least
        assert quantile(np.arange(least, dtype=np.float32), coverage) == least - 1
    else:
        assert (n + 1) * coverage <= n + 1e-6
