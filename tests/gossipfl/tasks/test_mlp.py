"""The perceptron: its gradient against finite differences, what it learns, and what it refuses."""

import numpy as np
import pytest

from gossipfl.errors import LocalError
from gossipfl.model.schema import Vector
from gossipfl.tasks.digits import digits
from gossipfl.tasks.mlp import MLP, Inputs, Labels
from gossipfl.tasks.task import Node, train
from tests.gossipfl.builders import noise


def inputs(rows: int = 12, features: int = 5, seed: int = 0) -> Inputs:
    return np.random.default_rng(seed).standard_normal((rows, features)).astype(np.float32)


def labels(rows: int = 12, classes: int = 3) -> Labels:
    return np.arange(rows, dtype=np.int64) % classes


def small(hidden: tuple[int, ...] = (), lr: float = 0.1, batch: int = 32, seed: int = 0) -> MLP:
    return MLP(inputs(), labels(), inputs(), labels(), classes=3, hidden=hidden, lr=lr, batch=batch, seed=seed)


def loss_of(task: MLP, vector: Vector, x: Inputs, y: Labels) -> float:
    """The mean cross-entropy in float64, computed another way than the task does."""
    a, layers = x.astype(np.float64), list(task._layers(vector))
    for i, (weight, bias) in enumerate(layers):
        a = a @ weight.astype(np.float64) + bias
        if i < len(layers) - 1:
            a = np.maximum(a, 0)
    log_sum = np.log(np.exp(a - a.max(axis=1, keepdims=True)).sum(axis=1)) + a.max(axis=1)
    return float((log_sum - a[np.arange(len(y)), y]).mean())


@pytest.mark.parametrize("hidden", [(), (4,), (6, 4)])
def test_a_step_goes_down_the_gradient(hidden: tuple[int, ...]) -> None:
    task = small(hidden, lr=1.0)
    x, y, vector = inputs(seed=3), labels(), noise(task.schema.size, 1, 0.5)
    stepped = vector.copy()
    loss = task._step(list(task._layers(stepped)), x, y)
    assert loss == pytest.approx(loss_of(task, vector, x, y), rel=1e-5)
    found = vector.astype(np.float64) - stepped
    expected = np.empty(vector.size)
    for i in range(vector.size):
        up, down = vector.copy(), vector.copy()
        up[i] += 1e-3
        down[i] -= 1e-3
        expected[i] = (loss_of(task, up, x, y) - loss_of(task, down, x, y)) / (float(up[i]) - float(down[i]))
    assert np.allclose(found, expected, atol=2e-3)
    assert np.abs(expected).max() > 0.05


@pytest.mark.parametrize("calibration", [0.3, 1.0])
def test_a_calibrated_step_goes_down_the_gradient_of_the_shifted_logits(calibration: float) -> None:
    """Cross-entropy of logits + λ·log(prior + 1e-4), with the prior of the node's own labels."""
    skewed = np.array([0] * 9 + [1] * 3, dtype=np.int64)
    plain, task = (
        MLP(inputs(), skewed, inputs(), labels(), classes=3, lr=1.0, calibration=one) for one in (0.0, calibration)
    )
    vector = noise(task.schema.size, 1, 0.5)
    shifted, found, expected = vector.copy(), vector.copy(), vector.copy()
    ((_, bias),) = plain._layers(shifted)
    bias += calibration * np.log(np.array([0.75, 0.25, 0.0]) + 1e-4).astype(np.float32)
    before = shifted.copy()
    task._step(list(task._layers(found)), inputs(), skewed)
    plain._step(list(plain._layers(shifted)), inputs(), skewed)
    expected += shifted - before
    assert np.allclose(found, expected, atol=1e-5)
    assert np.array_equal(task.predict(vector, inputs()), plain.predict(vector, inputs())), (
        "predictions are not shifted"
    )


def test_a_calibrated_node_does_not_unlearn_what_it_never_sees() -> None:
    """One class only: without calibration the others' logits fall for ever, with it they hardly move."""
    falls = []
    for calibration in (0.0, 1.0):
        task = MLP(inputs(), np.zeros(12, np.int64), inputs(), labels(), classes=3, calibration=calibration)
        vector = task.initial()
        before = task.predict(vector, inputs())[:, 1:].mean()
        task.train(vector, 200, np.random.default_rng(0))
        falls.append(before / task.predict(vector, inputs())[:, 1:].mean())
    print(f"an absent class falls to 1/{falls[0]:.0f} without, to 1/{falls[1]:.2f} with calibration")
    assert falls[0] > 10
    assert falls[1] < 1.1


@pytest.mark.parametrize(("age", "share"), [(0.0, 1.0), (50.0, 0.5), (75.0, 0.1464466), (100.0, 0.01), (1e15, 0.01)])
def test_steps_shrink_along_a_cosine_with_the_age_of_the_model(age: float, share: float) -> None:
    moved = []
    for task in (small(), MLP(inputs(), labels(), inputs(), labels(), classes=3, lr=0.1, horizon=100.0)):
        vector = task.initial()
        train(task, vector, 1, np.random.default_rng(0), age)
        moved.append(vector - task.initial())
    assert np.allclose(moved[1], share * moved[0], rtol=1e-3, atol=1e-6)


