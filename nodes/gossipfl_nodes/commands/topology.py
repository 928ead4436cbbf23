"""The command about who talks to whom: look at graphs, compare what they cost, and rewire a running daemon."""

from __future__ import annotations

import argparse
import io
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output.pages import drawing, page, paragraph, table
from gossipfl.output.terminal import print_json, print_table, shown
from gossipfl_nodes.commands import options
from gossipfl_topology.errors import TopologyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gossipfl_topology.measures.comparison import Cost, Row
    from gossipfl_topology.measures.subject import Subject

EXAMPLES = """examples:
  gossipfl topology list
  gossipfl topology show watts-strogatz:k=4,p=0.2 --nodes 50 --png small-world.png
  gossipfl topology measure streets.csv
  gossipfl topology compare ring regular:k=4 k-out:k=1 --nodes 25 --html choice.html
  gossipfl topology set regular:k=4        the running daemon of this device, until it is restarted
"""
NODES, MOST = 25, 1_000_000
COMPARED = ("k-out:k=1", "k-out:k=3", "matching", "regular:k=4", "exponential", "base:k=1", "torus", "star", "ring")


def topology(arguments: list[str]) -> int:
    """List, show, measure and compare topologies; set the running daemon's."""
    given = _parse(arguments)
    try:
        run = {"list": _list, "show": _show, "measure": _measure, "compare": _compare, "set": _set}[given.action]
        run(given)
    except TopologyError as error:
        raise LocalError(str(error)) from error
    except ModuleNotFoundError as error:
        raise LocalError(f"drawings need {error.name}: pip install 'gossipfl[demo]'") from error
    return Exit.OK


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "gossipfl topology", description=topology.__doc__, epilog=EXAMPLES, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    made = {
        name: actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        for name, text in (
            ("list", "name all topologies, their parameters and the shipped maps"),
            ("show", "describe one topology, and draw it"),
            ("measure", "describe the graph in a file, and draw it"),
            ("compare", "what topologies cost to agree, with and without absent nodes"),
            ("set", "change who the running daemon of this device publishes to, until it is restarted"),
        )
    }
    for name in ("show", "measure", "compare"):
        made[name].add_argument("--seed", type=int, default=0, metavar="S", help="of everything random (default: 0)")
        made[name].add_argument("--png", type=Path, metavar="FILE", help="draw into this file")
        made[name].add_argument("--html", type=Path, metavar="FILE", help="write a page with table and drawing")
    for name in ("show", "compare"):
        made[name].add_argument("--nodes", type=int, metavar="N", help=f"number of nodes (default: {NODES})")
    for action in made.values():
        action.add_argument("--json", action="store_true", help="print JSON")
    made["show"].add_argument(
        "name", metavar="NAME[:K=V,…]", help="as gossipfl topology list names it, or a graph file"
    )
    made["measure"].add_argument("file", type=Path, metavar="FILE", help=".graphml, .edges, .csv (adjacency), or .json")
    made["compare"].add_argument(
        "names", nargs="*", metavar="NAME[:K=V,…]", help=f"topologies, maps or files; by default {', '.join(COMPARED)}"
    )
    made["compare"].add_argument("--runs", type=int, default=32, metavar="R", help="repetitions (default: 32)")
    made["set"].add_argument("topology", metavar="NAME[:K=V,…]", help="a live topology, or a graph file of peer ids")
    made["set"].add_argument("--home", type=Path, default=None, metavar="DIR", help="this device's folder")
    given = parser.parse_args(arguments)
    for name, ok, allowed in (
        ("nodes", getattr(given, "nodes", None) is None or 1 <= given.nodes <= MOST, f"1 to {MOST}"),
        ("seed", getattr(given, "seed", 0) >= 0, "0 or more"),
        ("runs", getattr(given, "runs", 1) >= 1, "1 or more"),
    ):
        if not ok:
            parser.error(f"--{name} {getattr(given, name)}: allowed is {allowed}")
    return given


def _list(given: argparse.Namespace) -> None:
    from gossipfl_topology import GRAPHS, SCHEDULES
    from gossipfl_topology.files import load, map_path, maps
    from gossipfl_topology.live import LIVE
    from gossipfl_topology.parameters import parameters

    kinds = {"live": LIVE, "graphs": GRAPHS, "schedules": SCHEDULES}
    found: dict[str, list[dict[str, Any]]] = {
        kind: [
            {"name": name, "parameters": _settable(parameters(function)), "about": _about(function)}
            for name, function in functions.items()
        ]
        for kind, functions in kinds.items()
    }
    graphs = {name: load(map_path(name)).graph for name in maps()}
    found["maps"] = [
        {"name": name, "parameters": {}, "about": f"{graph.n} nodes, {len(graph.edges)} edges"}
        for name, graph in graphs.items()
    ]
    if given.json:
        print_json(found)
        return
    heads = {
        "live": "what a daemon runs: gossip.topology, gossipfl topology set, demo",
        "graphs": "graphs that stay as they are: demo, show, compare",
        "schedules": "time-varying, in rounds: show, compare",
        "maps": "shipped graph files: demo, show",
    }
    for kind, rows in found.items():
        print(f"{kind}: {heads[kind]}")
        for row in rows:
            named = ",".join(key if value is None else f"{key}={value}" for key, value in row["parameters"].items())
            print(f"  {row['name'] + (':' if named else '') + named:34} {row['about']}")
        print()


