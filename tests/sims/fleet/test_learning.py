"""Learning in bulk: the gradients of the real loss, the same whoever trains beside whom, and models that get better."""

from itertools import pairwise

import numpy as np
import pytest

from gossipfl.errors import LocalError
from gossipfl.tasks.mlp import MLP, Inputs, Labels
from gossipfl_sims.fleet.learning import Shards
from gossipfl_sims.fleet.setting import Fleet
from gossipfl_sims.fleet.world import FleetWorld


def corners(y: Labels, rng: np.random.Generator) -> Inputs:
    centres = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]], np.float32)
    return (centres[y] + 0.3 * rng.standard_normal((len(y), 2))).astype(np.float32)


def shards(nodes: int = 40, hidden: int = 0, rows: int = 6, lr: float = 0.3) -> Shards:
    """Four classes in the plane; node i sees class i mod 4 alone."""
    rng = np.random.default_rng(1)
    y = np.repeat(np.arange(nodes) % 4, rows)
    y_test = rng.integers(4, size=100)
    return Shards(
        inputs=corners(y, rng), labels=y, shares=np.arange(nodes * rows, dtype=np.int32).reshape(nodes, rows),
        test_inputs=corners(y_test, rng), test_labels=y_test, classes=4, hidden=hidden, lr=lr,
    )  # fmt: skip


def loss(data: Shards, node: int, vector: np.ndarray) -> float:
    """Mean cross-entropy on the node's rows, in float64."""
    x = data.inputs[data.shares[node]].astype(np.float64)
    widths = (2, data.hidden, 4) if data.hidden else (2, 4)
    start = 0
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        weight = vector[start : start + fan_in * fan_out].reshape(fan_in, fan_out)
        start += fan_in * fan_out
        x = x @ weight + vector[start : start + fan_out]
        start += fan_out
        if layer < len(widths) - 2:
            x = np.maximum(x, 0)
    logarithm = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    return float(-logarithm[np.arange(len(x)), data.labels[data.shares[node]]].mean())


@pytest.mark.parametrize("hidden", [0, 5])
def test_a_step_follows_the_gradient_of_finite_differences(hidden: int) -> None:
    data = shards(hidden=hidden, lr=1.0)
    assert data.floats == (37 if hidden else 12) + (2 if hidden else 0)
    start = data.initial().astype(np.float64)
    for node in range(4):
        x = np.tile(data.initial(), (data.nodes, 1))
        data.train(x, np.array([node], np.int32), 1)
        found = start - x[node]
        expected = np.zeros(data.floats)
        for i in range(data.floats):
            step = np.zeros(data.floats)
            step[i] = 1e-6
            expected[i] = (loss(data, node, start + step) - loss(data, node, start - step)) / 2e-6
        assert found == pytest.approx(expected, abs=2e-6)
        others = np.arange(data.nodes) != node
        assert (x[others] == data.initial()).all()


@pytest.mark.parametrize("hidden", [0, 5])
def test_many_nodes_and_steps_at_once_are_the_same_as_one_after_the_other(hidden: int) -> None:
    data = shards(nodes=8, hidden=hidden, rows=11)
    x, y = (np.tile(data.initial(), (8, 1)) for _ in range(2))
    data.train(x, np.arange(8, dtype=np.int32), 3)
    for _ in range(3):
        for node in (5, 0, 7, 1, 2, 6, 4, 3):
            data.train(y, np.array([node], np.int32), 1)
    assert x.tobytes() == y.tobytes()


def test_the_model_is_laid_out_as_that_of_the_task() -> None:
    """Trained here on all rows, it predicts there what the rows say."""
    data = shards(nodes=4, hidden=8, rows=30)
    whole = Shards(
        inputs=data.inputs, labels=data.labels, shares=np.arange(120, dtype=np.int32)[None], classes=4, hidden=8,
        test_inputs=data.test_inputs, test_labels=data.test_labels, lr=0.5,
    )  # fmt: skip
    x = whole.initial()[None].copy()
    whole.train(x, np.zeros(1, np.int32), 300)
    task = MLP(data.inputs, data.labels, data.test_inputs, data.test_labels, classes=4, hidden=(8,))
    assert task.evaluate(x[0])["accuracy"] > 0.97
    scores = whole.scores(x)
    assert scores.accuracy_mean == scores.accuracy_worst == task.evaluate(x[0])["accuracy"]
    assert scores.disagreement == 0


def test_nodes_of_one_class_each_learn_all_classes_from_each_other() -> None:
    alone = FleetWorld(Fleet(nodes=40, steps=2, loss=1.0), shards=shards())
    mixed = FleetWorld(Fleet(nodes=40, steps=2, loss=0.1), shards=shards())
    for world in (alone, mixed):
        world.run(30.0)
    lonely, scores = alone.sample().scores, mixed.sample().scores
    assert lonely is not None
    assert scores is not None
    assert lonely.accuracy_mean < 0.5
    assert lonely.disagreement > 0.5
    assert scores.accuracy_mean > 0.85
    assert scores.accuracy_worst > lonely.accuracy_worst
    assert scores.disagreement < 0.2


def test_data_that_does_not_fit_is_refused() -> None:
    data = shards()
    with pytest.raises(LocalError, match="shares name rows that are not there; allowed are 0 to 239"):
        Shards(
            inputs=data.inputs, labels=data.labels, shares=data.shares + 1, classes=4,
            test_inputs=data.test_inputs, test_labels=data.test_labels,
        )  # fmt: skip
    with pytest.raises(LocalError, match=r"shares of shape \(240,\)"):
        Shards(
            inputs=data.inputs, labels=data.labels, shares=data.shares.ravel(), classes=4,
            test_inputs=data.test_inputs, test_labels=data.test_labels,
        )  # fmt: skip
    with pytest.raises(LocalError, match="shards for 40 nodes; allowed is one for each of the 39"):
        FleetWorld(Fleet(nodes=39), shards=data)
