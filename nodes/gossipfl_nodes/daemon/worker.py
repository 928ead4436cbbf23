"""The training process: loads the task, and trains and evaluates what comes in on its standard input.

A process of its own, so that a training step never delays the event loop, a task that crashes doesn't take the daemon
along, and torch is loaded here only. It ends with its daemon.

    message = header_size:u32 header:msgpack vector:float32*    both ways; the header says how many bytes the vector has
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from gossipfl.errors import LocalError
from gossipfl.model.schema import Tensor, Vector
from gossipfl.tasks.load import load
from gossipfl.tasks.task import DEFAULT_STEPS, Node, Task, train

SIZE = struct.Struct("=I")


class TaskInfo(msgspec.Struct):
    """What the daemon must know of the task."""

    tensors: tuple[Tensor, ...]
    steps: int


class Request(msgspec.Struct):
    """Train or evaluate the vector that follows."""

    op: str
    bytes: int
    steps: int = 0
    seed: int = 0
    age: float = 0.0


class Answer(msgspec.Struct):
    """`error` alone when it went wrong; after `train` the vector that follows is the delta."""

    error: str = ""
    bytes: int = 0
    info: TaskInfo | None = None
    steps: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    metrics: dict[str, float] = {}


def serve(requests: BinaryIO, answers: BinaryIO, name: str, node: Node) -> None:
    """Load the task, announce it, and answer requests until their end."""
    try:
        task = load(name)(node)
        task.schema.check(task.initial())
        initial = np.ascontiguousarray(task.initial())
    except Exception as error:  # noqa: BLE001 - the task is the user's
        _send(answers, Answer(error=_explain(error)))
        return
    info = TaskInfo(task.schema.tensors, getattr(task, "steps", DEFAULT_STEPS))
    _send(answers, Answer(info=info, bytes=initial.nbytes), initial)
    start = np.empty_like(initial)
    while len(head := requests.read(SIZE.size)) == SIZE.size:
        request = msgspec.msgpack.decode(requests.read(*SIZE.unpack(head)), type=Request)
        requests.readinto(start.data)  # type: ignore[attr-defined]
        try:
            answer, vector = _do(task, request, start)
        except Exception as error:  # noqa: BLE001 - the task is the user's
            answer, vector = Answer(error=_explain(error)), None
        _send(answers, answer, vector)


def _do(task: Task, request: Request, start: Vector) -> tuple[Answer, Vector | None]:
    if request.op == "evaluate":
        begun = time.monotonic()
        metrics = {str(name): float(value) for name, value in task.evaluate(start).items()}
        return Answer(metrics=metrics, seconds=time.monotonic() - begun), None
    trained = start.copy()
    progress = train(task, trained, request.steps, np.random.default_rng(request.seed), request.age)
    trained -= start
    if progress.steps < 1:
        raise LocalError(f"task {type(task).__name__}: train() reports {progress.steps} steps; at least 1 is allowed")
    return Answer(steps=int(progress.steps), loss=float(progress.loss), bytes=trained.nbytes), trained


def _send(answers: BinaryIO, answer: Answer, vector: Vector | None = None) -> None:
    header = msgspec.msgpack.encode(answer)
    answers.write(SIZE.pack(len(header)) + header)
    if vector is not None:
        answers.write(vector.data)
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
    """As `python -m gossipfl_nodes.daemon.worker TASK INDEX COUNT SEED DATA`."""
    name, index, count, seed, data = arguments
    # What a task prints must not get between the answers, nor what it reads be taken from the requests.
    threading.Thread(target=_end_with_daemon, args=(os.getppid(),), daemon=True).start()
    requests, answers = os.fdopen(os.dup(sys.stdin.fileno()), "rb"), os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    node = Node(int(index), int(count), int(seed), Path(data) if data else None)
    serve(requests, answers, name, node)


if __name__ == "__main__":
    main(sys.argv[1:])
