"""`gossipfl sim fleet`: the mixing of a million nodes, and what it leaves out."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output.files import write_durably
from gossipfl.output.terminal import print_json, print_table, shown

if TYPE_CHECKING:
    from gossipfl_sims.fleet.setting import Churn, Partition
    from gossipfl_sims.fleet.world import Sample
    from gossipfl_topology import Graph


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("--nodes", type=int, default=100_000, metavar="N", help="number of nodes (default: 100000)")
    parser.add_argument("--floats", type=int, default=8, metavar="D", help="length of each vector (default: 8)")
    parser.add_argument(
        "--topology", default="k-out:k=3", metavar="NAME[:K=V,…]",
        help="k-out, or any graph that gossipfl topology list names (default: k-out:k=3)",
    )  # fmt: skip
    parser.add_argument("--intervals", type=float, default=30, metavar="T", help="publish intervals (default: 30)")
    parser.add_argument("--loss", type=float, default=0.0, metavar="P", help="share of messages lost (default: 0)")
    parser.add_argument("--churn", metavar="UP,DOWN", help="mean intervals of a session and of an absence")
    parser.add_argument(
        "--partition", action="append", default=[], metavar="FROM,TO[,GROUPS]", help="when the network is in parts"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of everything random (default: 0)")
    parser.add_argument("--memory", type=float, default=4.0, metavar="GB", help="most memory to take (default: 4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON; - prints it")


def run(given: argparse.Namespace) -> int:
    """Simulate as asked."""
    from gossipfl_sims.fleet.setting import LEFT_OUT, Fleet
    from gossipfl_sims.fleet.world import FleetWorld

    if given.intervals <= 0:
        raise LocalError(f"--intervals {given.intervals:g}: allowed is more than 0")
    k, graph = _recipients(given.topology, given.nodes, given.seed)
    fleet = Fleet(
        nodes=given.nodes, floats=given.floats, k=k, graph=graph, loss=given.loss, churn=_churn(given.churn),
        partitions=tuple(_partition(text) for text in given.partition), seed=given.seed, memory=given.memory * 1e9,
    )  # fmt: skip
    begun = time.process_time()
    world = FleetWorld(fleet)
    samples: list[Sample] = []
    for sample in world.samples(given.intervals, max(1.0, given.intervals / 30)):
        samples.append(sample)
        if sys.stderr.isatty():
            print(f"\r{sample.seconds:.0f} of {given.intervals:g} intervals", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    fields = [field for field in type(samples[0]).__struct_fields__ if field not in ("scores", "staleness")]
    result = {
        "nodes": given.nodes, "floats": given.floats, "topology": given.topology, "seed": given.seed,
        "result_hash": world.result_hash, "cpu_seconds": time.process_time() - begun,
        "series": {field: [getattr(sample, field) for sample in samples] for field in fields},
        "staleness": list(samples[-1].staleness), "left_out": LEFT_OUT,
    }  # fmt: skip
    if given.json is not None and str(given.json) != "-":
        write_durably(given.json, (json.dumps(result, indent=1) + "\n").encode())
    if str(given.json) == "-":
        print_json(result)
        return Exit.OK
    print_table([field.replace("_", " ") for field in fields], (
        [shown(getattr(sample, field)) for field in fields] for sample in samples
    ))  # fmt: skip
    print(f"result hash {world.result_hash}, {result['cpu_seconds']:.1f} s CPU\n\n{LEFT_OUT}")
    return Exit.OK


def _recipients(text: str, nodes: int, seed: int) -> tuple[int, Graph | None]:
    """k for k-out, or the graph."""
    from gossipfl_topology import TopologyError, arrays
    from gossipfl_topology.live import KOut, named
    from gossipfl_topology.parameters import parse

    try:
        name, params = parse(text)
        if name == "k-out":
            made = named(text)
            assert isinstance(made, KOut)
            return made.k, None
        return 1, arrays(name, nodes, seed, **params)
    except TopologyError as error:
        raise LocalError(f"--topology {text}: {error}") from error


def _churn(text: str | None) -> Churn | None:
    from gossipfl_sims.fleet.setting import Churn

    if text is None:
        return None
    present, absent = _numbers("--churn", text, "UP,DOWN", 2, 2)
    return Churn(present=present, absent=absent)


def _partition(text: str) -> Partition:
    from gossipfl_sims.fleet.setting import Partition

    start, end, *groups = _numbers("--partition", text, "FROM,TO[,GROUPS]", 2, 3)
    return Partition(start=start, end=end, groups=int(groups[0]) if groups else 2)


def _numbers(option: str, text: str, form: str, least: int, most: int) -> list[float]:
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not least <= len(numbers) <= most:
        raise LocalError(f"{option} {text}: write {form}, numbers")
    return numbers
