"""Predictions by way of the control API: passed on to the predicting process, and its answer back.

For who has the control API already, or comes over TCP; `run/predict.sock` in the daemon's home takes less.
"""

from __future__ import annotations

import http.client
from http import HTTPStatus
from pathlib import Path

import msgspec
import trio

from gossipfl.errors import LocalError
from gossipfl_nodes.control.answers import Inputs, Prediction
from gossipfl_nodes.control.web.problems import Problem, Refusal
from gossipfl_nodes.control.web.unix import UnixConnection
from gossipfl_nodes.serving.predictor import PATH, PATIENCE

WAITING = 8
"""Requests at a time, each of which has a thread of the daemon wait for it."""
LOADING = 20.0
"""Seconds more that the first request may take, which has the process started."""


class Predictions:
    """Passes requests on to the socket `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = trio.CapacityLimiter(WAITING)

    async def predict(self, body: Inputs) -> Prediction:
        """Outputs of the served model for inputs, with which model that was."""
        if not self._threads.available_tokens:
            detail = f"{WAITING} requests wait already"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "5"})
        return await trio.to_thread.run_sync(  # type: ignore[call-arg]  # stubs of an older trio
            self._ask, body, limiter=self._threads, abandon_on_cancel=True
        )

    def _ask(self, body: Inputs) -> Prediction:
        connection = UnixConnection(str(self._path), PATIENCE + LOADING)
        try:
            connection.request("POST", PATH, msgspec.json.encode(body))
            response = connection.getresponse()
            answer = response.read()
        except TimeoutError:
            raise Refusal(HTTPStatus.GATEWAY_TIMEOUT, "the predicting process does not answer") from None
        except (OSError, http.client.HTTPException):
            raise LocalError("the predicting process died of it; the daemon's log may say why") from None
        finally:
            connection.close()
        if response.status == HTTPStatus.OK:
            return msgspec.json.decode(answer, type=Prediction)
        raise Refusal(HTTPStatus(response.status), msgspec.json.decode(answer, type=Problem).detail)
