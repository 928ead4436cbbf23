"""The PyTorch adapter: the module trains inside the vector that it is given, and nothing is copied on the way."""

from collections.abc import Iterable

import numpy as np
import pytest

pytest.importorskip("torch", reason="the adapter needs PyTorch, extra gossipfl[torch]")

import onnxruntime
import torch
from torch import nn
from torch.utils.data import Dataset

from gossipfl.errors import LocalError
from gossipfl.protocol.settings import Settings
from gossipfl.tasks.torch_module import TorchTask
from gossipfl.uncertainty.quantile import ENOUGH
from gossipfl_sims.engine.world import World
from tests.gossipfl.builders import noise


class Rows(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.x[row], self.y[row]


def blobs(rows: int = 60, seed: int = 0) -> Rows:
    """Three classes that a linear model tells apart."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=rows)
    x = rng.standard_normal((rows, 4)) * 0.3 + np.eye(3, 4)[y] * 2
    return Rows(torch.tensor(x, dtype=torch.float32), torch.tensor(y))


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def a_task(module: nn.Module | None = None, **options: object) -> TorchTask:
    return TorchTask(module or network(), nn.functional.cross_entropy, blobs(), **options)  # type: ignore[arg-type]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_parameters_are_views_into_the_given_vector() -> None:
    module = network()
    task = a_task(module)
    vector = task.initial()
    start = vector.ctypes.data
    task.train(vector, 1, rng())
    slices = task.schema.slices()
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            assert tensor.data_ptr() == start + 4 * slices[name].start
            assert tensor.flatten().tolist() == vector[slices[name]].tolist()


def test_training_changes_the_vector_in_place_and_no_other() -> None:
    task = a_task()
    first, second = task.initial(), task.initial()
    progress = task.train(first, 5, rng())
    assert (progress.steps, progress.samples) == (5, 160)
    assert (first != task.initial()).any()
    assert (second == task.initial()).all()
    after = first.copy()
    task.train(second, 5, rng())
    assert (first == after).all()


def test_values_written_into_the_vector_are_the_modules() -> None:
    task = a_task()
    vector = task.initial()
    x = np.ones((2, 4), np.float32)
    before = task.predict(vector, x)
    vector[:] = noise(vector.size)
    vector[task.schema.slices()["1.running_var"]] = 1
    assert (task.predict(vector, x) != before).any()


def test_batch_norms_statistics_are_part_of_the_model() -> None:
    task = a_task()
    names = [tensor.name for tensor in task.schema.tensors]
    assert {"1.running_mean", "1.running_var"} < set(names)
    assert "1.num_batches_tracked" not in names
    vector = task.initial()
    where = task.schema.slices()["1.running_mean"]
    assert not vector[where].any()
    task.train(vector, 3, rng())
    assert vector[where].any()


def test_evaluation_neither_trains_nor_moves_statistics() -> None:
    task = a_task()
    vector = task.initial()
    task.train(vector, 3, rng())
    before = vector.copy()
    metrics = task.evaluate(vector)
    task.predict(vector, np.ones((3, 4), np.float32))
    assert metrics.keys() == {"accuracy", "loss"}
    assert (vector == before).all()


def test_it_learns() -> None:
    task = a_task(lr=0.1)
    vector = task.initial()
    task.train(vector, 150, rng())
    assert task.evaluate(vector)["accuracy"] > 0.95


def test_predictions_are_the_modules_own() -> None:
    module = network(3)
    x = torch.randn(5, 4)
    with torch.no_grad():
        expected = module.eval()(x).numpy()
    task = a_task(module)
    assert np.allclose(task.predict(task.initial(), x.numpy()), expected, atol=1e-6)


def test_a_held_out_set_is_what_it_is_judged_by() -> None:
    wrong = blobs()
    task = a_task(test=Rows(wrong.x, (wrong.y + 1) % 3))
    vector = task.initial()
    task.train(vector, 150, rng())
    assert task.evaluate(vector)["accuracy"] < 0.1


def test_regression_is_judged_by_its_loss_alone() -> None:
    data = Rows(torch.randn(20, 4), torch.randn(20, 1))
    task = TorchTask(nn.Linear(4, 1), nn.functional.mse_loss, data)
    assert task.evaluate(task.initial()).keys() == {"loss"}


def test_personal_prefixes_are_personal_in_the_schema() -> None:
    task = a_task(personal=("3.",))
    assert [tensor.name for tensor in task.schema.tensors if tensor.personal] == ["3.weight", "3.bias"]
    assert task.schema.shared_size == task.schema.size - 27
    with pytest.raises(LocalError, match=r"personal prefix 'head\.' fits none of 0\.weight"):
        a_task(personal=("head.",))


def test_another_optimizer_keeps_its_state_between_calls() -> None:
    made: list[torch.optim.Optimizer] = []

    def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        made.append(torch.optim.Adam(parameters, lr=0.01))
        return made[-1]

    task = a_task(optimizer=adam)
    task.train(task.initial(), 2, rng())
    task.train(task.initial(), 3, rng())
    (optimizer,) = made
    assert {int(state["step"]) for state in optimizer.state.values()} == {5}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_module_of_another_precision_is_refused_with_the_cure(dtype: torch.dtype) -> None:
    with pytest.raises(LocalError, match=r"0\.weight is torch\.\w+; gossipfl exchanges float32: use module\.float\(\)"):
        a_task(network().to(dtype))


def test_a_module_without_parameters_is_refused() -> None:
    with pytest.raises(LocalError, match="no shared element"):
        a_task(nn.ReLU())


def test_a_vector_of_another_size_is_refused() -> None:
    task = a_task()
    with pytest.raises(LocalError, match="expected float32 of shape"):
        task.train(noise(3), 1, rng())


def test_a_read_only_vector_can_be_judged_but_is_never_written() -> None:
    task = a_task()
    vector = task.initial()
    task.train(vector, 3, rng())
    vector.flags.writeable = False
    before = vector.copy()
    assert task.evaluate(vector)["loss"] > 0
    assert (vector == before).all()


def test_two_nodes_with_different_weights_meet_and_begin_from_one_vector() -> None:
    torch.manual_seed(0)
    tasks = [a_task(network(seed), personal=("3.",)) for seed in (1, 2)]
    assert (tasks[0].initial() != tasks[1].initial()).any()
    world = World(list(tasks), Settings(interval=0.5), seed=0, seconds_per_step=10.0)
    for machine in world:
        world.start(machine.name)
    world.run(9.5)
    models = [machine.peer.replica for machine in world if machine.peer is not None]
    assert all(machine.peer is not None and machine.peer.joining is None for machine in world)
    assert (models[0].x == models[1].x).all()
    assert (models[0].full() != models[1].full()).any()


def test_two_nodes_learn_together_in_the_simulator() -> None:
    tasks = [a_task(network(seed)) for seed in (1, 2)]
    world = World(list(tasks), Settings(interval=0.5), seed=0)
    for machine in world:
        world.start(machine.name)
    world.run(15.0)
    assert all(machine.accuracy() > 0.9 for machine in world)


def test_its_onnx_file_predicts_the_same_for_any_number_of_rows() -> None:
    task = a_task(test=blobs(seed=1))
    vector = task.initial()
    task.train(vector, 20, rng())
    session = onnxruntime.InferenceSession(task.onnx(vector))
    for rows in (1, 7):
        x = np.random.default_rng(rows).standard_normal((rows, 4), np.float32)
        (found,) = session.run(["outputs"], {"inputs": x})
        assert np.allclose(found, task.predict(vector, x), atol=1e-5)


def test_what_it_was_not_trained_on_tells_how_far_off_it_may_be() -> None:
    held_out = blobs(2 * ENOUGH, seed=1)
    inputs, targets = a_task(test=held_out).calibration()
    assert inputs.shape == (ENOUGH, 4)
    rows = {tuple(row): int(label) for row, label in zip(held_out.x.numpy(), held_out.y, strict=True)}
    assert [rows[tuple(row)] for row in inputs] == targets.tolist()
    with pytest.raises(LocalError, match="no `test` data"):
        a_task().calibration()


def test_without_data_it_predicts_and_has_no_metrics() -> None:
    task = TorchTask(network(), nn.functional.cross_entropy, blobs(0))
    assert task.evaluate(task.initial()) == {}
    assert task.predict(task.initial(), np.ones((3, 4), np.float32)).shape == (3, 3)
    with pytest.raises(LocalError, match="no input to trace"):
        task.onnx(task.initial())
