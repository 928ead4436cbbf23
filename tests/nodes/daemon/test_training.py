"""The training process: it trains and evaluates, and whatever a user's task does to it, the daemon goes on."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
import trio

from gossipfl.errors import LocalError
from gossipfl.model.schema import Vector
from gossipfl.protocol.events import Train, Trained, TrainingFailed
from gossipfl.tasks.digits import digits
from gossipfl.tasks.task import Node
from gossipfl_nodes.daemon.config import TaskConfig
from gossipfl_nodes.daemon.process import copy
from gossipfl_nodes.daemon.training import Training
from gossipfl_nodes.demo.gauges import children
from tests.nodes.support import runs, wait_for

TASK = """
import os, sys, time
import numpy as np
from gossipfl.model.schema import Schema, Tensor
from gossipfl.tasks.task import Progress

class Small:
    schema = Schema([Tensor("w", (4,))])
    steps = 3

    def __init__(self, node):
        self.node = node

    def initial(self):
        return np.zeros(4, dtype=np.float32)

    def train(self, vector, steps, rng):
        {train}
        vector += steps
        return Progress(steps, steps, 0.5)

    def evaluate(self, vector):
        {evaluate}
        return {{"accuracy": float(vector[0])}}

    def predict(self, vector, inputs):
        return inputs

def make(node):
    {make}
    return Small(node)
"""


def task_file(folder: Path, *, train: str = "pass", evaluate: str = "pass", make: str = "pass") -> str:
    """A user's task, with statements put into its methods; the name that it goes by."""
    path = folder / "task.py"
    path.write_text(TASK.format(train=train, evaluate=evaluate, make=make))
    return f"{path}:make"


@asynccontextmanager
async def trained_by(config: TaskConfig) -> AsyncIterator[tuple[Training, Vector]]:
    """A training process that has introduced its task, and the initial vector."""
    training = Training(config, np.random.default_rng(0))
    try:
        await training.start()
        with trio.fail_after(30):
            _, _, initial = await training.introduce()
        yield training, initial.copy()
    finally:
        await training.stop()


def with_small_task(name: str, body: Callable[[Training, Vector], Awaitable[None]]) -> None:
    """Run `body` with the training process of a small task."""

    async def main() -> None:
        async with trained_by(TaskConfig(name=name)) as (training, initial):
            with trio.fail_after(15):
                await body(training, initial)

    trio.run(main)


async def train(training: Training, request: Train) -> Trained | TrainingFailed:
    """As the driver does it; the delta is the test's own."""
    answer = await training.train(await training.hold(request), given(request.start))
    if isinstance(answer, Trained):
        answer = msgspec.structs.replace(answer, delta=answer.delta.copy())
        training.release()
    return answer


def given(vector: Vector) -> Callable[[Vector], Awaitable[None]]:
    """What fills the slot with `vector`."""
    return partial(copy, vector=vector)


def failure(answer: Trained | TrainingFailed) -> str:
    assert isinstance(answer, TrainingFailed), answer
    return answer.reason


def delta(answer: Trained | TrainingFailed) -> list[float]:
    assert isinstance(answer, Trained), answer
    return [float(value) for value in answer.delta]


def test_digits_are_learnt_in_the_process_as_they_are_learnt_here() -> None:
    async def main() -> None:
        async with trained_by(TaskConfig(name="digits", index=1, count=4, seed=3)) as (training, initial):
            local = digits(Node(1, 4, 3))
            assert np.array_equal(initial, local.initial())
            vector = initial.copy()
            before = await training.evaluate(given(vector))
            assert before == local.evaluate(vector)
            for number in range(5):
                answer = await train(training, Train(number, vector, 20, 0.0))
                assert isinstance(answer, Trained)
                assert (answer.training, answer.steps) == (number, 20)
                vector = vector + answer.delta
            assert training.steps == 100
            assert 0 < training.loss < math.inf
            assert (await training.evaluate(given(vector)))["accuracy"] > before["accuracy"]

    trio.run(main)


def test_the_task_says_its_layout_and_how_many_steps_suit_it(tmp_path: Path) -> None:
    async def main() -> None:
        training = Training(TaskConfig(name=task_file(tmp_path)), np.random.default_rng(0))
        try:
            await training.start()
            info, schema, initial = await training.introduce()
        finally:
            await training.stop()
        assert info.steps == 3
        assert [(tensor.name, tensor.shape) for tensor in schema.tensors] == [("w", (4,))]
        assert initial.tolist() == [0, 0, 0, 0]

    trio.run(main)


