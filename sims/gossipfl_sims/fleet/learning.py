"""What a fleet learns: softmax regression or an MLP with one hidden layer, every node on rows of its own.

Owns the data, its shares, the compiled gradient steps and the scores of models. The vectors are laid out as in
`gossipfl.tasks.mlp`, whose initial weights and predictions are used. A step is on all rows of a node, with no
randomness. Rows stand side by side in memory (the last axis), so that one instruction works on several of them without
reassociating a sum. Knows neither messages nor time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct

from gossipfl.errors import LocalError
from gossipfl.model.schema import Vector
from gossipfl.tasks.mlp import MLP, Inputs, Labels
from gossipfl_sims.fleet.kernels import Indices, Vectors, compiled

MEASURED = 100
"""Nodes whose models are scored: enough for a mean to within a few percent of its spread, at any size of fleet."""
LANES = 8
"""Rows of a node are padded to a multiple of this, a vector register's float32, so that no loop has a scalar rest."""


class Scores(Struct, frozen=True):
    """Of some nodes' models on the held-out rows."""

    accuracy_mean: float
    accuracy_worst: float
    disagreement: float
    """Probability that two of these nodes predict different classes for a held-out row."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shards:
    """The data of all nodes, and the model that they learn.

    Attributes:
        inputs: of all rows, float32, shape (rows, features).
        labels: in [0, classes), shape (rows,).
        shares: which rows each node has, int32, shape (nodes, m); a row may belong to several nodes.
        test_inputs: held out, shape (t, features).
        test_labels: shape (t,).
        classes: number of classes.
        hidden: width of the hidden ReLU layer; 0 is softmax regression.
        lr: learning rate η.
        seed: of the initial weights, equal on all nodes.

    Raises:
        LocalError: arrays that don't fit each other.
    """

    inputs: Inputs
    labels: Labels
    shares: Indices
    test_inputs: Inputs
    test_labels: Labels
    classes: int
    hidden: int = 0
    lr: float = 0.1
    seed: int = 0
    _model: MLP = field(init=False, repr=False)

    def __post_init__(self) -> None:
        model = MLP(
            self.inputs, self.labels, self.test_inputs, self.test_labels, classes=self.classes,
            hidden=(self.hidden,) if self.hidden else (), lr=self.lr, seed=self.seed,
        )  # fmt: skip
        object.__setattr__(self, "_model", model)
        if self.shares.ndim != 2 or not self.shares.size:
            raise LocalError(f"fleet: shares of shape {self.shares.shape}; allowed is (nodes, rows of each), both ≥ 1")
        if self.shares.min() < 0 or self.shares.max() >= len(self.inputs):
            raise LocalError(f"fleet: shares name rows that are not there; allowed are 0 to {len(self.inputs) - 1}")

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.shares)

    @cached_property
    def floats(self) -> int:
        """d, the length of the model's vector."""
        return self._model.schema.size

    def initial(self) -> Vector:
        """The model to begin with, shape (d,)."""
        return self._model.initial()

    def train(self, x: Vectors, nodes: Indices, steps: int) -> None:
        """`steps` steps of gradient descent for each of `nodes`, in place: the first d floats of their rows of `x`."""
        data = self.inputs, self.labels, self.shares
        _train(x, nodes, data, self.classes, self.hidden, np.float32(self.lr), steps)

    def scores(self, models: Vectors) -> Scores:
        """Of `models`, shape (s, d)."""
        predicted = np.stack([self._model.predict(model, self.test_inputs).argmax(axis=1) for model in models])
        accuracies = (predicted == self.test_labels).mean(axis=1)
        s = len(models)
        votes = np.stack([(predicted == label).sum(axis=0) for label in range(self.classes)])
        alike = (votes * (votes - 1)).sum(axis=0) / max(1, s * (s - 1)) if s > 1 else np.ones(1)
        return Scores(float(accuracies.mean()), float(accuracies.min()), float(1 - alike.mean()))


