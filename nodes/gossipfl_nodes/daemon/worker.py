"""The training process: loads the task, and trains and evaluates what it is asked to on its standard input.

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
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec
import numpy as np

from gossipfl.errors import LocalError
from gossipfl.model.schema import Tensor, Vector
from gossipfl.tasks.load import load
from gossipfl.tasks.task import DEFAULT_STEPS, Node, Task, train

T = TypeVar("T")

SIZE = struct.Struct("=I")


class TaskInfo(msgspec.Struct):
    """What the daemon must know of the task."""

    tensors: tuple[Tensor, ...]
    steps: int


class Request(msgspec.Struct):
    """Train or evaluate the vector in the slot."""

    op: str
    steps: int = 0
    seed: int = 0
    age: float = 0.0


class Answer(msgspec.Struct):
    """`error` alone when it went wrong; after `train` the delta is in the slot.

    To `evaluate` there are two: an empty one when the slot is free again, and one with what was found.
    """

    error: str = ""
    info: TaskInfo | None = None
    steps: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    metrics: dict[str, float] = {}
    report: str = ""
    """In JSON, of an export."""


def slot_of(memory: int) -> Vector:
    """The vector in the shared `memory`, a file descriptor."""
    return np.frombuffer(mmap.mmap(memory, 0), dtype=np.float32)


class Loaded(msgspec.Struct):
    """What a process has when it has introduced itself."""

    task: Task
    vector: Vector
    """Its own, for what is in the slot."""
    slot: Vector
    requests: BinaryIO
    answers: BinaryIO

    def asked(self, kind: type[T]) -> Iterator[T]:
        """Requests, until the daemon has gone."""
        while len(head := self.requests.read(SIZE.size)) == SIZE.size:
            yield msgspec.msgpack.decode(self.requests.read(*SIZE.unpack(head)), type=kind)

    def answer(self, answer: Answer) -> None:
        """Send `answer`."""
        send(self.answers, answer)


def loaded(arguments: list[str]) -> tuple[Loaded | None, list[str]]:
    """Load the task, announce it with the initial vector in the slot; and the arguments that are left.

    None if it can't be loaded, which the daemon is told.

    Args:
        arguments: MEMORY TASK OPTIONS INDEX COUNT SEED DATA TRAINS …
    """
    memory, name, options, index, count, seed, data, trains, *more = arguments
    # What a task prints must not get between the answers, nor what it reads be taken from the requests.
    threading.Thread(target=_end_with_daemon, args=(os.getppid(),), daemon=True).start()
    requests, answers = os.fdopen(os.dup(sys.stdin.fileno()), "rb"), os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        node = Node(int(index), int(count), int(seed), Path(data) if data else None, bool(trains))
        task = load(name, msgspec.json.decode(options))(node)
        vector = np.array(task.initial())
        task.schema.check(vector)
        os.ftruncate(int(memory), vector.nbytes)
    except Exception as error:  # noqa: BLE001 - the task is the user's
        send(answers, Answer(error=explain(error)))
        return None, more
    slot = slot_of(int(memory))
    slot[:] = vector
    send(answers, Answer(info=TaskInfo(task.schema.tensors, getattr(task, "steps", DEFAULT_STEPS))))
    return Loaded(task, vector, slot, requests, answers), more


def serve(at: Loaded) -> None:
    """Train and evaluate until the daemon has gone."""
    task, vector, slot = at.task, at.vector, at.slot
    for request in at.asked(Request):
        vector[:] = slot
        try:
            if request.op == "train":
                answer = _train(task, request, vector)
                np.subtract(vector, slot, out=slot)
            else:
                at.answer(Answer())
                answer = _evaluate(task, vector)
        except Exception as error:  # noqa: BLE001 - the task is the user's
            answer = Answer(error=explain(error))
        at.answer(answer)


def _evaluate(task: Task, vector: Vector) -> Answer:
    begun = time.monotonic()
    metrics = {str(name): float(value) for name, value in task.evaluate(vector).items()}
    return Answer(metrics=metrics, seconds=time.monotonic() - begun)


def _train(task: Task, request: Request, vector: Vector) -> Answer:
    progress = train(task, vector, request.steps, np.random.default_rng(request.seed), request.age)
    if progress.steps < 1:
        raise LocalError(f"task {type(task).__name__}: train() reports {progress.steps} steps; at least 1 is allowed")
    return Answer(steps=int(progress.steps), loss=float(progress.loss))


def send(answers: BinaryIO, answer: Answer) -> None:
    """Write `answer`."""
    header = msgspec.msgpack.encode(answer)
    answers.write(SIZE.pack(len(header)) + header)
    answers.flush()


def explain(error: Exception) -> str:
    """What to tell the daemon of `error`; what is a bug of the task goes to the log as well."""
    if isinstance(error, LocalError):
        return str(error)
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}"


def _end_with_daemon(parent: int) -> None:
    """End when the daemon does, even in the middle of a training step."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main() -> None:
    """As `python -m gossipfl_nodes.daemon.worker`, with the arguments of `loaded`."""
    at, _ = loaded(sys.argv[1:])
    if at is not None:
        serve(at)


if __name__ == "__main__":
    main()