def test_calibration_ends_at_the_horizon() -> None:
    skewed = np.array([0] * 9 + [1] * 3, dtype=np.int64)
    plain, task = (
        MLP(inputs(), skewed, inputs(), labels(), classes=3, horizon=100.0, calibration=one) for one in (0.0, 1.0)
    )
    moved = {}
    for age in (0.0, 100.0):
        for name, one in (("plain", plain), ("calibrated", task)):
            moved[name] = one.initial()
            train(one, moved[name], 1, np.random.default_rng(0), age)
        assert np.array_equal(moved["plain"], moved["calibrated"]) == (age == 100.0)


def test_without_a_horizon_nothing_shrinks() -> None:
    task = small()
    one, other = task.initial(), task.initial()
    train(task, one, 5, np.random.default_rng(0), 0.0)
    train(task, other, 5, np.random.default_rng(0), 1e15)
    assert np.array_equal(one, other)


def test_training_works_in_place_and_reports_what_it_did() -> None:
    task = small((4,))
    vector = task.initial()
    view = vector[:]
    progress = task.train(vector, 7, np.random.default_rng(0))
    assert (progress.steps, progress.samples) == (7, 7 * 32)
    assert progress.loss > 0
    assert (view == vector).all()
    assert (vector != task.initial()).any()


def test_training_lowers_the_loss() -> None:
    task = small((8,), lr=0.3)
    vector = task.initial()
    before = task.evaluate(vector)["loss"]
    task.train(vector, 300, np.random.default_rng(0))
    after = task.evaluate(vector)
    assert after["loss"] < before / 3
    assert after["accuracy"] > 0.9


def test_the_same_randomness_trains_the_same_model() -> None:
    task = small((4,))
    one, other = task.initial(), task.initial()
    task.train(one, 5, np.random.default_rng(1))
    task.train(other, 5, np.random.default_rng(1))
    assert (one == other).all()


def test_initial_weights_come_from_the_seed_and_the_fan_in() -> None:
    task = small((4,), seed=5)
    assert (task.initial() == small((4,), seed=5).initial()).all()
    assert (task.initial() != small((4,), seed=6).initial()).any()
    (weight, bias), _ = task._layers(task.initial())
    assert max(np.abs(weight).max(), np.abs(bias).max()) <= 5**-0.5


def test_evaluate_and_predict_leave_the_model_alone() -> None:
    task = small((4,))
    vector = task.initial()
    vector.flags.writeable = False
    task.evaluate(vector)
    p = task.predict(vector, inputs())
    assert p.shape == (12, 3)
    assert np.allclose(p.sum(axis=1), 1, atol=1e-5)
    assert (p >= 0).all()


def test_huge_weights_give_probabilities_all_the_same() -> None:
    task = small()
    p = task.predict(noise(task.schema.size, 0, 1e4), inputs())
    assert np.isfinite(p).all()


def test_without_a_hidden_layer_it_is_softmax_regression() -> None:
    task = small()
    assert [(tensor.name, tensor.shape) for tensor in task.schema.tensors] == [("0.weight", (5, 3)), ("0.bias", (3,))]
    vector = task.initial()
    weight, bias = vector[:15].reshape(5, 3), vector[15:]
    logits = np.exp(inputs() @ weight + bias)
    assert np.allclose(task.predict(vector, inputs()), logits / logits.sum(axis=1, keepdims=True), atol=1e-6)


def test_all_digits_together_are_learnt() -> None:
    pytest.importorskip("sklearn", reason="digits come with scikit-learn, extra gossipfl[demo]")
    task = digits(Node(0, 1))
    vector = task.initial()
    assert task.evaluate(vector)["accuracy"] < 0.3
    task.train(vector, 2000, np.random.default_rng(0))
    assert task.evaluate(vector)["accuracy"] >= 0.95


@pytest.mark.parametrize(
    ("x", "y", "x_test", "y_test", "reason"),
    [
        (inputs(12), labels(11), inputs(), labels(), "train data: inputs of shape"),
        (inputs(12), labels(12), inputs(3), labels(4), "test data: inputs of shape"),
        (inputs(), labels(), inputs(0), labels(0), "test data"),
        (inputs()[0], labels(), inputs(), labels(), "train data"),
        (inputs(), labels().reshape(12, 1), inputs(), labels(), "train data"),
        (inputs(), labels() + 1, inputs(), labels(), "train data: labels 1 to 3; allowed are 0 to 2"),
        (inputs(), labels() - 1, inputs(), labels(), "train data: labels -1 to 1"),
        (inputs(), labels(), inputs(), labels() + 1, "test data: labels 1 to 3"),
        (inputs(), labels(), inputs(features=4), labels(), "test data: rows of 4 features; training rows have 5"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(x: Inputs, y: Labels, x_test: Inputs, y_test: Labels, reason: str) -> None:
    with pytest.raises(LocalError, match=reason):
        MLP(x, y, x_test, y_test, classes=3)