def test_a_scheduled_task_is_told_the_age_of_the_model(tmp_path: Path) -> None:
    name = task_file(tmp_path, train="vector += self.age")
    with (tmp_path / "task.py").open("a") as file:
        file.write("\ndef scheduled(node):\n    task = make(node)\n")
        file.write("    type(task).schedule = lambda self, age: setattr(self, 'age', age)\n    return task\n")

    async def body(training: Training, _: Vector) -> None:
        one, other = [delta(await train(training, Train(1, np.zeros(4, np.float32), 1, age))) for age in (0.0, 5.0)]
        assert np.array_equal(np.subtract(other, one), [5, 5, 5, 5])

    with_small_task(name.replace(":make", ":scheduled"), body)


def test_training_leaves_the_vector_that_it_was_given_as_it_was(tmp_path: Path) -> None:
    async def body(training: Training, _: Vector) -> None:
        start = np.full(4, 7, dtype=np.float32)
        assert delta(await train(training, Train(1, start, 2, 0.0))) == [2, 2, 2, 2]
        assert start.tolist() == [7, 7, 7, 7]

    with_small_task(task_file(tmp_path), body)


def test_a_training_that_finds_the_slot_in_use_starts_from_the_model_as_it_is_later(tmp_path: Path) -> None:
    model = np.full(4, 1, dtype=np.float32)

    async def body(training: Training, _: Vector) -> None:
        async def fill_meanwhile(slot: Vector) -> None:
            held.append(await training.hold(Train(1, model, 2, 0.0)))
            slot[:] = 5

        held: list[Train] = []
        await training.evaluate(fill_meanwhile)
        (request,) = held
        assert not np.shares_memory(request.start, model)
        model[:] = 7
        answer = await training.train(request, given(model))
        assert delta(answer) == [9, 9, 9, 9]
        training.release()

    with_small_task(task_file(tmp_path, train="vector += vector[0]"), body)


def test_a_task_that_raises_fails_that_training_with_its_reason_and_the_next_works(tmp_path: Path) -> None:
    task = task_file(tmp_path, train='assert vector[0] < 5, "the data ran out"')

    async def body(training: Training, initial: Vector) -> None:
        answer = await train(training, Train(7, np.full(4, 9, dtype=np.float32), 1, 0.0))
        assert failure(answer) == "AssertionError: the data ran out"
        assert isinstance(answer, TrainingFailed)
        assert answer.training == 7
        assert delta(await train(training, Train(8, initial, 1, 0.0))) == [1, 1, 1, 1]
        assert training.steps == 1

    with_small_task(task, body)


def test_an_evaluation_that_raises_says_why_and_training_goes_on(tmp_path: Path) -> None:
    async def body(training: Training, initial: Vector) -> None:
        with pytest.raises(LocalError, match="ZeroDivisionError"):
            await training.evaluate(given(initial))
        assert delta(await train(training, Train(1, initial, 1, 0.0))) == [1, 1, 1, 1]

    with_small_task(task_file(tmp_path, evaluate="1 / 0"), body)


def test_a_task_that_takes_its_process_down_fails_that_training_and_the_next_has_a_fresh_process(
    tmp_path: Path,
) -> None:
    task = task_file(tmp_path, train="os._exit(3) if vector[0] > 5 else None")

    async def body(training: Training, initial: Vector) -> None:
        assert delta(await train(training, Train(1, initial, 1, 0.0))) == [1, 1, 1, 1]
        (first,) = children(os.getpid())
        said = failure(await train(training, Train(2, np.full(4, 9, dtype=np.float32), 1, 0.0)))
        assert said == "the training process died with status 3"
        assert not runs(first)
        assert delta(await train(training, Train(3, initial, 1, 0.0))) == [1, 1, 1, 1]
        assert await training.evaluate(given(initial)) == {"accuracy": 0.0}
        (second,) = children(os.getpid())
        assert second != first

    with_small_task(task, body)


def test_a_training_process_that_is_killed_is_replaced(tmp_path: Path) -> None:
    async def body(training: Training, initial: Vector) -> None:
        (process,) = children(os.getpid())
        os.kill(process, signal.SIGKILL)
        assert "died with status -9" in failure(await train(training, Train(1, initial, 1, 0.0)))
        assert delta(await train(training, Train(2, initial, 1, 0.0))) == [1, 1, 1, 1]

    with_small_task(task_file(tmp_path), body)


@pytest.mark.parametrize(
    "talk",
    [
        'print("x" * 100_000, flush=True)',
        "os.write(1, bytes(range(256)) * 100)",
        'sys.stdout.write("no newline, no flush")',
        'os.system("echo from a child process")',
    ],
)
def test_a_task_that_prints_does_not_get_between_the_answers(tmp_path: Path, talk: str) -> None:
    async def body(training: Training, initial: Vector) -> None:
        for number in range(3):
            assert delta(await train(training, Train(number, initial, 2, 0.0))) == [2, 2, 2, 2]
            assert await training.evaluate(given(initial)) == {"accuracy": 0.0}

    with_small_task(task_file(tmp_path, train=talk, evaluate=talk, make=talk), body)


