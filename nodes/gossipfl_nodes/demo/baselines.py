"""What the mesh is compared with: each node alone on its own data, and one model trained on all the data together."""

from __future__ import annotations

import time

import numpy as np
from msgspec import Struct

from gossipfl.tasks.task import Factory, Node, Task, train

BUDGET = 20.0
"""Seconds for each baseline at the most; a heavy task's baseline takes fewer steps then, and says how many."""
CHUNK = 100


class Baselines(Struct, frozen=True):
    """Accuracies, and the steps that they took."""

    local_only: float
    local_steps: int
    central: float
    central_steps: int


def measure(factory: Factory, template: Node, steps: list[int]) -> Baselines:
    """Train alone for as many steps as each node did, and centrally for as many as all did together.

    Args:
        factory: of the task.
        template: count, seed and data of the mesh's nodes.
        steps: local steps that each node of the mesh took.
    """
    alone = [
        _train(factory(Node(index, template.count, template.seed, template.data)), taken, BUDGET / template.count)
        for index, taken in enumerate(steps)
    ]
    central, central_steps = _train(factory(Node(0, 1, template.seed, template.data)), sum(steps), BUDGET)
    accuracies = [accuracy for accuracy, _ in alone]
    return Baselines(
        local_only=float(np.mean(accuracies)),
        local_steps=round(float(np.mean([taken for _, taken in alone]))),
        central=central,
        central_steps=central_steps,
    )


def _train(task: Task, steps: int, budget: float) -> tuple[float, int]:
    vector, rng = task.initial(), np.random.default_rng(0)
    taken, deadline = 0, time.monotonic() + budget
    while taken < steps and time.monotonic() < deadline:
        taken += train(task, vector, min(CHUNK, steps - taken), rng, taken).steps
    return task.evaluate(vector).get("accuracy", float("nan")), taken
