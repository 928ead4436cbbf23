"""A model of 100 MB between two daemons: delay of their event loops, memory at its height, bytes, and merges.

25 million parameters, of which training changes each a little. The daemons are real processes with real training
processes on loopback, in the default settings and in float32; delays are how late a task is woken that sleeps 5 ms at a
time beside the daemon. Memory is the most that the daemon's own process had resident, less that of one with a tiny
model, in vectors of 100 MB, and less x itself.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from bench.daemon.isolation import percentiles, watch
from gossipfl.errors import LocalError
from gossipfl.output.files import write_durably
from gossipfl_nodes.commands import client
from gossipfl_nodes.daemon import daemon
from gossipfl_nodes.daemon.config import load, template
from gossipfl_nodes.disk.home import Home
from gossipfl_nodes.network import identity
from gossipfl_nodes.observing.logs import Logs

LARGE, TINY = 25_000_000, 1000
MERGES = 20
"""Of each daemon, until it is looked at."""
PATIENCE = 240
"""Seconds."""
CODECS = ("int4+round-robin:5", "float32")
TASK = """
import numpy as np
from gossipfl.model.schema import Schema, Tensor
from gossipfl.tasks.task import Progress

class Walk:
    def __init__(self, size):
        self.schema = Schema([Tensor("w", (size,))])

    def initial(self):
        return np.random.default_rng(0).standard_normal(self.schema.size, np.float32)

    def train(self, vector, steps, rng):
        vector += np.float32(0.001) * rng.standard_normal(vector.size, np.float32)
        return Progress(steps, 0, 0.0)

    def evaluate(self, vector):
        return {}

    def predict(self, vector, inputs):
        return inputs
"""


def main() -> None:
    tiny = max(daemon_["high"] for daemon_ in exchange(TINY, CODECS[0]))
    print(f"a daemon with a tiny model: {tiny / 1e6:.0f} MB\n")
    print("codec              delay: p50     p99   worst   memory beside x   MB sent   merges   s per interval")
    for codec in CODECS:
        for found in exchange(LARGE, codec):
            vectors = (found["high"] - tiny) / (4 * LARGE) - 1
            print(
                f"{codec:16} {percentiles(found['delays'])} {vectors:9.1f} vectors {found['bytes_sent'] / 1e6:9.0f}"
                f"{found['merges']:9}{found['uptime'] / found['publishes']:17.1f}",
                flush=True,
            )


def exchange(size: int, codec: str) -> list[dict[str, Any]]:
    """Two daemons learn until both have merged so often; what each has to say."""
    with tempfile.TemporaryDirectory() as folder:
        task = Path(folder) / "walk.py"
        task.write_text(f"{TASK}\ndef walk(node): return Walk({size})\n")
        homes: list[Home] = []
        running: list[subprocess.Popen[str]] = []
        try:
            for name in "ab":
                home = Home(Path(folder) / name)
                home.create()
                identity.create(home.key)
                keys = {
                    "network.open": "true",
                    "network.listen": "/ip4/127.0.0.1/tcp/0",
                    "task.name": f"{task}:walk",
                    "gossip.codec": codec,
                }
                if homes:
                    keys["network.bootstrap"] = look(homes[0], bool)["addresses"][0]
                write_durably(home.config, template(keys).encode())
                homes.append(home)
                command = [sys.executable, "-m", "bench.daemon.large", str(home.path)]
                running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            ends = [look(home, lambda status: status.get("merges", 0) >= MERGES) for home in homes]
            for home in homes:
                client.post(home, "/v1/stop")
            said = [_figures(process.communicate()[0]) for process in running]
        finally:
            for process in running:
                process.kill()
        return [{**end, **more} for end, more in zip(ends, said, strict=True)]


def _figures(output: str) -> dict[str, Any]:
    """What `beside` printed, among the daemon's log lines."""
    found: dict[str, Any] = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    return found


def look(home: Home, good: Any) -> dict[str, Any]:
    """The daemon's status, as soon as that is `good`."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            status: dict[str, Any] = client.get(home, "/v1/status")
        except LocalError:
            status = {}
        if good(status):
            return status
        time.sleep(0.2)
    raise RuntimeError(f"{home.path}: not within {PATIENCE} s")


async def beside(home: Home) -> None:
    """Run a daemon, and note the delays of its event loop."""
    delays: list[float] = []
    loaded = load(home.config, os.environ, {})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, delays)
        await daemon.run(home, loaded, Logs(loaded.config.log.level))
        nursery.cancel_scope.cancel()
    print(json.dumps({"delays": delays, "high": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10}))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        trio.run(beside, Home(Path(sys.argv[1])))
    else:
        main()