def test_a_task_that_asks_its_standard_input_finds_nothing_there_and_takes_nothing_away(tmp_path: Path) -> None:
    async def body(training: Training, initial: Vector) -> None:
        for number in range(3):
            assert delta(await train(training, Train(number, initial, 2, 0.0))) == [2, 2, 2, 2]

    with_small_task(task_file(tmp_path, train="sys.stdin.buffer.read(1)"), body)


def test_numbers_of_numpy_are_as_good_as_python_s(tmp_path: Path) -> None:
    task = task_file(
        tmp_path,
        train="vector += steps; return Progress(np.int64(steps), np.int64(1), np.float32(0.25))",
        evaluate='return {"accuracy": np.float32(0.5), "loss": np.float64(0.25)}',
    )

    async def body(training: Training, initial: Vector) -> None:
        assert delta(await train(training, Train(1, initial, 2, 0.0))) == [2, 2, 2, 2]
        assert training.loss == 0.25
        assert await training.evaluate(given(initial)) == {"accuracy": 0.5, "loss": 0.25}

    with_small_task(task, body)


def test_an_answer_that_can_t_be_sent_is_a_failure_with_a_reason_and_not_a_dead_process(tmp_path: Path) -> None:
    task = task_file(tmp_path, train='return "done"', evaluate='return {"accuracy": object()}')

    async def body(training: Training, initial: Vector) -> None:
        (process,) = children(os.getpid())
        assert "died" not in failure(await train(training, Train(1, initial, 2, 0.0)))
        with pytest.raises(LocalError) as caught:
            await training.evaluate(given(initial))
        assert "died" not in str(caught.value)
        assert children(os.getpid()) == [process]

    with_small_task(task, body)


def test_requests_that_come_at_the_same_time_are_answered_one_after_the_other(tmp_path: Path) -> None:
    answers: list[list[float]] = []
    metrics: list[dict[str, float]] = []

    async def body(training: Training, initial: Vector) -> None:
        async def one(number: int) -> None:
            answers.append(delta(await train(training, Train(number, initial, number, 0.0))))

        async def evaluate(number: int) -> None:
            metrics.append(await training.evaluate(given(initial + np.float32(number))))

        async with trio.open_nursery() as nursery:
            for number in range(1, 6):
                nursery.start_soon(one, number)
                nursery.start_soon(evaluate, number)
        assert sorted(answers) == [[n] * 4 for n in range(1, 6)]
        assert sorted(metric["accuracy"] for metric in metrics) == [1, 2, 3, 4, 5]

    with_small_task(task_file(tmp_path), body)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (TaskConfig(name="digit"), "did you mean 'digits'?"),
        (TaskConfig(name="/nowhere/task.py:make"), "there is no file /nowhere/task.py"),
        (TaskConfig(name="npz"), "--data FILE.npz"),
        (TaskConfig(name="npz", data="/nowhere/data.npz"), "/nowhere/data.npz: no such file"),
    ],
)
def test_a_task_that_can_t_be_loaded_is_refused_with_its_own_message(task: TaskConfig, message: str) -> None:
    async def main() -> None:
        async with trained_by(task):
            pass

    with pytest.raises(LocalError) as caught:
        trio.run(main)
    assert message in str(caught.value)
    assert children(os.getpid()) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ('raise OSError("sensor is unplugged")', "OSError: sensor is unplugged"),
        ("return None", "AttributeError"),
        ("os._exit(4)", "died with status 4"),
        ("sys.exit(5)", "died with status 5"),
        ("Small.initial = lambda self: np.zeros(3, dtype=np.float32)", r"expected float32 of shape (4,)"),
        ("Small.initial = lambda self: np.zeros(4)", r"expected float32 of shape (4,)"),
    ],
)
def test_a_factory_that_breaks_is_refused_with_the_reason(tmp_path: Path, make: str, message: str) -> None:
    async def main() -> None:
        async with trained_by(TaskConfig(name=task_file(tmp_path, make=make))):
            pass

    with pytest.raises(LocalError) as caught:
        trio.run(main)
    assert message in str(caught.value)


def test_the_process_ends_with_its_daemon_and_not_with_a_signal_from_the_terminal(tmp_path: Path) -> None:
    async def body(training: Training, _: Vector) -> None:
        (process,) = children(os.getpid())
        assert os.getsid(process) != os.getsid(0)
        await training.stop()
        wait_for(lambda: not runs(process), "the training process is gone")

    with_small_task(task_file(tmp_path), body)


def test_a_long_training_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async def body(training: Training, initial: Vector) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(train, training, Train(1, initial, 1, 0.0))
            await trio.sleep(0.5)
            await training.stop()
            nursery.cancel_scope.cancel()

    with_small_task(task_file(tmp_path, train="time.sleep(3600)"), body)
