"""What a task's held-out rows say of its predictions, for numbers; and tasks that can't tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from gossipfl.errors import LocalError
from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.tasks.task import Progress
from gossipfl.uncertainty.quantile import ENOUGH
from gossipfl_nodes.serving.batches import Rows
from gossipfl_nodes.serving.calibrating import Calibration

ROWS = np.arange(40, dtype=np.float32).reshape(20, 2)


class Sum:
    """Predicts w · (a + b), and is off by the row's number on each of its held-out rows."""

    schema = Schema([Tensor("w", (1,))])

    def initial(self) -> Vector:
        return np.ones(1, np.float32)

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:
        raise NotImplementedError

    def evaluate(self, vector: Vector) -> dict[str, float]:
        raise NotImplementedError

    def predict(self, vector: Vector, inputs: Rows) -> Rows:
        found: Rows = vector * inputs.sum(axis=1, keepdims=True)
        return found


class Told(Sum):
    def __init__(self, tell: Callable[[], Any]) -> None:
        self.calibration = tell


def off_by_their_number() -> tuple[Rows, Rows]:
    return ROWS, ROWS.sum(axis=1, keepdims=True) + np.arange(20, dtype=np.float32)[:, None]


def test_intervals_are_as_wide_as_the_held_out_rows_say_and_told_anew_for_another_model() -> None:
    calibration, one = Calibration(Told(off_by_their_number)), np.ones(1, np.float32)
    outputs = np.array([[5], [7]], np.float32)
    about = calibration.uncertainty(one, outputs, 0.8)  # ⌈21 · 0.8⌉ = 17th smallest of 0 … 19
    assert (about.coverage, about.rows, about.labels) == (0.8, 20, None)
    assert msgspec.json.decode(msgspec.json.encode(about)) == {
        "coverage": 0.8, "rows": 20, "lower": [[-11.0], [-9.0]], "upper": [[21.0], [23.0]],
    }  # fmt: skip
    calibration.forget()
    other = calibration.uncertainty(0 * one, 0 * outputs, 0.8)  # off by ROWS' sums too
    assert other.upper == [[16 * 4 + 1 + 16.0]] * 2


def test_more_rows_than_are_of_use_are_not_all_taken() -> None:
    many = np.zeros((3 * ENOUGH, 2), np.float32)
    calibration = Calibration(Told(lambda: (many, many[:, :1])))
    assert calibration.uncertainty(np.ones(1, np.float32), np.zeros((1, 1), np.float32), 0.9).rows == ENOUGH


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (Sum(), r"no calibration\(\)"),
        (Told(lambda: 1 / 0), "ZeroDivisionError"),
        (Told(lambda: (ROWS, ROWS)), r"shape \(20, 2\) for outputs of \(20, 1\)"),
        (Told(lambda: (ROWS, np.full(20, 3))), "IndexError"),
        (Told(lambda: (ROWS[:5], ROWS[:5, :1])), "takes 9 held-out rows, and there are 5"),
    ],
)
def test_a_task_that_can_t_tell_says_why(task: Sum, reason: str) -> None:
    with pytest.raises(LocalError, match=reason):
        Calibration(task).uncertainty(np.ones(1, np.float32), np.zeros((1, 1), np.float32), 0.9)
