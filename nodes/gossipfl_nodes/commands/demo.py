"""The command that shows it all: a mesh of real daemons on this machine."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output.files import write_durably
from gossipfl.tasks.load import find, load, options_of, parse
from gossipfl.tasks.task import Node
from gossipfl_nodes.commands import options
from gossipfl_nodes.daemon.config import KEYS, template
from gossipfl_nodes.demo import baselines, gauges, report
from gossipfl_nodes.demo.display import Display, print_result
from gossipfl_nodes.demo.mesh import Member, Mesh, Plan
from gossipfl_topology.errors import TopologyError
from gossipfl_topology.wiring import NODES, wire

EXAMPLES = """examples:
  gossipfl demo
  gossipfl demo --kill 2 --html report.html
  gossipfl demo --page --seconds 600
  gossipfl demo --nodes 12 --topology regular:k=4 --set codec=int8 --until 0.9
  gossipfl demo --task cnn.py:digits_cnn --nodes 4 --seconds 30 --json result.json
"""
OWN_KEYS = ("gossip.mesh", "gossip.topology", "gossip.role")
"""What other options decide."""
MOST = 64
"""Daemons that one machine should be asked to run."""
INTERVAL = 0.25
"""Seconds between two publishes of a node: a device takes its time, an audience doesn't have it."""
OBSERVE_EVERY = 0.25
WEIGH_EVERY = 2.0
"""Seconds between two readings of memory, which cost the kernel a walk through every mapping."""
DOWN_SHARE = 1 / 8
"""Part of the run that a killed daemon stays down."""


def demo(arguments: list[str]) -> int:
    """Run a mesh of real daemons on this machine, and show how they learn together."""
    given = _parse(arguments)
    folder = given.home or Path(tempfile.mkdtemp(prefix="gossipfl-"))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        result, curves = _run(given, folder)
    finally:
        if given.home is None:
            shutil.rmtree(folder, ignore_errors=True)
    print_result(result)
    if given.json is not None:
        write_durably(given.json, (json.dumps(result, indent=2) + "\n").encode())
    if given.html is not None:
        report.write(given.html, result, curves)
    return Exit.FAILED if given.until is not None and result["seconds_to_target"] is None else Exit.OK


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "gossipfl demo", description=demo.__doc__, epilog=EXAMPLES, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--nodes",
        type=int,
        metavar="N",
        help=f"daemons to run (default: {NODES}, or a graph file's nodes)",
    )
    parser.add_argument("--task", default="digits", metavar="NAME", help="digits, npz, sensors, or file.py:factory")
    parser.add_argument("--data", type=Path, metavar="PATH", help="what the task reads its data from")
    parser.add_argument(
        "--topology", default="k-out", metavar="NAME[:K=V,…]",
        help="who talks to whom: any that gossipfl topology list names, or a graph file (default: k-out)",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="gossip",
        help="a key of [gossip], as codec=int8, or an option of the task, for all daemons; any number of times",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="how long to run (default: 60)")
    parser.add_argument("--until", type=float, metavar="ACC", help="end as soon as the nodes' mean accuracy is ACC")
    parser.add_argument(
        "--kill", type=int, default=0, metavar="K", help="kill -9 K daemons halfway, restart them later"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of shards, initial model and victims")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with the accuracy curves")
    parser.add_argument("--page", action="store_true", help="show the mesh in a browser while it runs; prints where")
    parser.add_argument("--home", type=Path, metavar="DIR", help="keep the daemons' homes and logs here")
    given = parser.parse_args(arguments)
    for name, ok, allowed in (
        ("nodes", given.nodes is None or 1 <= given.nodes <= MOST, f"1 to {MOST}"),
        ("seconds", given.seconds > 0, "more than 0"),
        ("until", given.until is None or 0 < given.until <= 1, "more than 0, up to 1"),
        ("seed", given.seed >= 0, "0 or more"),
    ):
        if not ok:
            parser.error(f"--{name} {getattr(given, name)}: allowed is {allowed}")
    known = options_of(find(given.task))
    try:
        given.gossip, given.options = _settings(given.gossip, known)
    except LocalError as error:
        parser.error(str(error))
    given.factory = load(given.task, given.options)
    try:
        given.wiring = wire(given.topology, given.nodes, given.seed)
    except TopologyError as error:
        parser.error(f"--topology {given.topology}: {error}")
    if given.wiring.nodes > MOST:
        parser.error(f"--topology {given.topology}: it has {given.wiring.nodes} nodes; allowed is up to {MOST}")
    if not 0 <= given.kill < given.wiring.nodes:
        parser.error(f"--kill {given.kill}: allowed is 0 to one less than the nodes")
    for name in ("json", "html"):
        path = getattr(given, name)
        if path is not None and not path.absolute().parent.is_dir():
            parser.error(f"--{name} {path}: there is no folder {path.absolute().parent}")
    return given


