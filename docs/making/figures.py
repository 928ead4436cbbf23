"""The figures of the documentation, drawn from runs of the simulator: `python -m docs.making.figures` draws them anew.

Everything in them comes from a run; a seed makes them the same again. They are committed, so that the site, a clone and
a reader without matplotlib all have them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FOLDER = Path(__file__).parents[1] / "figures"
LATENCY, CRASH, FROM, TO = 0.12, 21.5, 20.0, 25.0
"""Of GOSSIP, and which part of its virtual time is shown."""
GOSSIP = f"""
nodes = 5
bootstraps = 2
[task]
name = "digits"
[gossip]
topology = "k-out:k=2"
[network]
latency = {LATENCY}
law = "fixed"
[devices]
seconds_per_step = 0.015
spread = 0.3
[time]
faulty = 30
healed = 20
[[faults]]
kind = "crash"
nodes = [3]
at = {CRASH}
lasts = 2.2
"""
MODEL = 400
"""Bytes: frames with a model have a thousand here, all others a hundred at most."""
BLUE, RED, GREY, PALE = "#00796b", "#c62828", "#616161", "#cfd8dc"


def main() -> None:
    """Draw all."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {
        "svg.hashsalt": "gossipfl", "svg.fonttype": "path", "font.size": 10, "axes.spines.top": False,
        "axes.spines.right": False, "savefig.facecolor": "white",
    }  # fmt: skip
    with TemporaryDirectory() as folder:
        partition(Path(folder))
        gossip(Path(folder))


def partition(folder: Path) -> None:
    """Accuracy while a mesh is cut into halves."""
    from matplotlib import pyplot as plt

    found = folder / "result.json"
    simulate("partition-heal", "--json", str(found))
    result = json.loads(found.read_text())
    time, series = result["series"]["time"], result["series"]
    figure, axes = plt.subplots(figsize=(7.2, 3.0), layout="constrained")
    cut = [at for at, parts in zip(time, series["parts"], strict=True) if parts > 1]
    axes.axvspan(cut[0], cut[-1], color=PALE, lw=0)
    axes.text(sum(cut) / len(cut), 0.12, "two halves", ha="center", color=GREY)
    axes.plot(time, series["mean_accuracy"], color=BLUE, label="mean of 16 nodes")
    axes.plot(time, series["worst_accuracy"], color=RED, lw=1, label="worst node")
    axes.axhline(0.2, color=GREY, lw=1, ls=":")
    axes.text(time[-1], 0.21, "a node alone: two digits of ten", ha="right", va="bottom", color=GREY)
    axes.set(xlabel="seconds", ylabel="accuracy", ylim=(0, 1), xlim=(0, time[-1]))
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.35), frameon=False)
    save(figure, "partition.svg")


def gossip(folder: Path) -> None:
    """What happens when, on five nodes: training, publishes, a crash."""
    from matplotlib import pyplot as plt

    (folder / "gossip.toml").write_text(GOSSIP)
    trace = folder / "trace"
    simulate(str(folder / "gossip.toml"), "--trace", str(trace))
    figure, axes = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
    began: dict[str, float] = {}
    takes: dict[str, float] = {}
    """How long a training takes on each node, which is always the same here; one that has joined begins untold."""
    for line in trace.read_text().splitlines():
        written, name, kind, *rest = line.split()
        now, row = float(written), int(name[1:])
        if not FROM - 1 < now < TO + 1:
            continue
        if kind == "TimerFired" and rest == ["publish"]:
            began[name] = now
        elif kind == "Trained" and (name in began or name in takes):
            begin = began.pop(name) if name in began else now - takes[name]
            takes[name] = now - begin
            axes.plot([begin, now], [row, row], color=BLUE, lw=7, solid_capstyle="butt")
        elif kind == "Received" and int(rest[2]) > MODEL:
            arrow = {"arrowstyle": "-|>", "color": GREY, "lw": 0.7, "shrinkA": 3, "shrinkB": 3}
            axes.annotate("", (now, row), (now - LATENCY, int(rest[1][1:])), arrowprops=arrow, annotation_clip=True)
        elif kind == "Started":
            axes.plot([began.pop(name), CRASH], [row, row], color=BLUE, lw=7, solid_capstyle="butt")
            axes.plot([CRASH, now], [row, row], color=RED, lw=2, ls=":")
            axes.plot([CRASH], [row], "x", color=RED, ms=9, mew=2)
            axes.plot([now], [row], "o", color=RED, ms=6)
    for row in range(5):
        axes.axhline(row, color=PALE, lw=1, zorder=0)
    axes.set(xlabel="seconds", xlim=(FROM, TO), ylim=(4.5, -0.5), yticks=range(5))
    axes.set_yticklabels([f"node {row}" for row in range(5)])
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    save(figure, "gossip.svg")


def simulate(*arguments: str) -> None:
    """A run, which must go well."""
    command = [sys.executable, "-m", "gossipfl", "sim", "run", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def save(figure: Any, name: str) -> None:
    """As SVG, the same bytes for the same figure."""
    figure.savefig(FOLDER / name, metadata={"Date": None, "Creator": None})
    text = (FOLDER / name).read_text()
    (FOLDER / name).write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


if __name__ == "__main__":
    main()
