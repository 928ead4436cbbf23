"""Where to train: in a process or in a thread beside the event loop? Measured by the delay that the loop suffers.

A task trains without a pause, 20 steps an exchange as a daemon does, while the loop asks to be woken every 5 ms and
notes how late it is. One task has 5 million parameters, where numpy lets go of the interpreter; the other has the 2,410
of digits, where it hardly does. The process is the daemon's own (`gossipfl_nodes.daemon.training`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import numpy as np
import trio

from gossipfl.protocol.events import Train, Trained
from gossipfl.tasks.load import load
from gossipfl.tasks.task import Node
from gossipfl_nodes.daemon.config import TaskConfig
from gossipfl_nodes.daemon.process import copy
from gossipfl_nodes.daemon.training import Training

SECONDS = 10.0
TICK = 0.005
STEPS = 20
TASK = """
import numpy as np
from gossipfl.tasks.mlp import MLP

def _task(features, hidden):
    rng = np.random.default_rng(0)
    x, y = rng.random((512, features), np.float32), rng.integers(0, 10, 512)
    return MLP(x, y, x, y, classes=10, hidden=hidden, lr=0.01)

def big(node): return _task(1000, (1800, 1700))
def tiny(node): return _task(64, (32,))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.py"
        path.write_text(TASK)
        for task, size in (("big", "5 M parameters"), ("tiny", "2,410 parameters")):
            for kind, run in (("nothing", _nothing), ("a thread", _thread), ("a process", _process)):
                exchanges, late = trio.run(run, f"{path}:{task}")
                print(
                    f"{size:17} training in {kind:9}  delay of the event loop: {percentiles(late)};"
                    f"  {exchanges * STEPS / SECONDS:.0f} steps/s"
                )


def percentiles(delays: list[float]) -> str:
    """Median, 99 %, and worst."""
    p50, p99 = np.percentile(delays, (50, 99)) * 1000
    return f"p50 {p50:5.2f} ms  p99 {p99:5.2f} ms  worst {max(delays) * 1000:6.2f} ms"


async def watch(delays: list[float]) -> None:
    """Note how late this task is woken, in seconds, for ever."""
    while True:
        due = trio.current_time() + TICK
        await trio.sleep_until(due)
        delays.append(trio.current_time() - due)


async def _delays(train: Callable[[], Awaitable[None]]) -> tuple[int, list[float]]:
    delays: list[float] = []
    exchanges = 0
    with trio.move_on_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, delays)
            while True:
                await train()
                exchanges += 1
    return exchanges, delays


async def _nothing(_: str) -> tuple[int, list[float]]:
    return await _delays(trio.sleep_forever)


async def _thread(name: str) -> tuple[int, list[float]]:
    task = load(name)(Node())
    start, rng = task.initial(), np.random.default_rng(0)

    def work() -> None:
        vector = start.copy()
        task.train(vector, STEPS, rng)
        np.subtract(vector, start, out=vector)

    async def train() -> None:
        await trio.to_thread.run_sync(work)

    return await _delays(train)


async def _process(name: str) -> tuple[int, list[float]]:
    training = Training(TaskConfig(name=name), np.random.default_rng(0))
    await training.start()
    _, _, initial = await training.introduce()
    vector = initial.copy()

    async def train() -> None:
        held = await training.hold(Train(0, vector, STEPS, 0.0))
        assert isinstance(await training.train(held, partial(copy, vector=vector)), Trained)
        training.release()

    try:
        return await _delays(train)
    finally:
        await training.stop()


if __name__ == "__main__":
    main()
