"""What a user writes: a task, and the factory that makes one for a node.

    def factory(node: Node) -> Task: ...

A task owns the data and the learning; it never sees peers, messages or time. The vector that it is given is one flat
float32 array laid out by its schema. `train` changes that array in place; the caller owns it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from gossipfl.model.schema import Schema, Vector


class Node(Struct, frozen=True):
    """Which node a task is made for.

    `index` of `count` tells shards of a shared data set apart; a real device has its own data and is 0 of 1. `seed` is
    the same on all nodes of a run: what must be equal everywhere, as the initial vector should be, is drawn from it.
    Where `trains` is false, `train` is never called, and a factory may do without the training data.
    """

    index: int = 0
    count: int = 1
    seed: int = 0
    data: Path | None = None
    trains: bool = True


class Progress(Struct, frozen=True):
    """What a call of `train` did: steps taken, samples seen, and the mean loss over them."""

    steps: int
    samples: int
    loss: float


DEFAULT_STEPS = 20
"""Local steps per publish of a task that does not say: few, so that skewed shards don't drift apart."""


class Task(Protocol):
    """What a node learns. An attribute `steps`, if there is one, says how many local steps per publish suit it."""

    schema: Schema

    def initial(self) -> Vector:
        """The vector to begin with, shape (schema.size,)."""
        ...

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:
        """Train `vector`, shape (schema.size,), in place for `steps` steps on local data, with `rng` for sampling."""
        ...

    def evaluate(self, vector: Vector) -> dict[str, float]:
        """Metrics of `vector` on held-out data: `accuracy` in [0, 1], or whatever the task is judged by."""
        ...

    def predict(self, vector: Vector, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Outputs for `inputs`, shape (n, …), one row each."""
        ...


@runtime_checkable
class Scheduled(Protocol):
    """A task whose step size, or anything else, depends on how far the mesh has come."""

    def schedule(self, age: float) -> None:
        """Told before each training: the local steps that `vector` contains, on average over the mesh. No clock."""
        ...


class Mean(Struct, frozen=True):
    """A metric that is a mean over test rows: (total / count) ^ (1 / power); of power 2, a root mean square.

    >>> (Mean(9.0, 1, 2) + Mean(23.0, 1, 2)).value
    4.0
    """

    total: float
    count: int
    power: int = 1

    @property
    def value(self) -> float:
        """The metric."""
        return float((self.total / self.count) ** (1 / self.power)) if self.count else math.nan

    def __add__(self, other: Mean) -> Mean:
        """Over the rows of both: what a whole mesh is judged by, and no mean of means."""
        return Mean(self.total + other.total, self.count + other.count, self.power)


@runtime_checkable
class Pooled(Protocol):
    """A task whose nodes have test rows of their own, over all of which its metrics can be taken together."""

    def means(self, vector: Vector) -> dict[str, Mean]:
        """Metrics of `vector` on this node's test rows, by the names that `evaluate` gives them."""
        ...


@runtime_checkable
class Calibrated(Protocol):
    """A task that can tell how far off its predictions may be (`gossipfl.uncertainty`)."""

    def calibration(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.generic]]:
        """Rows that nobody trains on, like those that will be predicted from, and what is true of them.

        Inputs are of shape (n, …), as for `predict`. Targets are class numbers, shape (n,), where `predict` gives a
        value for each class, shape (n, classes), best its probability; otherwise floats, of the shape of the outputs.
        """
        ...


@runtime_checkable
class Exportable(Protocol):
    """A task whose model other runtimes can predict from."""

    def onnx(self, vector: Vector) -> bytes:
        """An ONNX model that predicts as `predict` does: from one input, shape (n, …), to one output, for any n."""
        ...


def train(task: Task, vector: Vector, steps: int, rng: np.random.Generator, age: float) -> Progress:
    """One training of `task` on a `vector` of that `age`; see Task.train and Scheduled.schedule."""
    if isinstance(task, Scheduled):
        task.schedule(age)
    return task.train(vector, steps, rng)


Factory: TypeAlias = Callable[[Node], Task]
