"""Predictions beside training: what they take beyond the task's own call, how many one core answers, what they cost.

A real daemon of `digits` trains without a pause, 150 ms at a time, while its `predict.sock` is asked over a connection
that is kept. The bare call is made by this process in turn with the requests, so that both meet the same device. For
the rate, all that takes part, this process too, is kept on one core, and training rests. What training loses is the
middle of pairs of spells, with and without a hundred requests a second. On a device that does other things too, that
says little; so it stands there by the CPU time that training had as well, and with what part of a core requests took.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.daemon.isolation import percentiles
from gossipfl.tasks.digits import digits
from gossipfl.tasks.task import Node
from gossipfl_nodes.commands import client
from gossipfl_nodes.control.web.unix import UnixConnection
from gossipfl_nodes.demo.gauges import children, proportional_memory
from gossipfl_nodes.serving.batches import ROWS
from gossipfl_nodes.serving.predictor import PATH
from tests.nodes.support import Daemon

REQUESTS = 3000
SECONDS = 5.0
RATE = 100
"""Requests a second."""
SPELL, PAIRS = 1.0, 40
"""Seconds, and how many pairs of them."""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="gfl-", dir="/tmp") as folder:
        daemon = Daemon(Path(folder), network__mdns="false", gossip__interval="0.05", gossip__steps="2000")
        try:
            daemon.start()
            daemon.wait_until(lambda status: status["steps"] > 0, "it learns")
            connection = UnixConnection(str(daemon.home.predictions), timeout=60)
            rows = np.random.default_rng(0).random((ROWS, 64)).astype(np.float32)
            ask(connection, rows[:1])
            latency(connection, rows[:1])
            training(daemon, connection, rows[:1])
            client.post(daemon.home, "/v1/pause")
            time.sleep(1)  # for the phase that has begun
            with one_core(daemon):
                for many in (1, 16, ROWS):
                    print(f"one core, {many:3} rows a request: {rate(connection, rows[:many]):7.0f} predictions/s")
            _, predictor = sorted(children(daemon.pid))
            print(f"the predicting process: {(proportional_memory([predictor]) or 0) / 1e6:.0f} MB PSS")
        finally:
            daemon.kill()


def ask(connection: UnixConnection, rows: Any) -> Any:
    """What is answered for `rows`."""
    connection.request("POST", PATH, json.dumps({"inputs": rows.tolist()}))
    response = connection.getresponse()
    answer = response.read()
    assert response.status == 200, answer
    return json.loads(answer)


def latency(connection: UnixConnection, row: Any) -> None:
    """One row, asked for and predicted here, in turn; from an array to an array both."""
    task = digits(Node())
    vector = task.initial()
    asked, bare = [], []
    for _ in range(REQUESTS):
        asked.append(timed(lambda: ask(connection, row)))
        bare.append(timed(lambda: task.predict(vector, row)))
    print(f"one row while training:  asked for  {percentiles(asked)}")
    print(f"                         bare call  {percentiles(bare)}")
    print(
        f"                         beyond it  p50 {(statistics.median(asked) - statistics.median(bare)) * 1e3:5.2f} ms"
    )


def timed(work: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def rate(connection: UnixConnection, rows: Any) -> float:
    """Rows predicted a second, one request after the other."""
    done, begun = 0, time.perf_counter()
    while time.perf_counter() < begun + SECONDS:
        ask(connection, rows)
        done += len(rows)
    return done / (time.perf_counter() - begun)


def training(daemon: Daemon, connection: UnixConnection, row: Any) -> None:
    """What training gets done with and without requests, in turn."""
    trainer, predictor = (psutil.Process(pid) for pid in sorted(children(daemon.pid)))
    wall, work, taken = [], [], []
    for turn in range(PAIRS):
        spells = {}
        for asked in (turn % 2 == 0, turn % 2 == 1):  # what drifts meanwhile favours neither
            with asked_all_the_time(connection, row) if asked else nullcontext():
                before, begun = sum(predictor.cpu_times()[:2]), time.perf_counter()
                spells[asked] = spell(daemon, trainer)
                if asked:
                    taken.append((sum(predictor.cpu_times()[:2]) - before) / (time.perf_counter() - begun))
        wall.append(spells[True][0] / spells[False][0])
        work.append(spells[True][1] / spells[False][1])
    print(f"training under {RATE} requests/s keeps  {quartiles(wall)} of its steps/s")
    print(f"                                  and  {quartiles(work)} of its steps per second of CPU time")
    print(f"the requests take                      {quartiles(taken)} of a core")


def quartiles(values: list[float]) -> str:
    """The middle, and between what half of them lie."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:6.1%} ({low:.1%} to {high:.1%})"


def spell(daemon: Daemon, trainer: psutil.Process) -> tuple[float, float]:
    """Steps a second and steps per second of CPU time, from the end of a training phase to that of another."""
    first, begun, used = phase_end(daemon, trainer)
    time.sleep(SPELL)
    last, ended, more = phase_end(daemon, trainer)
    return (last - first) / (ended - begun), (last - first) / (more - used)


def phase_end(daemon: Daemon, trainer: psutil.Process) -> tuple[int, float, float]:
    """The number of steps when that changes, the moment, and the CPU time of training."""
    before = daemon.status()["steps"]
    while (now := daemon.status()["steps"]) == before:
        time.sleep(0.01)
    return now, time.perf_counter(), sum(trainer.cpu_times()[:2])


@contextmanager
def asked_all_the_time(connection: UnixConnection, row: Any) -> Iterator[None]:
    """RATE requests a second meanwhile."""
    over = threading.Event()

    def work() -> None:
        due = time.perf_counter()
        while not over.wait(max(0.0, due - time.perf_counter())):
            ask(connection, row)
            due += 1 / RATE

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def one_core(daemon: Daemon) -> Iterator[None]:
    """The daemon, its processes and this one on one core."""
    all_of_it = os.sched_getaffinity(0)
    for process in (0, daemon.pid, *children(daemon.pid)):
        for thread in os.listdir(f"/proc/{process or os.getpid()}/task"):
            os.sched_setaffinity(int(thread), {min(all_of_it)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_it)


if __name__ == "__main__":
    main()
