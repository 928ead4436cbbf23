"""A multilayer perceptron in numpy, trained by plain SGD on the softmax cross-entropy: a task without torch.

With no hidden layer it is softmax regression. Knows arrays; not where they came from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from gossipfl.errors import LocalError
from gossipfl.model.schema import Vector
from gossipfl.tasks import perceptron
from gossipfl.tasks.onnx_graph import classifier
from gossipfl.tasks.perceptron import Layer
from gossipfl.tasks.task import DEFAULT_STEPS, Progress

Inputs = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Data = Inputs | npt.NDArray[np.uint8]
"""Rows as they are kept: float32 as it is, or uint8, a quarter of the memory, for 0 to 255 that stand for 0 to 1."""

CHUNK = 512
"""Rows evaluated at a time: what they need beside the data stays small."""

RARE = 1e-4
"""Added to the prior of each class, so that its logarithm ends somewhere for one that a node never sees."""

COLDEST = 0.01
"""Part of η that is left after the horizon, so that a mesh whose data changes still follows, slowly."""


class MLP:
    """Classify rows of `x`, shape (n, features), into `classes` classes.

    Args:
        x: training inputs, float32 or uint8, shape (n, features); none where the model is not trained.
        y: their labels in [0, classes), shape (n,).
        x_test: held-out inputs, shape (m, features).
        y_test: their labels, shape (m,).
        classes: number of classes; not taken from `y`, which may be skewed.
        hidden: widths of the hidden ReLU layers; () is softmax regression.
        lr: learning rate η.
        batch: rows per step, drawn with replacement.
        steps: local steps per publish that suit this data.
        calibration: λ ≥ 0; the loss is the cross-entropy of logits + λ·log(prior of the class on this node): logit
            adjustment (Menon et al., 2021), which stops a node from unlearning the classes that it never sees.
        horizon: the age, in local steps, at which η has come down to a hundredth, along a cosine, and λ to 0, along a
            line. Ages are the mesh's own clock, so all nodes cool down together. By default both stay as they are.
        seed: of the initial weights, U(±1/√fan_in); equal on all nodes.

    Raises:
        LocalError: arrays that don't fit each other, or labels out of range.
    """

    def __init__(
        self,
        x: Data,
        y: Labels,
        x_test: Data,
        y_test: Labels,
        *,
        classes: int,
        hidden: Sequence[int] = (),
        lr: float = 0.1,
        batch: int = 32,
        steps: int = DEFAULT_STEPS,
        calibration: float = 0.0,
        horizon: float = math.inf,
        seed: int = 0,
    ) -> None:
        for name, inputs, labels in (("train", x, y), ("test", x_test, y_test)):
            if inputs.ndim != 2 or labels.shape != inputs.shape[:1] or (name == "test" and not len(inputs)):
                raise LocalError(f"{name} data: inputs of shape {inputs.shape} and labels of shape {labels.shape}")
            if labels.size and (labels.min() < 0 or labels.max() >= classes):
                raise LocalError(
                    f"{name} data: labels {labels.min()} to {labels.max()}; allowed are 0 to {classes - 1}"
                )
        if x.shape[1] != x_test.shape[1]:
            raise LocalError(f"test data: rows of {x_test.shape[1]} features; training rows have {x.shape[1]}")
        self._x, self._y, self._x_test, self._y_test = x, y, x_test, y_test
        prior = np.bincount(y, minlength=classes) / max(1, len(y))
        self._shift = self._shift_at_first = (calibration * np.log(prior + RARE)).astype(np.float32)
        self._lr, self._lr_at_first, self._horizon = np.float32(lr), lr, horizon
        self._batch, self._seed = batch, seed
        self.steps = steps
        self._widths = (x.shape[1], *hidden, classes)
        self.schema = perceptron.schema(self._widths)

    def initial(self) -> Vector:
        """Weights and biases from U(±1/√fan_in)."""
        return perceptron.initial(self._widths, self._seed)

    def schedule(self, age: float) -> None:
        """Cool down as the model grows older."""
        passed = min(1.0, age / self._horizon)
        share = max(COLDEST, 0.5 * (1 + math.cos(math.pi * passed)))
        self._lr, self._shift = np.float32(share * self._lr_at_first), np.float32(1 - passed) * self._shift_at_first

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:
        """`steps` steps of minibatch SGD, in place."""
        if not len(self._x):
            raise LocalError("train data: there is none; this task only predicts and evaluates")
        layers = list(self._layers(vector))
        total = 0.0
        for _ in range(steps):
            rows = rng.integers(len(self._x), size=self._batch)
            total += self._step(layers, scaled(self._x[rows]), self._y[rows])
        return Progress(steps, steps * self._batch, total / steps)

    def evaluate(self, vector: Vector) -> dict[str, float]:
        """Accuracy and mean cross-entropy on the held-out set."""
        parts = range(0, len(self._x_test), CHUNK)
        probabilities = np.concatenate([self.predict(vector, scaled(self._x_test[at : at + CHUNK])) for at in parts])
        of_label = probabilities[np.arange(len(self._y_test)), self._y_test]
        return {
            "accuracy": float((probabilities.argmax(axis=1) == self._y_test).mean()),
            "loss": float(-np.log(np.maximum(of_label, 1e-12)).mean()),
        }

    def predict(self, vector: Vector, inputs: Inputs) -> Inputs:
        """Class probabilities, shape (n, classes)."""
        return _softmax(perceptron.forward(list(self._layers(vector)), inputs)[-1])

    def calibration(self) -> tuple[Inputs, Labels]:
        """The held-out set."""
        return scaled(self._x_test), self._y_test

    def onnx(self, vector: Vector) -> bytes:
        """The model as an ONNX file."""
        return classifier(self._layers(vector))

    def _step(self, layers: list[Layer], x: Inputs, y: Labels) -> float:
        activations = perceptron.forward(layers, x)
        p = _softmax(activations[-1] + self._shift)
        rows = np.arange(len(y))
        loss = float(-np.log(np.maximum(p[rows, y], 1e-12)).mean())
        p[rows, y] -= 1
        perceptron.descend(layers, activations, p / np.float32(len(y)), self._lr)
        return loss

    def _layers(self, vector: Vector) -> Iterator[Layer]:
        return perceptron.layers(vector, self._widths)


def scaled(inputs: Data) -> Inputs:
    """Rows as the model takes them: float32."""
    if inputs.dtype == np.uint8:
        return np.divide(inputs, 255, dtype=np.float32)
    return inputs.astype(np.float32, copy=False)


def _softmax(logits: Inputs) -> Inputs:
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits
