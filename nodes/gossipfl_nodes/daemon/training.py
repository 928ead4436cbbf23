"""The daemon's end of the training process: vectors out, deltas and metrics back, one request at a time."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import numpy as np
import trio

from gossipfl.errors import LocalError
from gossipfl.model.schema import Schema, Vector
from gossipfl.protocol.events import Train, Trained, TrainingFailed
from gossipfl_nodes.daemon.config import TaskConfig
from gossipfl_nodes.daemon.worker import SIZE, Answer, Request, TaskInfo


class Training:
    """The training process of one task. A process that dies is started again at the next request."""

    def __init__(self, task: TaskConfig, rng: np.random.Generator) -> None:
        self._command = [sys.executable, "-m", "gossipfl_nodes.daemon.worker"]
        self._command += [task.name, str(task.index), str(task.count), str(task.seed), task.data]
        self._rng = rng
        self._lock = trio.Lock()
        self._process: trio.Process | None = None
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
        try:
            self._process = await trio.lowlevel.open_process(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
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

    async def introduce(self) -> tuple[TaskInfo, Schema, Vector]:
        """What the process says first: about its task, and the initial vector.

        Raises:
            LocalError: the task can't be loaded.
        """
        answer, raw = await self._receive()
        if answer.info is None:
            raise LocalError(answer.error)
        return answer.info, Schema(answer.info.tensors), np.frombuffer(raw, dtype=np.float32)

    async def train(self, request: Train) -> Trained | TrainingFailed:
        """Train as asked; the answer is an event for the peer."""
        seed = int(self._rng.integers(2**63))
        try:
            wanted = Request("train", request.start.nbytes, request.steps, seed, request.age)
            answer, raw = await self._ask(wanted, request.start)
        except LocalError as error:
            return TrainingFailed(request.training, str(error))
        if answer.error:
            return TrainingFailed(request.training, answer.error)
        self.loss = answer.loss
        self.steps += answer.steps
        return Trained(request.training, np.frombuffer(raw, dtype=np.float32), answer.steps)

    async def evaluate(self, vector: Vector) -> dict[str, float]:
        """The metrics of `vector`.

        Raises:
            LocalError: the task can't tell.
        """
        answer, _ = await self._ask(Request("evaluate", vector.nbytes), vector)
        if answer.error:
            raise LocalError(answer.error)
        self.evaluation_seconds = answer.seconds
        return answer.metrics

    async def _ask(self, request: Request, vector: Vector) -> tuple[Answer, bytearray]:
        async with self._lock:
            if self._process is None:
                await self.start()
                await self.introduce()
            assert self._process is not None
            assert self._process.stdin is not None
            header = msgspec.msgpack.encode(request)
            try:
                await self._process.stdin.send_all(SIZE.pack(len(header)) + header)
                await self._process.stdin.send_all(vector.data.cast("B"))
            except trio.BrokenResourceError:
                pass  # it died; what it answers, or doesn't, says so
            return await self._receive()

    async def _receive(self) -> tuple[Answer, bytearray]:
        (size,) = SIZE.unpack(await self._read(SIZE.size))
        answer = msgspec.msgpack.decode(await self._read(size), type=Answer)
        return answer, await self._read(answer.bytes)

    async def _read(self, size: int) -> bytearray:
        assert self._process is not None
        assert self._process.stdout is not None
        data = bytearray(size)
        filled = 0
        while filled < size:
            chunk = await self._process.stdout.receive_some(min(size - filled, 1 << 20))
            if not chunk:
                status = await self._process.wait()
                self._process = None
                raise LocalError(f"the training process died with status {status}")
            data[filled : filled + len(chunk)] = chunk
            filled += len(chunk)
        return data
