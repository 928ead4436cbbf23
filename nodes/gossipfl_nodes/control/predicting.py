"""Predicting from the served model, in the training process, one request after the other.

Sizes are checked before anything is made of a request's JSON. A client that goes away leaves nothing half done:
requests wait in a short queue, and what is asked of the process is never broken off.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec
import numpy as np
import trio

from gossipfl.errors import LocalError
from gossipfl.model.schema import Vector
from gossipfl.protocol.peer import Peer
from gossipfl_nodes.control.answers import Inputs, Prediction, Version
from gossipfl_nodes.control.view import version
from gossipfl_nodes.control.web.problems import Refusal
from gossipfl_nodes.daemon.driver import Driver
from gossipfl_nodes.daemon.training import Training, copy
from gossipfl_nodes.daemon.worker import MAX_VALUES, Values

ROOM = 8 << 20
"""Bytes of a request: 32 for each number, more than any float32 takes in a row of its own."""
WAITING = 8
"""Requests, beside the one that is being answered."""
PATIENCE = 60.0
"""Seconds that a client waits: a prediction comes after the training phase that has begun."""


class _Job:
    """One request, and what came of it."""

    def __init__(self, inputs: Values) -> None:
        self.inputs = inputs
        self.done = trio.Event()
        self.version: Version | None = None
        self.outputs: Values | None = None
        self.error = ""


class Predictions:
    """Answers requests for as long as `run` does."""

    def __init__(self, peer: Peer, driver: Driver, training: Training) -> None:
        self._peer, self._driver, self._training = peer, driver, training
        self._ask, self._asked = trio.open_memory_channel[_Job](WAITING)

    async def run(self) -> None:
        """Take up one request after the other."""
        async for job in self._asked:

            async def fill(out: Vector, job: _Job = job) -> None:
                async with self._driver.steady:
                    job.version = version(self._peer)
                    await copy(out, self._peer.replica.full_served())

            try:
                job.outputs = await self._training.predict(job.inputs, fill)
            except LocalError as error:
                job.error = str(error)
            job.done.set()

    async def predict(self, body: Inputs) -> Prediction:
        """Outputs of the served model for inputs, with which model that was."""
        job = _Job(await trio.to_thread.run_sync(_values, body))
        try:
            self._ask.send_nowait(job)
        except trio.WouldBlock:
            detail = f"{WAITING} requests wait already"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "5"}) from None
        with trio.move_on_after(PATIENCE):
            await job.done.wait()
        if not job.done.is_set():
            detail = f"not within {PATIENCE:g} s: a training phase takes that long; gossipfl pause helps"
            raise Refusal(HTTPStatus.GATEWAY_TIMEOUT, detail)
        if job.outputs is None or job.version is None:
            raise LocalError(job.error)
        return Prediction(job.outputs.array.tolist(), job.version)


def _values(body: Inputs) -> Values:
    """The inputs as an array, if they are one.

    Raises:
        Refusal: they are too many.
        LocalError: they are not numbers in rows of equal shape.
    """
    raw = bytes(body.inputs)
    if raw.count(b",") >= MAX_VALUES or raw.count(b"[") > MAX_VALUES + 1:  # before there are numbers, and lists of them
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"inputs: at most {MAX_VALUES} numbers are allowed at once")
    try:
        found = np.array(msgspec.json.decode(raw, type=list))
        if found.dtype.kind not in "iuf" or not found.size:
            raise ValueError("not numbers only")
        with np.errstate(over="ignore"):
            inputs = found.astype(np.float32)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise LocalError(f"inputs: {error}; allowed are nested lists of numbers, a row for each input") from None
    if not np.isfinite(inputs).all():
        raise LocalError("inputs: a number is beyond what float32 holds")
    return Values.of(inputs)
