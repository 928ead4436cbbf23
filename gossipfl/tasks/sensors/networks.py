"""The shared model, in numpy: a residual MLP from a window's features to the changes of the next hour."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from gossipfl.model.schema import Schema, Vector
from gossipfl.tasks import perceptron
from gossipfl.tasks.sensors.feed import Feed
from gossipfl.tasks.sensors.windows import FEATURES, STEPS_OUT, Array
from gossipfl.tasks.task import Progress

WIDTHS = (FEATURES, 32, STEPS_OUT)
LEARNING_RATE = 1.0
"""Large, as inputs and targets are small; changes scaled to 1 would be stops from free flow."""
BATCH = 64
LONGEST = 0.1
"""Norm of one step; a longer one is cut to it (Pascanu, Mikolov, Bengio 2013). In Los Angeles four of a thousand steps
are longer, most of them on four of 207 streets: stop and go curves the loss five times as much as the median street
does, and would throw the model away."""


class Network(Protocol):
    """A model of scaled changes, trained on a feed."""

    schema: Schema

    def initial(self) -> Vector:
        """See Task."""
        ...

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:
        """See Task."""
        ...

    def predict(self, vector: Vector, inputs: Array) -> Array:
        """Scaled changes, shape (n, STEPS_OUT), for features of shape (n, FEATURES)."""
        ...


class Residual:
    """An MLP 14-32-12 by SGD on the squared error. It begins with "as it is": its last layer is 0."""

    def __init__(self, feed: Feed, seed: int) -> None:
        self._feed, self._seed = feed, seed
        self.schema = perceptron.schema(WIDTHS)

    def initial(self) -> Vector:
        """Equal on all nodes of one seed, shape (schema.size,)."""
        vector = perceptron.initial(WIDTHS, self._seed)
        *_, (weight, bias) = perceptron.layers(vector, WIDTHS)
        weight[:], bias[:] = 0, 0
        return vector

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:
        """`steps` steps of minibatch SGD, in place; what is not known costs nothing."""
        stack, data = list(perceptron.layers(vector, WIDTHS)), self._feed.train
        total = 0.0
        for _ in range(steps):
            rows = rng.integers(len(data), size=BATCH)
            activations = perceptron.forward(stack, data.x[rows])
            error = activations[-1] - data.y[rows]
            error[np.isnan(error)] = 0
            total += float(np.mean(error**2))
            before = vector.copy()
            perceptron.descend(stack, activations, error * np.float32(2 / error.size), np.float32(LEARNING_RATE))
            step = vector - before
            if (length := float(np.linalg.norm(step))) > LONGEST:
                np.add(before, np.float32(LONGEST / length) * step, out=vector)
        return Progress(steps, steps * BATCH, total / steps)

    def predict(self, vector: Vector, inputs: Array) -> Array:
        """See Network."""
        return perceptron.forward(list(perceptron.layers(vector, WIDTHS)), inputs)[-1]
