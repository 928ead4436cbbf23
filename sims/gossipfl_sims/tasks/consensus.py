"""consensus: nobody trains; every node starts at a random vector, and gossip averages them.

The mean of the starts is known, so the error is exact. A node that crashes before anybody heard of its start takes it
along: the rest agree on another mean.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.tasks.task import Node, Progress

SIZE = 8
"""Coordinates: independent repetitions of the same study."""


class Consensus:
    """Start at row `index` of `starts`, shape (n, d), and agree on their mean.

    The first training moves a node from the common initial vector to its start: all begin from one base, as meshes do.
    """

    steps = 1

    def __init__(self, index: int, starts: npt.NDArray[np.float32]) -> None:
        self._start = starts[index]
        self._mean = starts.mean(axis=0)
        self._started = False
        self.schema = Schema([Tensor("x", (len(self._start),))])

    def initial(self) -> Vector:
        """Zero: everybody's."""
        return np.zeros(len(self._start), dtype=np.float32)

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:
        """For the first time, go to the start; later nothing, after a crash neither."""
        del rng
        if not self._started:
            self._started = True
            vector[:] = self._start
        return Progress(steps, 0, 0.0)

    def evaluate(self, vector: Vector) -> dict[str, float]:
        """`error`: root mean square distance to the mean of all starts."""
        return {"error": float(np.sqrt(np.mean((vector - self._mean) ** 2)))}

    def predict(self, vector: Vector, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The vector, for each input."""
        return np.broadcast_to(vector, (len(inputs), len(vector)))


@cache
def _starts(count: int, seed: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng((seed, count)).standard_normal((count, SIZE)).astype(np.float32)


def consensus(node: Node) -> Consensus:
    """The task of one node: standard normal starts of 8 coordinates."""
    return Consensus(node.index, _starts(node.count, node.seed))