def _settings(given: list[str], known: Collection[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """The keys of [gossip], and those options of the task that are `known`, in a list of KEY=VALUE.

    Raises:
        LocalError: neither, not for the demo to set, or a value that the daemons would refuse.
    """
    keys: dict[str, str] = {}
    options: dict[str, Any] = {}
    for key, _, value in (text.partition("=") for text in given):
        path = f"gossip.{key}"
        if path in KEYS and path not in OWN_KEYS:
            keys[path] = value
        elif key in known:
            options[key] = parse(value)
        else:
            allowed = [path.partition(".")[2] for path in KEYS if path.startswith("gossip.") and path not in OWN_KEYS]
            raise LocalError(f"--set {key}: no such key; allowed is one of {', '.join([*allowed, *known])}")
    template(keys)
    return keys, options


def _run(given: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], list[list[tuple[float, float]]]]:
    task = options.absolute({"task.name": given.task, "task.data": str(given.data or "")})
    plan = Plan(
        given.wiring,
        task["task.name"],
        task["task.data"],
        given.seed,
        {"gossip.interval": str(INTERVAL)} | given.gossip,
        given.options,
    )
    nodes = plan.wiring.nodes
    headline = f"gossipfl demo: {nodes} daemons learn {given.task} over {given.topology}, seed {plan.seed}"
    loopback = gauges.loopback_bytes()
    with Mesh(folder, plan) as mesh, contextlib.ExitStack() as stack:
        if given.page:
            from gossipfl_nodes.demo import page

            address = stack.enter_context(page.opened([member.home for member in mesh.members]))
            print(f"page: {address}", file=sys.stderr, flush=True)
        display = stack.enter_context(Display(headline))
        watch = _Watch(mesh, given)
        while not watch.over:
            watch.look()
            display.update(mesh, watch.note)
            time.sleep(OBSERVE_EVERY)
        sent = gauges.loopback_bytes()
        result = _result(mesh, given, watch)
        if loopback is not None and sent is not None:
            result["loopback_bytes_per_node"] = (sent - loopback) / nodes
    print("training the baselines: each node alone, and all data together …", file=sys.stderr)
    steps = [member.total("steps") for member in mesh.members]
    compared = baselines.measure(given.factory, Node(0, nodes, plan.seed, given.data), steps)
    result["local_only_accuracy"] = _or_none(compared.local_only)
    result["central_accuracy"] = _or_none(compared.central)
    result["local_only_steps"], result["central_steps"] = compared.local_steps, compared.central_steps
    return result, [member.curve for member in mesh.members]


class _Watch:
    """Watches a running mesh: notes when it is ready and when it is there, and does the killing."""

    def __init__(self, mesh: Mesh, given: argparse.Namespace) -> None:
        self._mesh = mesh
        self._given = given
        self._victims: list[Member] = random.Random(given.seed).sample(mesh.members, given.kill)
        self._down = False
        self._restarted = False
        self._next_weighing = 0.0
        self.ready: float | None = None
        self.reached: float | None = None
        self.memory: int | None = None
        self.note = ""

    @property
    def over(self) -> bool:
        """Has the time come, or the target been reached?"""
        return self.reached is not None or self._mesh.elapsed >= self._given.seconds

    def look(self) -> None:
        """Observe the mesh once, and act."""
        mesh, given = self._mesh, self._given
        mesh.observe()
        if self.ready is None and all(member.status.get("state") == "learning" for member in mesh.members):
            self.ready = mesh.elapsed
        accuracies = [member.accuracy for member in mesh.members]
        if given.until is not None and None not in accuracies:
            mean = statistics.fmean(accuracy for accuracy in accuracies if accuracy is not None)
            self.reached = mesh.elapsed if mean >= given.until else None
        if mesh.elapsed >= self._next_weighing:
            self._next_weighing = mesh.elapsed + WEIGH_EVERY
            weight = gauges.proportional_memory(mesh.processes())
            self.memory = max(weight or 0, self.memory or 0) or None
        if self._victims and not self._down and mesh.elapsed >= given.seconds / 2:
            self._down = True
            self.note = f"killed {len(self._victims)}"
            for member in self._victims:
                mesh.kill(member)
        if self._down and not self._restarted and mesh.elapsed >= given.seconds * (1 / 2 + DOWN_SHARE):
            self._restarted = True
            self.note = f"restarted {len(self._victims)}"
            for member in self._victims:
                mesh.restart(member)


def _result(mesh: Mesh, given: argparse.Namespace, watch: _Watch) -> dict[str, Any]:
    nodes = [
        {
            "id": member.id,
            "accuracy": member.accuracy,
            "peers": member.status.get("peers", 0),
            "bytes_sent": member.total("bytes_sent"),
            "bytes_received": member.total("bytes_received"),
            "merges": member.total("merges"),
            "restarts": member.restarts,
            "steps": member.total("steps"),
            "longest_gap": member.status.get("longest_gap", 0.0),
            "rebases": member.status.get("rebases", 0),
        }
        for member in mesh.members
    ]
    accuracies = [node["accuracy"] for node in nodes if node["accuracy"] is not None]
    return {
        "nodes": nodes,
        "mean_accuracy": statistics.fmean(accuracies) if accuracies else None,
        "worst_accuracy": min(accuracies, default=None),
        "seconds": mesh.elapsed,
        "seconds_to_target": watch.reached,
        "seconds_to_all_training": watch.ready,
        "target": given.until,
        "seed": given.seed,
        "task": given.task,
        "topology": given.topology,
        "loopback_bytes_per_node": None,
        "pss_bytes": watch.memory,
    }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
