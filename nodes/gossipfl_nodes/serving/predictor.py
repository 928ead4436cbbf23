"""The predicting process: the task, the model that was served last, and whoever asks for predictions on a unix socket.

A process of its own, so that no prediction waits for training or delays it. The daemon tells it on its standard input
that another model is in the slot. One thread, the main one, uses the task, in the order in which things are asked for;
requests that have gathered meanwhile are predicted together. A request that takes the process down costs what is being
asked then: the daemon starts another one.
"""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus

import msgspec
import numpy as np

from gossipfl.errors import LocalError
from gossipfl_nodes.control.answers import Inputs, Prediction, Version
from gossipfl_nodes.control.web.problems import Refusal
from gossipfl_nodes.daemon import worker
from gossipfl_nodes.serving.batches import ROWS, Rows, predicted, rows_in
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

    def __init__(self, inputs: Rows) -> None:
        self.inputs = inputs
        self.done = threading.Event()
        self.outputs: Rows | None = None
        self.version: Version | None = None
        self.error: LocalError | None = None


class Predictor:
    """Predicts in the thread that calls `run`, for others."""

    def __init__(self, at: worker.Loaded, version: Version) -> None:
        self._at, self._version = at, version
        self._asked: queue.SimpleQueue[_Job | Fresh] = queue.SimpleQueue()

    def listen(self) -> None:
        """Hear of models until the daemon has gone, and the process with it."""
        for fresh in self._at.asked(Fresh):
            self._asked.put(fresh)
        os._exit(0)

    def predict(self, body: bytes) -> bytes:
        """The answer to one request, both in JSON; from any thread but that of `run`.

        Raises:
            LocalError: the request is not allowed, or the task can't tell.
            Refusal: it is too large, or has waited too long.
        """
        try:
            request = msgspec.json.decode(body, type=Inputs)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise LocalError(str(error)) from None
        job = _Job(rows_in(request.inputs))
        self._asked.put(job)
        if not job.done.wait(PATIENCE):
            raise Refusal(HTTPStatus.GATEWAY_TIMEOUT, f"not within {PATIENCE:g} s: the task is slow, or many ask")
        if job.error is not None:
            raise job.error
        assert job.outputs is not None
        assert job.version is not None
        return msgspec.json.encode(Prediction(msgspec.Raw(msgspec.json.encode(job.outputs.tolist())), job.version))

    def run(self) -> None:
        """Predict for ever."""
        while True:
            jobs: list[_Job] = []
            asked: _Job | Fresh | None = self._asked.get()
            while isinstance(asked, _Job):
                jobs.append(asked)
                try:
                    asked = self._asked.get_nowait()
                except queue.Empty:
                    asked = None
            for together in _batches(jobs):
                self._answer(together)
            if asked is not None:
                self._at.vector[:] = self._at.slot
                self._version = asked.version
                self._at.answer(worker.Answer())

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
            jobs[0].error = error
        else:
            for job in jobs:
                job.outputs, outputs = outputs[: len(job.inputs)], outputs[len(job.inputs) :]
                job.version = self._version
        for job in jobs:
            job.done.set()


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
    first = next(at.asked(Fresh))
    at.vector[:] = at.slot
    at.answer(worker.Answer())
    predictor = Predictor(at, first.version)
    server = Server(socket.socket(fileno=int(descriptor)), PATH, ROOM, predictor.predict)
    for work in (predictor.listen, server.serve_forever):
        threading.Thread(target=work, daemon=True).start()
    predictor.run()


if __name__ == "__main__":
    main()
