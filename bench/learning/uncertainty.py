"""How often conformal sets and intervals hold the truth, beside how often they were asked to, and how large they are.

Digits by a model that is trained little and one that is trained much, and a made-up regression of a sine by a straight
line, with noise that is exponential. Held-out rows are halved at random 200 times: one half tells, the other is judged.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gossipfl.tasks.digits import HELD_OUT, _images
from gossipfl.tasks.mlp import MLP
from gossipfl.uncertainty import intervals, label_sets
from gossipfl.uncertainty.quantile import quantile

SPLITS = 200
COVERAGES = (0.8, 0.9, 0.95, 0.99)


def main() -> None:
    for steps in (30, 3000):
        outputs, labels, accuracy = _digits(steps)

        def judge(known: np.ndarray, new: np.ndarray, coverage: float) -> tuple[float, float]:
            scores = label_sets.scores(outputs[known], labels[known])  # noqa: B023 - called in this turn
            sets = label_sets.label_sets(outputs[new], quantile(scores, coverage))  # noqa: B023
            held = [label in found for label, found in zip(labels[new], sets, strict=True)]  # noqa: B023
            return float(np.mean(held)), float(np.mean([len(found) for found in sets]))

        _report(f"digits, {steps} steps, accuracy {accuracy:.3f}", "labels", len(labels), judge)
    x = np.random.default_rng(0).uniform(-3, 3, 1000)
    y = (np.sin(x) + np.random.default_rng(1).exponential(0.3, 1000)).astype(np.float32)[:, None]
    line = (0.3 * x).astype(np.float32)[:, None]

    def width(known: np.ndarray, new: np.ndarray, coverage: float) -> tuple[float, float]:
        lower, upper = intervals.intervals(line[new], quantile(intervals.scores(line[known], y[known]), coverage))
        return float(((lower <= y[new]) & (y[new] <= upper)).mean()), float((upper - lower).mean())

    _report("a sine by a straight line", "wide", len(x), width)


def _digits(steps: int) -> tuple[np.ndarray, np.ndarray, float]:
    x, y = _images()
    task = MLP(x[HELD_OUT:], y[HELD_OUT:], x[:HELD_OUT], y[:HELD_OUT], classes=10, hidden=(32,), lr=0.3)
    vector = task.initial()
    task.train(vector, steps, np.random.default_rng(0))
    inputs, labels = task.calibration()
    return task.predict(vector, inputs), labels, task.evaluate(vector)["accuracy"]


def _report(
    what: str, unit: str, rows: int, judge: Callable[[np.ndarray, np.ndarray, float], tuple[float, float]]
) -> None:
    for coverage in COVERAGES:
        rng, found = np.random.default_rng(2), []
        for _ in range(SPLITS):
            order = rng.permutation(rows)
            found.append(judge(order[: rows // 2], order[rows // 2 :], coverage))
        held, large = np.mean(found, axis=0)
        print(f"{what:36} asked for {coverage:.0%}, held {held:6.1%}, {large:5.2f} {unit}")


if __name__ == "__main__":
    main()
