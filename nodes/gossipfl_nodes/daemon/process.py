"""The daemon's end of a process that has the task loaded: requests out, answers back, and a vector in shared memory.

The vector's place is the slot, which both ends have mapped, so that a large model is copied into it and nowhere else.
What the requests mean is known to who asks, and to the process' own module.
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
from gossipfl_nodes.daemon.config import TaskConfig
from gossipfl_nodes.daemon.worker import SIZE, Answer, TaskInfo, slot_of

BIG_MODEL = 1 << 18
"""Parameters from which vector work takes longer than the event loop should wait (a quarter million: about 2 ms per
publish). It then runs in a thread, where numpy lets go of the interpreter."""

Fill: TypeAlias = Callable[[Vector], Awaitable[None]]
"""Writes a full vector into the one that it is given."""


async def copy(out: Vector, vector: Vector) -> None:
    """Write `vector` into `out`."""
    if vector.size < BIG_MODEL:
        np.copyto(out, vector)
    else:
        await trio.to_thread.run_sync(np.copyto, out, vector)


class TaskProcess:
    """A process that runs `module` with the task of this device.

    Args:
        does: what it is for, as in "training".
        module: run as `python -m`; it speaks as `worker` does.
        task: what it loads.
        trains: whether it is going to train, and needs the data for that.
        files: descriptors that it inherits; it is told their numbers.
    """

    def __init__(self, does: str, module: str, task: TaskConfig, *, trains: bool, files: tuple[int, ...] = ()) -> None:
        self._does, self._module, self._task, self._trains, self._files = does, module, task, trains, files
        self._process: trio.Process | None = None
        self._memory = -1
        self.slot: Vector = np.empty(0, np.float32)
        """Shared with the process."""

    async def start(self) -> None:
        """Start the process, which begins to load its task."""
        # One thread: nodes share their device, and more threads change the result from machine to machine.
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        # What loading the data took goes back to the device, 2 MB of a small task's 24.
        tidy = {"MALLOC_TRIM_THRESHOLD_": "65536"}
        task, memory = self._task, os.memfd_create("gossipfl")
        command = [sys.executable, "-m", self._module, str(memory), task.name]
        command += [msgspec.json.encode(task.options).decode(), str(task.index), str(task.count), str(task.seed)]
        command += [task.data, "trains" if self._trains else "", *map(str, self._files)]
        self._memory = memory
        try:
            self._process = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[memory, *self._files],
                env={**os.environ, **one_thread, **tidy},
                start_new_session=True,  # Ctrl-C in a terminal is for the daemon, which then ends us
            )
        except OSError as error:
            raise LocalError(f"the {self._does} process can't be started: {error.strerror}") from error

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
        answer = await self.receive()
        if answer.info is None:
            raise LocalError(answer.error)
        self.slot = slot_of(self._memory)
        return answer.info, Schema(answer.info.tensors), self.slot

    async def begin(self) -> None:
        """Have a process, with a slot of its own."""
        if self._process is None:
            await self.start()
            await self.introduce()

    async def ended(self) -> int:
        """Wait for the end of the process; its status."""
        assert self._process is not None
        return await self._process.wait()

    async def ask(self, request: msgspec.Struct) -> None:
        """Send `request`."""
        assert self._process is not None
        assert self._process.stdin is not None
        header = msgspec.msgpack.encode(request)
        with contextlib.suppress(trio.BrokenResourceError):  # it died; what it answers, or doesn't, says so
            await self._process.stdin.send_all(SIZE.pack(len(header)) + header)

    async def receive(self) -> Answer:
        """The next answer.

        Raises:
            LocalError: the process died.
        """
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
                raise LocalError(f"the {self._does} process died with status {status}")
            data += chunk
        return data

    def _forget(self) -> None:
        """The process is gone; its slot stays where it is still held."""
        if self._process is not None:
            self._process = None
            os.close(self._memory)
