"""The training process: loads the task, and trains and evaluates what comes in on its standard input.

A process of its own, so that a training step never delays the event loop, a task that crashes doesn't take the daemon
along, and torch is loaded here only. It ends with its daemon.

    message = header_size:u32 header:msgpack    both ways

Vectors don't go through the pipes: daemon and worker share memory for one, the slot. What to train or evaluate lies
there when it is asked for, and the delta when it is answered.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt

from gossipfl.errors import LocalError
from gossipfl.model.schema import Tensor, Vector
from gossipfl.tasks.load import load
from gossipfl.tasks.task import DEFAULT_STEPS, Node, Task, train

SIZE = struct.Struct("=I")
MAX_VALUES = 1 << 18
"""Numbers that may go in, or come out, at once: an image of 3 × 295 × 295, or thousands of windows of a sensor."""
ROWS = 256
"""Inputs that a task is given at a time, since what it makes of them may be large."""


class TaskInfo(msgspec.Struct):
    """What the daemon must know of the task."""

    tensors: tuple[Tensor, ...]
    steps: int


class Values(msgspec.Struct):
    """An array of float32, in C order."""

    shape: tuple[int, ...]
    content: bytes

    @classmethod
    def of(cls, array: npt.NDArray[np.float32]) -> Values:
        """Those of `array`."""
        return cls(array.shape, np.ascontiguousarray(array, np.float32).tobytes())

    @property
    def array(self) -> npt.NDArray[np.float32]:
        """A new array of them."""
        return np.frombuffer(self.content, np.float32).reshape(self.shape).copy()


class Request(msgspec.Struct):
    """Train or evaluate the vector in the slot, or predict from it."""

    op: str
    steps: int = 0
    seed: int = 0
    age: float = 0.0
    inputs: Values | None = None


class Answer(msgspec.Struct):
    """`error` alone when it went wrong; after `train` the delta is in the slot.

    To `evaluate` and `predict` there are two: an empty one when the slot is free again, and one with what was found.
    """

    error: str = ""
    info: TaskInfo | None = None
    steps: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    metrics: dict[str, float] = {}
    outputs: Values | None = None


def slot_of(memory: int) -> Vector:
    """The vector in the shared `memory`, a file descriptor."""
    return np.frombuffer(mmap.mmap(memory, 0), dtype=np.float32)


def serve(requests: BinaryIO, answers: BinaryIO, memory: int, name: str, options: dict[str, Any], node: Node) -> None:
    """Load the task, announce it with the initial vector in the slot, and answer requests until their end."""
    try:
        task = load(name, options)(node)
        vector = np.array(task.initial())
        task.schema.check(vector)
        os.ftruncate(memory, vector.nbytes)
    except Exception as error:  # noqa: BLE001 - the task is the user's
        _send(answers, Answer(error=_explain(error)))
        return
    slot = slot_of(memory)
    slot[:] = vector
    _send(answers, Answer(info=TaskInfo(task.schema.tensors, getattr(task, "steps", DEFAULT_STEPS))))
    while len(head := requests.read(SIZE.size)) == SIZE.size:
        request = msgspec.msgpack.decode(requests.read(*SIZE.unpack(head)), type=Request)
        vector[:] = slot
        try:
            if request.op == "train":
                answer = _train(task, request, vector)
                np.subtract(vector, slot, out=slot)
            else:
                _send(answers, Answer())
                answer = _evaluate(task, vector) if request.inputs is None else _predict(task, vector, request.inputs)
        except Exception as error:  # noqa: BLE001 - the task is the user's
            answer = Answer(error=_explain(error))
        _send(answers, answer)


def _evaluate(task: Task, vector: Vector) -> Answer:
    begun = time.monotonic()
    metrics = {str(name): float(value) for name, value in task.evaluate(vector).items()}
    return Answer(metrics=metrics, seconds=time.monotonic() - begun)


def _predict(task: Task, vector: Vector, inputs: Values) -> Answer:
    rows, found = inputs.array, []
    try:
        for start in range(0, len(rows), ROWS):
            batch = rows[start : start + ROWS]
            outputs = np.asarray(task.predict(vector, batch), np.float32)
            if outputs.shape[:1] != batch.shape[:1]:
                return Answer(
                    error=f"the task predicts {outputs.shape} for {len(batch)} inputs; a row for each is allowed"
                )
            found.append(outputs)
            if (size := outputs[:1].size * len(rows)) > MAX_VALUES:
                return Answer(
                    error=f"the outputs are {size} values; at most {MAX_VALUES} are allowed, so give fewer inputs"
                )
        return Answer(outputs=Values.of(np.concatenate(found)))
    except Exception as error:  # noqa: BLE001 - the task is the user's, and so is what it is given
        return Answer(
            error=f"the task can't predict from inputs of shape {rows.shape}: {type(error).__name__}: {error}"
        )


def _train(task: Task, request: Request, vector: Vector) -> Answer:
    progress = train(task, vector, request.steps, np.random.default_rng(request.seed), request.age)
    if progress.steps < 1:
        raise LocalError(f"task {type(task).__name__}: train() reports {progress.steps} steps; at least 1 is allowed")
    return Answer(steps=int(progress.steps), loss=float(progress.loss))


def _send(answers: BinaryIO, answer: Answer) -> None:
    header = msgspec.msgpack.encode(answer)
    answers.write(SIZE.pack(len(header)) + header)
    answers.flush()


def _explain(error: Exception) -> str:
    if isinstance(error, LocalError):
        return str(error)
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}"


def _end_with_daemon(parent: int) -> None:
    """End when the daemon does, even in the middle of a training step."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main(arguments: list[str]) -> None:
    """As `python -m gossipfl_nodes.daemon.worker MEMORY TASK OPTIONS INDEX COUNT SEED DATA`."""
    memory, name, options, index, count, seed, data = arguments
    # What a task prints must not get between the answers, nor what it reads be taken from the requests.
    threading.Thread(target=_end_with_daemon, args=(os.getppid(),), daemon=True).start()
    requests, answers = os.fdopen(os.dup(sys.stdin.fileno()), "rb"), os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    node = Node(int(index), int(count), int(seed), Path(data) if data else None)
    serve(requests, answers, int(memory), name, msgspec.json.decode(options), node)


if __name__ == "__main__":
    main(sys.argv[1:])
