"""Intervals for numbers: split conformal prediction on absolute residuals.

ŷ ± q, where q is the conformal quantile of |y − ŷ| on held-out rows (Lei, G'Sell, Rinaldo, Tibshirani, Wasserman,
"Distribution-Free Predictive Inference for Regression", 2018, algorithm 2). An interval is as wide everywhere, and each
output has its own: the coverage is of one output, not of all of a row together.
"""

from __future__ import annotations

import numpy as np

from gossipfl.errors import LocalError
from gossipfl.model.schema import Vector


def scores(outputs: Vector, targets: Vector) -> Vector:
    """|y − ŷ|: how far off each output was, both of shape (n, …).

    Raises:
        LocalError: they are not.
    """
    if outputs.shape != targets.shape:
        raise LocalError(f"targets of shape {targets.shape} for outputs of {outputs.shape}; allowed are equal ones")
    found: Vector = np.abs(targets - outputs)
    return found


def intervals(outputs: Vector, worst: Vector) -> tuple[Vector, Vector]:
    """Lower and upper ends for `outputs`, shape (m, …), by the quantile `worst` of the scores, shape (…)."""
    return outputs - worst, outputs + worst
