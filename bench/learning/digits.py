"""The demo, measured: eight daemons, two classes each, 60 s; undisturbed, and with two of them killed halfway."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SEEDS = (0, 1, 2)


def main() -> None:
    print("              seed  mean   worst  central  local  all training  longest gap  restarted: accuracy, rebases")
    for title, options in (("undisturbed", []), ("--kill 2", ["--kill", "2"])):
        for seed in SEEDS:
            result = run(["--seconds", "60", "--seed", str(seed), *options])
            stayed = [node for node in result["nodes"] if not node["restarts"]]
            gap = max(node["longest_gap"] for node in stayed)
            back = [f"{node['accuracy']:.3f}, {node['rebases']}" for node in result["nodes"] if node["restarts"]]
            print(
                f"{title:13} {seed:4}  {result['mean_accuracy']:.3f}  {result['worst_accuracy']:.3f}"
                f"  {result['central_accuracy']:.3f}    {result['local_only_accuracy']:.3f}"
                f"  {result['seconds_to_all_training']:.1f} s         {gap:.1f} s"
                f"        {'; '.join(back) or '–'}",
                flush=True,
            )


def run(options: list[str], namespace: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """The demo's JSON; if asked for, in a network namespace of its own, where loopback counts nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        command = [sys.executable, "-m", "gossipfl", "demo", *options, "--json", str(file)]
        if namespace:
            command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not file.exists():
            raise RuntimeError(done.stderr)
        result: dict[str, Any] = json.loads(file.read_text())
        return result


if __name__ == "__main__":
    main()
