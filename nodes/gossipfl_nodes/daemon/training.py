"""The daemon's end of the training process: requests out, answers back, one at a time, and vectors in shared memory.

There is one slot for a vector, which both ends have mapped, so that a large model is copied into it and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec
import numpy as np
import trio

from gossipfl.errors import LocalError
from gossipfl.model.schema import Schema, Vector
from gossipfl.protocol.events import Train, Trained, TrainingFailed
from gossipfl_nodes.daemon.config import TaskConfig
from gossipfl_nodes.daemon.worker import SIZE, Answer, Request, TaskInfo, Values, slot_of

BIG_MODEL = 1 << 18
"""Parameters from which vector work takes longer than the event loop should wait (a quarter million: about 2 ms per
publish). It then runs in a thread, where numpy lets go of the interpreter."""


Fill: TypeAlias = Callable[[Vector], Awaitable[None]]
"""Writes a full vector into the one that it is given."""
LATER: Vector = np.empty(0, np.float32)
"""Stands for a start that could not be held."""


async def copy(out: Vector, vector: Vector) -> None:
    """Write `vector` into `out`."""
    if vector.size < BIG_MODEL:
        np.copyto(out, vector)
    else:
        await trio.to_thread.run_sync(np.copyto, out, vector)


class Training:
    """The training process of one task. A process that dies is started again at the next request."""

    def __init__(self, task: TaskConfig, rng: np.random.Generator) -> None:
        self._task = task
        self._rng = rng
        self._turn = trio.Lock()
        """Held from a request to the end of its answer."""
        self._free = trio.Semaphore(1, max_value=1)
        """Taken while what is in the slot is needed. Whoever wants both takes this one first."""
        self._process: trio.Process | None = None
        self._memory = -1
        self.slot: Vector = np.empty(0, np.float32)
        """Shared with the process."""
        self.loss = float("nan")
        """Mean training loss of the last phase."""
        self.steps = 0
        """Local steps so far."""
        self.evaluation_seconds = 0.0
        """What the last evaluation took from training, waiting for its turn not counted."""

    async def start(self) -> None:
        """Start the process, which begins to load its task."""
        # One thread: nodes share their device, and more threads change the result from machine to machine.
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        # What loading the data took goes back to the device, 2 MB of a small task's 24.
        tidy = {"MALLOC_TRIM_THRESHOLD_": "65536"}
        task, memory = self._task, os.memfd_create("gossipfl")
        command = [sys.executable, "-m", "gossipfl_nodes.daemon.worker", str(memory)]
        command += [task.name, msgspec.json.encode(task.options).decode()]
        command += [str(task.index), str(task.count), str(task.seed), task.data]
        self._memory = memory
        try:
            self._process = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[memory],
                env={**os.environ, **one_thread, **tidy},
                start_new_session=True,  # Ctrl-C in a terminal is for the daemon, which then ends us
            )
        except OSError as error:
            raise LocalError(f"the training process can't be started: {error.strerror}") from error

    async def stop(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._forget()

    async def introduce(self) -> tuple[TaskInfo, Schema, Vector]:
        """What the process says first: about its task, and the initial vector, which is there until a first request.

        Raises:
            LocalError: the task can't be loaded.
        """
        answer = await self._receive()
        if answer.info is None:
            raise LocalError(answer.error)
        self.slot = slot_of(self._memory)
        return answer.info, Schema(answer.info.tensors), self.slot

    async def hold(self, request: Train) -> Train:
        """`request` with its start in the slot, where it stays as it is; or with an empty one, if that is not free."""
        try:
            self._free.acquire_nowait()
        except trio.WouldBlock:
            return msgspec.structs.replace(request, start=LATER)
        await copy(self.slot, request.start)
        return msgspec.structs.replace(request, start=self.slot)

    async def train(self, request: Train, fill: Fill) -> Trained | TrainingFailed:
        """Train as asked; the answer is an event for the peer. After Trained, `release` says that it was handled.

        A start that could not be held is what `fill` writes into the slot when it is free: the model as it is then.
        """
        start = request.start
        if not start.size:
            await self._free.acquire()
        try:
            async with self._turn:
                await self._begin()
                if not start.size:
                    await fill(self.slot)
                elif start is not self.slot:  # that of a process that died
                    await copy(self.slot, start)
                await self._ask(Request("train", request.steps, int(self._rng.integers(2**63)), request.age))
                answer = await self._receive()
            if answer.error:
                raise LocalError(answer.error)
        except LocalError as error:
            self.release()
            return TrainingFailed(request.training, str(error))
        self.loss = answer.loss
        self.steps += answer.steps
        return Trained(request.training, self.slot, answer.steps)

    def release(self) -> None:
        """What was trained is not needed any more."""
        self._free.release()

    async def evaluate(self, fill: Fill) -> dict[str, float]:
        """The metrics of the vector that `fill` writes into the slot.

        Raises:
            LocalError: the task can't tell.
        """
        answer = await self._examine(Request("evaluate"), fill)
        self.evaluation_seconds = answer.seconds
        return answer.metrics

    async def predict(self, inputs: Values, fill: Fill) -> Values:
        """Outputs for `inputs`, at most MAX_VALUES both, of the vector that `fill` writes into the slot.

        Raises:
            LocalError: the task can't tell.
        """
        answer = await self._examine(Request("predict", inputs=inputs), fill)
        assert answer.outputs is not None
        return answer.outputs

    async def _examine(self, request: Request, fill: Fill) -> Answer:
        """What the task says of the vector that `fill` writes into the slot. Not to be cancelled, but at the end."""
        await self._free.acquire()
        taken = False
        try:
            async with self._turn:
                await self._begin()
                await fill(self.slot)
                await self._ask(request)
                await self._receive()
                self.release()
                taken = True
                answer = await self._receive()
        finally:
            if not taken:
                self.release()
        if answer.error:
            raise LocalError(answer.error)
        return answer

    async def _begin(self) -> None:
        """Have a process, with a slot of its own."""
        if self._process is None:
            await self.start()
            await self.introduce()

    async def _ask(self, request: Request) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        header = msgspec.msgpack.encode(request)
        with contextlib.suppress(trio.BrokenResourceError):  # it died; what it answers, or doesn't, says so
            await self._process.stdin.send_all(SIZE.pack(len(header)) + header)

    async def _receive(self) -> Answer:
        (size,) = SIZE.unpack(await self._read(SIZE.size))
        return msgspec.msgpack.decode(await self._read(size), type=Answer)

    async def _read(self, size: int) -> bytes:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        data = b""
        while len(data) < size:
            chunk = await process.stdout.receive_some(size - len(data))
            if not chunk:
                status = await process.wait()
                self._forget()
                raise LocalError(f"the training process died with status {status}")
            data += chunk
        return data

    def _forget(self) -> None:
        """The process is gone; its slot stays where it is still held."""
        if self._process is not None:
            self._process = None
            os.close(self._memory)