def _show(given: argparse.Namespace) -> None:
    subject = _subject(given.name, given)
    if given.nodes not in (None, subject.n):
        raise TopologyError(f"{given.name}: it has {subject.n} nodes; --nodes {given.nodes} doesn't fit")
    _report(given, subject)


def _measure(given: argparse.Namespace) -> None:
    _report(given, _of_file(given.file))


def _subject(name: str, given: argparse.Namespace) -> Subject:
    """A topology by its name, a shipped map, or a graph file."""
    from gossipfl_topology import GRAPHS, SCHEDULES
    from gossipfl_topology.files import map_path, maps
    from gossipfl_topology.measures.subject import named_subject
    from gossipfl_topology.parameters import find, is_path, parse

    if name in maps():
        return replace(_of_file(map_path(name)), name=name)
    if is_path(name):
        return _of_file(Path(name))
    find(parse(name)[0], dict.fromkeys((*GRAPHS, *SCHEDULES, *maps()), len))
    return named_subject(name, NODES if given.nodes is None else given.nodes, given.seed)


def _of_file(path: Path) -> Subject:
    from gossipfl_topology import load
    from gossipfl_topology.measures.subject import Subject

    loaded = load(path)
    for note in loaded.notes:
        print(f"{path}: {note}", file=sys.stderr)
    return Subject(path.name, loaded.graph.n, graph=loaded.graph)


def _report(given: argparse.Namespace, subject: Subject) -> None:
    from gossipfl_topology.measures.summary import summary

    found = {"name": subject.name, **summary(subject)}
    if given.png is not None or given.html is not None:
        from gossipfl_topology.drawing import draw_graph
        from gossipfl_topology.measures.summary import union

        title = f"{subject.name}, {subject.n} nodes"
        figure = draw_graph(title, subject.graph or union(subject), given.seed)
        about = "A drawing of every edge that occurs." if subject.graph is None else "The graph."
        cells = [(key.replace("_", " "), shown(value)) for key, value in found.items()]
        _write(given, figure, lambda: page(title, drawing(figure, about), table(("", ""), cells)))
    if given.json:
        print_json(found)
        return
    width = max(map(len, found))
    for key, value in found.items():
        print(f"{key:{width}}  {shown(value)}")


def _compare(given: argparse.Namespace) -> None:
    from gossipfl_topology.measures.comparison import compare
    from gossipfl_topology.measures.summary import EPSILON

    subjects = [_subject(name, given) for name in given.names or COMPARED]
    rows: list[Row] = []
    for row in compare(subjects, seed=given.seed, runs=given.runs):
        rows.append(row)
        print(f"measured {row.name}", file=sys.stderr)
    head = (
        "topology",
        "nodes",
        "degree",
        "gap",
        "diameter",
        *(f"messages at {cost.absent:.0%}" for cost in rows[0].costs),
    )
    cells = [
        (
            row.name, str(row.summary["nodes"]), shown(row.summary["degree_mean"]),
            shown(row.summary["spectral_gap"]),
            shown(row.summary["diameter"]), *(_cost(cost) for cost in row.costs),
        )
        for row in rows
    ]  # fmt: skip
    about = (
        f"Messages per node (and rounds) until all agree to a mean-square error of {EPSILON:g}, each node"
        f" missing a round with a probability of {', '.join(f'{cost.absent:.0%}' for cost in rows[0].costs)}."
        f" Degree: messages of a node per round. Means of {given.runs} runs, seed {given.seed}."
    )
    if given.png is not None or given.html is not None:
        from gossipfl_topology.drawing import draw_comparison

        figure = draw_comparison(rows)
        _write(
            given, figure,
            lambda: page(
                "Topologies compared", paragraph(about), drawing(figure, "Cost of agreement"), table(head, cells)
            ),
        )  # fmt: skip
    if given.json:
        print_json({"seed": given.seed, "runs": given.runs, "topologies": [row.as_dict() for row in rows]})
        return
    print_table(head, cells)
    print(about, file=sys.stderr)


def _set(given: argparse.Namespace) -> None:
    from gossipfl_nodes.commands import client
    from gossipfl_nodes.disk.home import Home

    asked = options.absolute({"gossip.topology": given.topology})["gossip.topology"]
    answer = client.put(Home(given.home), "/v1/topology", {"topology": asked})
    if given.json:
        print_json(answer)
    else:
        print(answer["topology"])
        print("until the daemon is restarted; to keep it: topology under [gossip] in config.toml", file=sys.stderr)


def _write(given: argparse.Namespace, figure: Figure, page_of: Callable[[], str]) -> None:
    from gossipfl.output.files import write_durably

    # A name in letters that the font lacks is drawn as boxes, and that is all there is to say.
    warnings.filterwarnings("ignore", "Glyph .* missing from font")
    if given.png is not None:
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=150)
        write_durably(given.png, out.getvalue())
    if given.html is not None:
        write_durably(given.html, page_of().encode())


def _cost(cost: Cost) -> str:
    return "never" if cost.rounds is None else f"{cost.messages:.1f} ({cost.rounds:.0f})"


def _settable(values: dict[str, Any]) -> dict[str, Any]:
    """Without those that only Python can give, or that a command has no use for."""
    return {key: value for key, value in values.items() if key not in ("rounds", "histograms")}


def _about(function: Callable[..., Any]) -> str:
    """The first sentence of its docstring."""
    return (function.__doc__ or "").strip().partition("\n")[0].partition(". ")[0].rstrip(".")
