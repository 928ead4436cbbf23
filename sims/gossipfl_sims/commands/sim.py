"""The command `gossipfl sim`: run scenarios, replay what went wrong, compare and sweep."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output.files import write_durably
from gossipfl.output.terminal import print_json, print_table, shown

if TYPE_CHECKING:
    from gossipfl_sims.engine.world import World
    from gossipfl_sims.result import Result
    from gossipfl_sims.run import Run

EXAMPLES = """examples:
  gossipfl sim list
  gossipfl sim run partition-heal --html report.html
  gossipfl sim run churn --nodes 100 --set topology=ring --set loss=0.1 --json ring.json
  gossipfl sim replay 'chaos --seed 17'        a run again, with what happened before its first violation
  gossipfl sim replay node.rec                 what a daemon recorded with gossipfl run --record node.rec
  gossipfl sim compare calm.json churn.json --html both.html
  gossipfl sim sweep churn --grid topology=ring,k-out loss=0,0.1,0.3 --seeds 20 --out sweep.csv --png sweep.png
  gossipfl sim fleet --nodes 1000000 --loss 0.1
"""
SHOWN = 10
"""Violations that are told; the JSON has more."""
LEADING_UP = 20
"""Events told before a violation in a replay."""


def sim(arguments: list[str]) -> int:
    """Simulate a mesh: the daemons' own protocol in virtual time, under faults, replayable."""
    given = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = given.run
    try:
        return run(given)
    except ModuleNotFoundError as error:
        raise LocalError(f"gossipfl sim {given.action} needs {error.name}: pip install 'gossipfl[sim]'") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "gossipfl sim", description=sim.__doc__, epilog=EXAMPLES, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        made.set_defaults(run=run)
        return made

    action("list", _list, "name the shipped scenarios").add_argument("--json", action="store_true", help="print JSON")
    run = action("run", _run, "run a scenario")
    _add_run_arguments(run)
    _add_outputs(run)
    run.add_argument("--trace", type=Path, metavar="FILE", help="write every event to this file, for gossipfl sim diff")
    run.add_argument("--no-checks", action="store_true", help="don't check every rule after every event: twice as fast")

    replay = action("replay", _replay, "run what a violation's replay line says, or what a daemon recorded")
    replay.add_argument("what", metavar="LINE|FILE", help="'SCENARIO --seed S …', or a file of gossipfl run --record")
    replay.add_argument("--json", action="store_true", help="print JSON")

    diff = action("diff", _diff, "find the first event in which two traces differ")
    diff.add_argument("traces", nargs=2, type=Path, metavar="TRACE", help="files of gossipfl sim run … --trace FILE")

    compare = action("compare", _compare, "lay runs over each other")
    compare.add_argument(
        "results", nargs="+", type=Path, metavar="RESULT", help="files of gossipfl sim run … --json FILE"
    )
    compare.add_argument("--html", type=Path, metavar="FILE", help="write a page with the curves")

    from gossipfl_sims.commands import fleet, sweep

    sweep.add(action("sweep", sweep.run, "run a scenario for every cell of a grid, and many seeds"))
    fleet.add(action("fleet", fleet.run, "a million nodes: the mixing alone, in time slots"))
    return parser


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", metavar="SCENARIO", help="as gossipfl sim list names it, or a .toml file")
    parser.add_argument("--nodes", type=int, metavar="N", help="number of nodes, instead of the scenario's")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of everything random (default: 0)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes",
        help="change a key of the scenario, as in --set topology=ring or --set network.loss=0.1",
    )  # fmt: skip


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON; - prints it")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with curves, graph and tables")


# --- list


def _list(given: argparse.Namespace) -> int:
    from gossipfl_sims.scenario.files import load, shipped

    found = {name: load(name) for name in shipped()}
    if given.json:
        print_json(
            {name: {"about": one.about, "nodes": one.nodes, "task": one.task.name} for name, one in found.items()}
        )
    else:
        print_table(("scenario", "nodes", "task", "about"), (
            (name, str(one.nodes), one.task.name, one.about) for name, one in found.items()
        ))  # fmt: skip
    return Exit.OK


# --- run


def _run(given: argparse.Namespace) -> int:
    for path in (given.html, given.trace, None if str(given.json) == "-" else given.json):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise LocalError(f"{path}: it is a folder" if path.is_dir() else f"{path}: there is no such folder")
    made = _made(given, checks=not given.no_checks)
    with contextlib.ExitStack() as files:
        if given.trace is not None:
            made.world.trace.file = files.enter_context(given.trace.open("w", encoding="utf-8"))
        result = _with_progress(made)
    if given.json is not None:
        if str(given.json) == "-":
            print_json(result.as_dict())
        else:
            import json

            write_durably(given.json, (json.dumps(result.as_dict(), indent=1) + "\n").encode())
    if str(given.json) != "-":
        _tell(result)
    if given.html is not None:
        from gossipfl_sims.report.report import write

        write(given.html, result.as_dict())
    return Exit.OK if result.passed else Exit.FAILED


