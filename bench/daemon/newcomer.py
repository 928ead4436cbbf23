"""A newcomer's first minutes: clone, set up, and have eight daemons learn, as the README says.

Twice: with an empty cache of pip's, and with what the first time has left there. Where the index is near, or does not
let itself be cached, they differ by what is compiled and not by what is downloaded; so CPU time is told as well.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
TARGET = 0.9
ROW = "{:<8} {:<22} {:>8} {:>8}"


def main() -> None:
    print(ROW.format("cache", "step", "seconds", "CPU"))
    with TemporaryDirectory() as folder:
        for cache in ("empty", "full"):
            steps = list(arrive(Path(folder) / cache, Path(folder) / "pip"))
            steps.append(("all of it", sum(step[1] for step in steps), sum(step[2] for step in steps)))
            for step, seconds, cpu in steps:
                print(ROW.format(cache, step, f"{seconds:.1f}", f"{cpu:.1f}"), flush=True)


def arrive(home: Path, cache: Path) -> Iterator[tuple[str, float, float]]:
    """Each step, its seconds, and its CPU seconds."""
    clone, result = home / "gossipfl", home / "result.json"
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("GOSSIPFL_", "PYTHON", "VIRTUAL"))
    }
    environment = {**kept, "PIP_CACHE_DIR": str(cache)}
    demo = f"--until {TARGET} --json {result}"
    steps = {
        "git clone": ["git", "clone", "--quiet", str(ROOT), str(clone)],
        "make setup": ["make", "--silent", "--directory", str(clone), "setup"],
        "make demo": ["make", "--silent", "--directory", str(clone), "demo", f"DEMO={demo}"],
    }
    for step, command in steps.items():
        began, used = time.monotonic(), spent()
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield step, time.monotonic() - began, spent() - used
    reached = json.loads(result.read_text())["mean_accuracy"]
    assert reached >= TARGET, f"the mesh came to {reached} only"


def spent() -> float:
    """CPU seconds of processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
