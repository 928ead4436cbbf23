"""Training and evaluating in a process of their own, one request at a time.

There is one slot for a vector: what is asked for waits until it is free.
"""

from __future__ import annotations

import msgspec
import numpy as np
import trio

from gossipfl.errors import LocalError
from gossipfl.model.schema import Vector
from gossipfl.protocol.events import Train, Trained, TrainingFailed
from gossipfl_nodes.daemon.config import TaskConfig
from gossipfl_nodes.daemon.process import Fill, TaskProcess, copy
from gossipfl_nodes.daemon.worker import Answer, Request

LATER: Vector = np.empty(0, np.float32)
"""Stands for a start that could not be held."""


class Training(TaskProcess):
    """The training process of one task. A process that dies is started again at the next request."""

    def __init__(self, task: TaskConfig, rng: np.random.Generator) -> None:
        super().__init__("training", "gossipfl_nodes.daemon.worker", task, trains=task.trains)
        self._rng = rng
        self._turn = trio.Lock()
        """Held from a request to the end of its answer."""
        self._free = trio.Semaphore(1, max_value=1)
        """Taken while what is in the slot is needed. Whoever wants both takes this one first."""
        self.loss = float("nan")
        """Mean training loss of the last phase."""
        self.steps = 0
        """Local steps so far."""
        self.evaluation_seconds = 0.0
        """What the last evaluation took from training, waiting for its turn not counted."""

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
                await self.begin()
                if not start.size:
                    await fill(self.slot)
                elif start is not self.slot:  # that of a process that died
                    await copy(self.slot, start)
                await self.ask(Request("train", request.steps, int(self._rng.integers(2**63)), request.age))
                answer = await self.receive()
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
        """The metrics of the vector that `fill` writes into the slot. Not to be cancelled, but at the end.

        Raises:
            LocalError: the task can't tell.
        """
        answer = await self._evaluate(fill)
        if answer.error:
            raise LocalError(answer.error)
        self.evaluation_seconds = answer.seconds
        return answer.metrics

    async def _evaluate(self, fill: Fill) -> Answer:
        await self._free.acquire()
        taken = False
        try:
            async with self._turn:
                await self.begin()
                await fill(self.slot)
                await self.ask(Request("evaluate"))
                await self.receive()
                self.release()
                taken = True
                return await self.receive()
        finally:
            if not taken:
                self.release()
