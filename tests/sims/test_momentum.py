"""Momentum in a mesh without rounds: where nothing pulls a model back, it must not feed itself either."""

from __future__ import annotations

import numpy as np
import pytest

from gossipfl.mixing.momentum import BETA
from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.protocol.settings import Settings
from gossipfl.tasks.task import Progress
from tests.sims.worlds import World, boot

STEP, INTERVALS = 1e-3, 300


class Wanderer:
    """Each interval adds noise of 1e-3 to each coordinate: no gradient, so that only the mesh moves the mean."""

    schema = Schema([Tensor("w", (64,))])

    def initial(self) -> Vector:
        return np.zeros(64, np.float32)

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:
        vector += rng.normal(0, STEP, vector.size).astype(np.float32)
        return Progress(steps, steps, 0.0)

    def evaluate(self, vector: Vector) -> dict[str, float]:  # noqa: ARG002
        return {}

    def predict(self, vector: Vector, inputs: Vector) -> Vector:  # noqa: ARG002
        return inputs


def wandered(topology: str, codec: str, momentum: str) -> float:
    """How far the models of eight nodes are from where they began, as the root of the mean square."""
    settings = Settings(topology=topology, interval=1.0, steps=1, codec=codec, momentum=momentum)
    world = World([Wanderer() for _ in range(8)], settings, seed=1, seconds_per_step=0.01)
    boot(world)
    world.run(INTERVALS)
    models = [machine.peer.replica.x for machine in world if machine.peer is not None]
    assert len(models) == 8
    return float(np.sqrt(np.mean(np.square(models))))


@pytest.mark.parametrize(
    ("topology", "codec"),
    [
        ("ring", "float32"),
        ("k-out:k=3", "int4+round-robin:5"),
        ("complete", "int8"),
        ("complete", "int4+round-robin:5"),
    ],
)
def test_a_drift_does_not_feed_itself_however_much_of_it_comes_with_merges(topology: str, codec: str) -> None:
    """In the mean of eight it would be 1e-3·√(300 / 8) = .006, were all together all the time."""
    assert wandered(topology, codec, "quasi-global") < 1.5 * wandered(topology, codec, "none") / (1 - BETA)
