"""The predicting process of a running daemon: asked on its own socket, beside a training that never ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gossipfl_nodes.control.web.unix import UnixConnection
from gossipfl_nodes.serving.predictor import PATH, ROOM
from gossipfl_nodes.serving.server import CONNECTIONS
from tests.nodes.support import GENEROUS, Daemon, wait_for

TASK = """
import time
import numpy as np
from gossipfl.model.schema import Schema, Tensor

class Endless:
    schema = Schema([Tensor("w", (2,))])

    def initial(self):
        return np.array([2, 3], np.float32)

    def train(self, vector, steps, rng):
        time.sleep(3600)

    def evaluate(self, vector):
        return {}

    def predict(self, vector, inputs):
        if inputs.max() == 9:
            raise ValueError("nine")
        if inputs.max() == 5:
            time.sleep(0.2)
        return np.stack([inputs @ vector, np.full(len(inputs), len(inputs))], axis=1)

def make(node): return Endless()
"""

SLOW = [[5, 0]]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """It has begun to train."""
    with tempfile.TemporaryDirectory(prefix="gfl-", dir="/tmp") as folder:
        (Path(folder) / "task.py").write_text(TASK)
        made = Daemon(Path(folder) / "home", task__name=f"{folder}/task.py:make", network__mdns="false")
        try:
            made.start()
            made.wait_until(lambda status: status["state"] == "learning", "it trains")
            yield made
            assert "Traceback" not in made.log()
        finally:
            made.kill()


def asked(connection: UnixConnection, inputs: Any, path: str = PATH, **headers: str) -> tuple[int, Any]:
    """Status and body of the answer."""
    connection.request("POST", path, json.dumps({"inputs": inputs}), headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def asked_alone(daemon: Daemon, inputs: Any) -> tuple[int, Any]:
    """As `asked`, over a connection of its own; after a while, unless it is the slow one."""
    time.sleep(0 if inputs == SLOW else 0.1)
    with closing(UnixConnection(str(daemon.home.predictions), GENEROUS)) as connection:
        return asked(connection, inputs)


@pytest.fixture
def connection(daemon: Daemon) -> Iterator[UnixConnection]:
    made = UnixConnection(str(daemon.home.predictions), GENEROUS)
    yield made
    made.close()


def test_predictions_come_while_training_goes_on_many_on_one_connection(connection: UnixConnection) -> None:
    asked(connection, [[0, 1]])
    kept = connection.sock
    for number in range(10, 30):
        status, answer = asked(connection, [[number, 1.0]])
        assert (status, answer["outputs"]) == (200, [[2 * number + 3, 1]])
    assert connection.sock is kept
    assert answer["version"]["age"] == 0


def test_those_who_ask_at_once_are_answered_together_and_each_gets_its_own(daemon: Daemon) -> None:
    """The first one takes a while; the others have gathered when it is over, and one of them can't be answered."""

    asks = [SLOW, *([[number, 1], [number, 2]] for number in range(10, 18)), [[1, 2, 3]]]
    with ThreadPoolExecutor(len(asks)) as pool:
        (_, first), *others, (status, refused) = pool.map(partial(asked_alone, daemon), asks)
    assert first["outputs"] == [[10, 1]]
    assert status == 400
    assert "shape (1, 3)" in refused["detail"]
    for (status, answer), inputs in zip(others, asks[1:], strict=False):
        assert status == 200
        assert [row[0] for row in answer["outputs"]] == [2 * row[0] + 3 * row[1] for row in inputs]
    assert max(row[1] for _, answer in others for row in answer["outputs"]) > 2, "some were predicted together"


def test_who_can_t_be_answered_spoils_nobody_else_s_answer(daemon: Daemon) -> None:
    with ThreadPoolExecutor(4) as pool:
        (_, _), *others = pool.map(partial(asked_alone, daemon), [SLOW, [[1, 1]], [[9, 1]], [[2, 1]]])
    assert [status for status, _ in others] == [200, 400, 200]
    assert "nine" in others[1][1]["detail"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/status", {}, 404),
        (PATH, {"Content-Length": str(ROOM + 1)}, 413),
        (PATH, {"Content-Length": "many"}, 411),
        (PATH, {"Content-Length": "-1"}, 411),
    ],
)
def test_what_is_not_allowed_is_told_and_the_next_connection_works(
    daemon: Daemon, connection: UnixConnection, path: str, headers: dict[str, str], status: int
) -> None:
    found, problem = asked(connection, [[1, 1]], path, **headers)
    assert (found, problem["status"]) == (status, status)
    assert asked_alone(daemon, [[1, 1]])[0] == 200


def test_what_is_no_request_for_a_prediction_is_told_so(daemon: Daemon, connection: UnixConnection) -> None:
    connection.request("GET", PATH)
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["status"]) == (501, 501)
    with closing(UnixConnection(str(daemon.home.predictions), GENEROUS)) as other:
        other.connect()
        other.sock.sendall(b"hello\r\n\r\n")
        assert b"400 Bad Request" in other.sock.recv(4096)


def test_one_connection_too_many_is_told_to_try_again(daemon: Daemon) -> None:
    held = [UnixConnection(str(daemon.home.predictions), GENEROUS) for _ in range(CONNECTIONS)]
    try:
        for connection in held:
            assert asked(connection, [[1, 1]])[0] == 200
        with closing(UnixConnection(str(daemon.home.predictions), GENEROUS)) as more:
            more.connect()  # and does not ask: it is told at once
            with closing(http.client.HTTPResponse(more.sock)) as response:
                response.begin()
                assert response.status == 503
                assert json.loads(response.read())["detail"] == f"{CONNECTIONS} are asking already"
    finally:
        for connection in held:
            connection.close()
    wait_for(lambda: asked_alone(daemon, [[1, 1]])[0] == 200, "room again")


def test_a_process_that_is_killed_is_replaced_when_somebody_asks(daemon: Daemon, connection: UnixConnection) -> None:
    assert asked(connection, [[1, 1]])[0] == 200
    _, predictor = sorted(daemon.workers())
    os.kill(predictor, signal.SIGKILL)
    with pytest.raises((http.client.HTTPException, OSError)):
        asked(connection, [[1, 1]])
    assert asked_alone(daemon, [[1, 1]])[0] == 200
    assert predictor not in daemon.workers()
    assert len(daemon.workers()) == 2