def _made(given: argparse.Namespace, *, checks: bool) -> Run:
    from gossipfl_sims.run import Run
    from gossipfl_sims.scenario.files import load

    if given.seed < 0:
        raise LocalError(f"--seed {given.seed}: allowed is 0 or more")
    changes = [*given.changes, *([] if given.nodes is None else [f"nodes={given.nodes}"])]
    name = shlex.join([given.scenario, *(word for change in changes for word in ("--set", change))])
    return Run(load(given.scenario, changes), given.seed, name=name, checks=checks)


def _with_progress(run: Run) -> Result:
    """Finish `run`, with a bar on stderr where somebody looks."""
    if not sys.stderr.isatty():
        return run.finish()
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} s virtual"),
        TextColumn("{task.fields[speed]}"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(run.name, total=run.end, speed="")

        def progress(now: float, end: float, world: World) -> None:
            del end
            elapsed = bar.tasks[task].elapsed or 0.0
            speed = f"×{now / elapsed:.3g}, {world.trace.events / elapsed:,.0f} events/s" if elapsed > 0 else ""
            bar.update(task, completed=now, speed=speed)

        return run.finish(progress)


def _tell(result: Result) -> None:
    """The result for people, on stdout."""
    rows: list[tuple[str, Any]] = [
        ("scenario", f"{result.scenario}, seed {result.seed}: {result.about}"),
        ("nodes", f"{result.nodes}, {result.task} over {result.topology}"),
        ("virtual time", f"{result.virtual_seconds:g} s, {result.events:,} events, {result.faults:,} faults"),
    ]
    if result.mean_accuracy is not None:
        rows.append(
            (
                "accuracy",
                f"mean {result.mean_accuracy:.3f}, worst {result.worst_accuracy:.3f}, best {result.best_accuracy:.3f}",
            )
        )
    if result.error is not None:
        rows.append(("error", shown(result.error)))
    rows += [
        ("disagreement", shown(result.disagreement)),
        ("per node", f"{result.merges_per_node:.0f} merges, {result.bytes_per_node / 1e3:.0f} kB sent"),
        ("trace hash", result.trace_hash),
    ]
    for name, text in rows:
        print(f"{name:13} {text}")
    for violation in result.violations[:SHOWN]:
        print(
            f"VIOLATION     {violation.rule}: {violation.detail}; {violation.node} at {violation.time:.3f} s,"
            f" {violation.event}"
        )
    if result.broken > SHOWN:
        print(f"              … {result.broken} in all")
    for unmet in result.unmet:
        print(f"NOT MET       {unmet}")
    if not result.checked:
        print("unchecked     no rule was checked")
    elif not result.settled:
        print("unchecked     whether all merge again: the healed phase is shorter than that may take")
    if not result.passed:
        print(f"replay        {result.replay}")


# --- replay, diff, compare


def _replay(given: argparse.Namespace) -> int:
    path = Path(given.what)
    if " " not in given.what and path.suffix != ".toml" and path.is_file():
        from gossipfl_sims.reality import replay

        replayed = replay(path)
        if given.json:
            print_json(replayed.as_dict())
        else:
            print("\n".join(replayed.lines()))
        return Exit.OK if replayed.same else Exit.FAILED
    parser = argparse.ArgumentParser("gossipfl sim replay", allow_abbrev=False)
    _add_run_arguments(parser)
    try:
        words = shlex.split(given.what)
    except ValueError as error:
        raise LocalError(f"replay: {given.what}: {error}") from error
    run = _made(parser.parse_args(words), checks=True)
    with _leading_up(run):
        result = _with_progress(run)
    if given.json:
        print_json(result.as_dict())
    else:
        _tell(result)
    return Exit.OK if result.passed else Exit.FAILED


@contextlib.contextmanager
def _leading_up(run: Run) -> Iterator[None]:
    """Tell, on stderr, what happened to a machine before the first rule that it broke."""
    from gossipfl_sims.commands.witness import Witness

    witness = Witness(run.world, run.safety, LEADING_UP)
    yield
    for line in witness.told:
        print(line, file=sys.stderr)


def _diff(given: argparse.Namespace) -> int:
    from gossipfl_sims.engine.trace import compare

    found = compare(*given.traces)
    if found is None:
        print("the traces are equal")
        return Exit.OK
    print(f"first difference: event {found.line}\n  {given.traces[0]}: {found.one}\n  {given.traces[1]}: {found.other}")
    return Exit.FAILED


def _compare(given: argparse.Namespace) -> int:
    from gossipfl_sims.report import comparison

    results = [comparison.read(path) for path in given.results]
    names = [path.stem for path in given.results]
    head, *rows = comparison.summary_rows(results, names)
    print_table(head, rows)
    if given.html is not None:
        comparison.write(given.html, results, names)
    return Exit.OK
