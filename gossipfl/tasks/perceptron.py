"""The layers of a multilayer perceptron as views into the flat vector, forward and backward, in numpy.

Knows arithmetic; no loss, no data, no task.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gossipfl.model.schema import Schema, Tensor, Vector

Matrix: TypeAlias = npt.NDArray[np.float32]
Layer: TypeAlias = tuple[Matrix, Matrix]
"""Weight (fan_in, fan_out) and bias (fan_out,)."""


def schema(widths: Sequence[int]) -> Schema:
    """Of a perceptron with these widths, inputs first and outputs last."""
    return Schema(
        tensor
        for layer, (fan_in, fan_out) in enumerate(pairwise(widths))
        for tensor in (Tensor(f"{layer}.weight", (fan_in, fan_out)), Tensor(f"{layer}.bias", (fan_out,)))
    )


def initial(widths: Sequence[int], seed: int) -> Vector:
    """Weights and biases from U(±1/√fan_in)."""
    rng = np.random.default_rng(seed)
    vector = np.empty(sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(widths)), dtype=np.float32)
    for weight, bias in layers(vector, widths):
        bound = weight.shape[0] ** -0.5
        weight[:] = rng.uniform(-bound, bound, weight.shape)
        bias[:] = rng.uniform(-bound, bound, bias.shape)
    return vector


def layers(vector: Vector, widths: Sequence[int]) -> Iterator[Layer]:
    """Views of `vector`: weight (fan_in, fan_out) and bias (fan_out,) of each layer."""
    start = 0
    for fan_in, fan_out in pairwise(widths):
        split, end = start + fan_in * fan_out, start + (fan_in + 1) * fan_out
        yield vector[start:split].reshape(fan_in, fan_out), vector[split:end]
        start = end


def forward(stack: Sequence[Layer], x: Matrix) -> list[Matrix]:
    """`x`, shape (n, inputs), what each hidden ReLU layer makes of it, and last the outputs, shape (n, outputs)."""
    found = [x]
    for weight, bias in stack[:-1]:
        found.append(np.maximum(found[-1] @ weight + bias, 0))
    weight, bias = stack[-1]
    return [*found, found[-1] @ weight + bias]


def descend(stack: Sequence[Layer], activations: Sequence[Matrix], gradient: Matrix, lr: np.float32) -> None:
    """One step of gradient descent, in place.

    Args:
        stack: the layers.
        activations: as `forward` gives them.
        gradient: of the loss by the outputs, shape (n, outputs).
        lr: learning rate η.
    """
    x = activations[0]
    for (weight, bias), a in zip(reversed(stack), reversed(activations[:-1]), strict=True):
        below = gradient @ weight.T if a is not x else None
        np.subtract(weight, lr * (a.T @ gradient), out=weight)
        np.subtract(bias, lr * gradient.sum(axis=0), out=bias)
        if below is not None:
            gradient = below * (a > 0)
