"""How far off the served model may be, told by how far off it is on rows that nobody trained on.

Told anew for each model, once somebody asks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gossipfl.errors import LocalError
from gossipfl.model.schema import Vector
from gossipfl.tasks.task import Calibrated, Task
from gossipfl.uncertainty import intervals, label_sets
from gossipfl.uncertainty.quantile import ENOUGH, quantile
from gossipfl_nodes.control.answers import Uncertainty
from gossipfl_nodes.serving.batches import Rows, predicted


class Calibration:
    """Of the predictions of `task`."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._rows: tuple[Rows, npt.NDArray[Any]] | None = None
        self._scores: Vector | None = None

    def forget(self) -> None:
        """There is another model."""
        self._scores = None

    def uncertainty(self, vector: Vector, outputs: Rows, coverage: float) -> Uncertainty:
        """What holds the truth about `outputs` of the model `vector` with a probability of `coverage`.

        Raises:
            LocalError: the task can't tell, or not with so few rows.
        """
        if not isinstance(self._task, Calibrated):
            raise LocalError(f"coverage: task {type(self._task).__name__} can't tell, as it has no calibration()")
        try:
            inputs, targets = self._rows = self._rows or _some(*self._task.calibration())
            of_classes = targets.ndim == 1 and targets.dtype.kind in "iu" and outputs.ndim == 2
            how = label_sets.scores if of_classes else intervals.scores
            if self._scores is None:
                self._scores = how(predicted(self._task, vector, inputs), targets)
        except LocalError:
            raise
        except Exception as error:
            raise LocalError(f"the task's calibration() fails: {type(error).__name__}: {error}") from error
        worst, rows = quantile(self._scores, coverage), len(self._scores)
        if of_classes:
            return Uncertainty(coverage, rows, labels=label_sets.label_sets(outputs, worst))
        lower, upper = (ends.tolist() for ends in intervals.intervals(outputs, worst))
        return Uncertainty(coverage, rows, lower=lower, upper=upper)


def _some(inputs: Rows, targets: npt.NDArray[Any]) -> tuple[Rows, npt.NDArray[Any]]:
    """ENOUGH rows at the most, taken at random."""
    some = np.random.default_rng(0).permutation(len(inputs))[:ENOUGH]
    return inputs[some].astype(np.float32, copy=False), targets[some]
