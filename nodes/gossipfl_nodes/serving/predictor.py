"""The predicting process: the task, the model that was served last, and whoever asks for predictions on a unix socket.

A process of its own, so that no prediction waits for training or delays it. The daemon tells it on its standard input
that another model is in the slot. Each connection has a thread, and one at a time has the task; it answers all requests
that have gathered meanwhile ("flat combining", Hendler et al., 2010), so that a lone one is not handed from thread to
thread, and many are predicted together. A request that takes the process down costs what is being asked then: the
daemon starts another one.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from http import HTTPStatus

import msgspec
import numpy as np

from gossipfl.errors import LocalError
from gossipfl_nodes.control.answers import Inputs, Prediction, Version
from gossipfl_nodes.control.web.problems import Refusal
from gossipfl_nodes.daemon import worker
from gossipfl_nodes.serving.batches import ROWS, Rows, predicted, rows_in
from gossipfl_nodes.serving.calibrating import Calibration
from gossipfl_nodes.serving.server import Server

PATH = "/v1/predict"
ROOM = 8 << 20
"""Bytes of a request: 32 for each number, more than any float32 takes in a row of its own."""
PATIENCE = 60.0
"""Seconds that a request waits for its answer."""


class Fresh(msgspec.Struct):
    """Another model is in the slot."""

    version: Version


class _Job:
    """One request, and what came of it."""

    def __init__(self, inputs: Rows, coverage: float | None) -> None:
        self.inputs, self.coverage = inputs, coverage
        self.answer: Prediction | LocalError | None = None


class Predictor:
    """Predicts for threads, from the model that is given to it."""

    def __init__(self, at: worker.Loaded, version: Version) -> None:
        self._at, self._version = at, version
        self._calibration = Calibration(at.task)
        self._turn = threading.Lock()
        self._waiting: deque[_Job] = deque()

    def renew(self, version: Version) -> None:
        """Predict from what is in the slot, from now on."""
        with self._turn:
            self._at.vector[:] = self._at.slot
            self._version = version
            self._calibration.forget()

    def predict(self, body: bytes) -> bytes:
        """The answer to one request, both in JSON.

        Raises:
            LocalError: the request is not allowed, or the task can't tell.
            Refusal: it is too large, or has waited too long.
        """
        try:
            request = msgspec.json.decode(body, type=Inputs)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise LocalError(str(error)) from None
        job = _Job(rows_in(request.inputs), request.coverage)
        self._waiting.append(job)
        if not self._turn.acquire(timeout=PATIENCE):
            raise Refusal(HTTPStatus.GATEWAY_TIMEOUT, f"not within {PATIENCE:g} s: the task is slow, or many ask")
        try:
            if job.answer is None:  # else by who had the turn before
                gathered = [self._waiting.popleft() for _ in range(len(self._waiting))]
                for together in _batches([job, *(other for other in gathered if other is not job)]):
                    self._answer(together)
        finally:
            self._turn.release()
        if isinstance(job.answer, LocalError):
            raise job.answer
        return msgspec.json.encode(job.answer)

    def _answer(self, jobs: list[_Job]) -> None:
        """Answer jobs whose rows have one shape; if that fails, each alone, as one may be the reason."""
        rows = np.concatenate([job.inputs for job in jobs]) if len(jobs) > 1 else jobs[0].inputs
        try:
            outputs = predicted(self._at.task, self._at.vector, rows)
        except LocalError as error:
            if len(jobs) > 1:
                for job in jobs:
                    self._answer([job])
                return
            jobs[0].answer = error
        else:
            for job in jobs:
                self._tell(job, outputs[: len(job.inputs)])
                outputs = outputs[len(job.inputs) :]

    def _tell(self, job: _Job, outputs: Rows) -> None:
        try:
            uncertainty = None
            if job.coverage is not None:
                uncertainty = self._calibration.uncertainty(self._at.vector, outputs, job.coverage)
            job.answer = Prediction(msgspec.Raw(msgspec.json.encode(outputs.tolist())), self._version, uncertainty)
        except LocalError as error:
            job.answer = error


def _batches(jobs: list[_Job]) -> Iterator[list[_Job]]:
    """`jobs` by the shape of their rows, so many together as have ROWS of them; who has more is alone."""
    alike: defaultdict[tuple[int, ...], list[_Job]] = defaultdict(list)
    for job in jobs:
        some = alike[job.inputs.shape[1:]]
        if some and sum(len(other.inputs) for other in some) + len(job.inputs) > ROWS:
            yield some.copy()
            some.clear()
        some.append(job)
    yield from alike.values()


def main() -> None:
    """As `python -m gossipfl_nodes.serving.predictor`, with the arguments of `worker.loaded` and a listening socket."""
    at, (descriptor,) = worker.loaded(sys.argv[1:])
    if at is None:
        return
    models = at.asked(Fresh)
    first = next(models)
    predictor = Predictor(at, first.version)
    predictor.renew(first.version)
    at.answer(worker.Answer())
    server = Server(socket.socket(fileno=int(descriptor)), PATH, ROOM, predictor.predict)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for fresh in models:
        predictor.renew(fresh.version)
        at.answer(worker.Answer())
    os._exit(0)  # whatever others do


if __name__ == "__main__":
    main()
