"""Sets of labels for classes: split conformal prediction on the probability of the true label.

All labels with a probability of at least 1 − q, where q is the conformal quantile of 1 − p(y) on held-out rows
(Sadinle, Lei, Wasserman, "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels", 2019: the smallest sets on
average, if the probabilities are right). Outputs that are no probabilities, as logits, give sets that hold as much, but
larger ones. The likeliest label is always in its set, which costs no coverage and leaves none empty.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gossipfl.model.schema import Vector


def scores(outputs: Vector, targets: npt.NDArray[np.integer]) -> Vector:
    """1 − p(y), shape (n,), for `outputs` of shape (n, classes) and the true labels, shape (n,)."""
    found: Vector = 1 - outputs[np.arange(len(targets)), targets]
    return found


def label_sets(outputs: Vector, worst: Vector) -> list[list[int]]:
    """The labels for each row of `outputs`, likeliest first, by the quantile `worst` of the scores."""
    inside = 1 - outputs <= worst
    inside[np.arange(len(outputs)), outputs.argmax(axis=1)] = True
    order = np.argsort(-outputs, axis=1, kind="stable")
    return [[int(label) for label in labels if inside[row, label]] for row, labels in enumerate(order)]