@compiled
def _train(x: Vectors, nodes: Indices, data: Any, classes: int, hidden: int, lr: Any, steps: int) -> None:
    inputs, labels, shares = data
    features, m = inputs.shape[1], shares.shape[1]
    width = (m + LANES - 1) // LANES * LANES
    rows, columns = np.zeros((width, features), np.float32), np.zeros((features, width), np.float32)
    truth = np.zeros(m, np.int64)
    first = hidden or classes
    w1, b1 = np.empty((first, features), np.float32), np.empty(first, np.float32)
    w2, b2 = np.empty((classes, hidden), np.float32), np.empty(classes, np.float32)
    a1, a2 = np.empty((first, width), np.float32), np.empty((classes, width), np.float32)
    g1, h = np.empty((hidden, width), np.float32), np.empty((width, hidden), np.float32)
    scale = lr / np.float32(m)
    for node in nodes:
        for s in range(m):
            row = shares[node, s]
            truth[s] = labels[row]
            for i in range(features):
                rows[s, i] = inputs[row, i]
                columns[i, s] = inputs[row, i]
        _unpack(x[node], 0, w1, b1)
        if hidden:
            _unpack(x[node], w1.size + first, w2, b2)
        for _ in range(steps):
            _affine(w1, b1, columns, a1)
            if hidden:
                for j in range(hidden):
                    for s in range(width):
                        a1[j, s] = max(a1[j, s], np.float32(0))
                        h[s, j] = a1[j, s]
                _affine(w2, b2, a1, a2)
                _gradient(a2, truth, scale)
                _back(w2, a2, a1, g1)
                _descend(w2, b2, a2, h)
                _descend(w1, b1, g1, rows)
            else:
                _gradient(a1, truth, scale)
                _descend(w1, b1, a1, rows)
        _pack(x[node], 0, w1, b1)
        if hidden:
            _pack(x[node], w1.size + first, w2, b2)


@compiled
def _unpack(vector: Vector, start: int, w: Vectors, b: Vector) -> None:
    fan_out, fan_in = w.shape
    for i in range(fan_in):
        for c in range(fan_out):
            w[c, i] = vector[start + i * fan_out + c]
    for c in range(fan_out):
        b[c] = vector[start + fan_in * fan_out + c]


@compiled
def _pack(vector: Vector, start: int, w: Vectors, b: Vector) -> None:
    fan_out, fan_in = w.shape
    for i in range(fan_in):
        for c in range(fan_out):
            vector[start + i * fan_out + c] = w[c, i]
    for c in range(fan_out):
        vector[start + fan_in * fan_out + c] = b[c]


@compiled
def _affine(w: Vectors, b: Vector, columns: Vectors, out: Vectors) -> None:
    """out[c, s] = b[c] + Σᵢ w[c, i] · columns[i, s]."""
    for c in range(w.shape[0]):
        out[c, :] = b[c]
        for i in range(w.shape[1]):
            factor = w[c, i]
            for s in range(columns.shape[1]):
                out[c, s] += factor * columns[i, s]


@compiled
def _gradient(out: Vectors, truth: Any, scale: Any) -> None:
    """Logits to scale · (softmax − one-hot); 0 where there is no row."""
    classes, width = out.shape
    for s in range(truth.size):
        top = out[0, s]
        for c in range(1, classes):
            top = max(top, out[c, s])
        total = np.float32(0)
        for c in range(classes):
            out[c, s] = np.exp(out[c, s] - top)
            total += out[c, s]
        factor = scale / total
        for c in range(classes):
            out[c, s] *= factor
        out[truth[s], s] -= scale
    out[:, truth.size : width] = 0


@compiled
def _back(w: Vectors, above: Vectors, activation: Vectors, out: Vectors) -> None:
    """out[j, s] = Σ_c w[c, j] · above[c, s] where the ReLU is open, else 0."""
    for j in range(w.shape[1]):
        out[j, :] = 0
        for c in range(w.shape[0]):
            factor = w[c, j]
            for s in range(above.shape[1]):
                out[j, s] += factor * above[c, s]
        for s in range(above.shape[1]):
            if activation[j, s] <= 0:
                out[j, s] = 0


@compiled
def _descend(w: Vectors, b: Vector, gradient: Vectors, rows: Vectors) -> None:
    """w[c, i] −= Σₛ gradient[c, s] · rows[s, i], and the bias by Σₛ gradient[c, s]."""
    for c in range(w.shape[0]):
        for s in range(rows.shape[0]):
            factor = gradient[c, s]
            b[c] -= factor
            for i in range(w.shape[1]):
                w[c, i] -= factor * rows[s, i]
