"""quadratic: node i pulls towards c_i, f_i(x) = ½‖x − c_i‖²; the best for all is the mean of the c_i.

What a skewed shard does to a real model, without data: every node is wrong alone, in another way, and the optimum of
the whole is known. Who is heard more than others shows as a bias of the average.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.tasks.task import Node, Progress

SIZE = 8
LEARNING_RATE = 0.05


class Quadratic:
    """Gradient descent on ½‖x − c‖² for the row `index` of `centres`, shape (n, d)."""

    steps = 4

    def __init__(self, index: int, centres: npt.NDArray[np.float32]) -> None:
        self._c = centres[index]
        self._optimum = centres.mean(axis=0)
        self.schema = Schema([Tensor("x", (len(self._c),))])

    def initial(self) -> Vector:
        """Far off, and elsewhere for every node: those who begin together have to agree on a base first."""
        start: Vector = -self._c
        return start

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:
        """x ← x − η (x − c), `steps` times at once."""
        del rng
        vector += np.float32(1 - (1 - LEARNING_RATE) ** steps) * (self._c - vector)
        return Progress(steps, 0, float(0.5 * np.sum((vector - self._c) ** 2)))

    def evaluate(self, vector: Vector) -> dict[str, float]:
        """`error`: root mean square distance to the optimum of the sum of all f_i."""
        return {"error": float(np.sqrt(np.mean((vector - self._optimum) ** 2)))}

    def predict(self, vector: Vector, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The vector, for each input."""
        return np.broadcast_to(vector, (len(inputs), len(vector)))


@cache
def _centres(count: int, seed: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng((seed, count, 1)).standard_normal((count, SIZE)).astype(np.float32)


def quadratic(node: Node) -> Quadratic:
    """The task of one node: a standard normal centre of 8 coordinates."""
    return Quadratic(node.index, _centres(node.count, node.seed))
