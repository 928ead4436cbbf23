"""What a task predicts from rows, a batch at a time; and what it can't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gossipfl.errors import LocalError
from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.tasks.task import Progress
from gossipfl_nodes.serving.batches import MAX_VALUES, ROWS, Rows, predicted


class Saying:
    """A task that predicts what `say` makes of the vector and the rows."""

    schema = Schema([Tensor("w", (4,))])

    def __init__(self, say: Callable[[Vector, Rows], Any]) -> None:
        self.predict = say

    def initial(self) -> Vector:
        return np.zeros(4, np.float32)

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:
        raise NotImplementedError

    def evaluate(self, vector: Vector) -> dict[str, float]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("say", "reason"),
    [
        (lambda _, rows: rows[0] / "a", "TypeError"),
        (lambda _, rows: rows[:0], "a row for each"),
        (lambda _, __: 3.0, "a row for each"),
        (lambda _, __: "words", "could not convert"),
        (lambda _, rows: np.zeros((len(rows), MAX_VALUES)), f"at most {MAX_VALUES}"),
    ],
)
def test_a_task_that_can_t_predict_is_a_local_error_that_says_why(say: Callable[..., Any], reason: str) -> None:
    with pytest.raises(LocalError, match=reason):
        predicted(Saying(say), np.zeros(4, np.float32), np.ones((3, 2), np.float32))


def test_all_rows_are_predicted_a_batch_at_a_time() -> None:
    task = Saying(lambda vector, rows: np.full(len(rows), len(rows)) + vector[0])
    found = predicted(task, np.full(4, 0.5, np.float32), np.zeros((2 * ROWS + 7, 3), np.float32))
    assert found.tolist() == [ROWS + 0.5] * 2 * ROWS + [7.5] * 7
