"""What a person waits for and a device carries: `gossipfl --help`, and a daemon with nothing to do."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gossipfl_nodes.commands import client
from gossipfl_nodes.demo.gauges import children
from gossipfl_nodes.disk.home import Home

RUNS = 15
IDLE_TASK = """
from gossipfl.tasks.mlp import MLP
import numpy as np

def idle(node):
    x, y = np.zeros((1, 4), np.float32), np.zeros(1, np.int64)
    return MLP(x, y, x, y, classes=2, steps=1)
"""


def main() -> None:
    script = Path(sys.executable).with_name("gossipfl")
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        subprocess.run([script, "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
    print(f"gossipfl --help       median {statistics.median(times):.3f} s, least {min(times):.3f} s of {RUNS}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        task = Path(folder) / "idle.py"
        task.write_text(IDLE_TASK)
        keys = {"network.listen": "/ip4/127.0.0.1/tcp/0", "task.name": f"{task}:idle", "gossip.interval": "3600"}
        flags = [part for key, value in keys.items() for part in (f"--{key}", value)]
        subprocess.run([str(script), "init", "--home", str(home), *flags], check=True, stdout=subprocess.DEVNULL)
        daemon = subprocess.Popen([script, "run", "--home", home], stderr=subprocess.DEVNULL)
        try:
            _wait_until_learning(Home(home))
            (worker,) = children(daemon.pid)
            print(f"idle daemon           {_memory(daemon.pid, 'Rss')} MB RSS, {_memory(daemon.pid, 'Pss')} MB PSS")
            print(
                f"its training process  {_memory(worker, 'Rss')} MB RSS, {_memory(worker, 'Pss')} MB PSS (numpy task)"
            )
        finally:
            daemon.terminate()
            daemon.wait()


def _wait_until_learning(home: Home) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if client.get(home, "/v1/status")["state"] == "learning":
                time.sleep(2)
                return
        except client.NotRunning:
            pass
        time.sleep(0.2)
    raise TimeoutError("the daemon did not begin to learn within 60 s")


def _memory(pid: int, kind: str) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kilobytes = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(f"{kind}:"))
    return round(kilobytes * 1024 / 1e6)


if __name__ == "__main__":
    os.environ.pop("GOSSIPFL_HOME", None)
    main()
