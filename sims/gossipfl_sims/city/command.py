"""The command `gossipfl city rehearse`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output.files import write_durably
from gossipfl.output.terminal import print_json, print_table, size

if TYPE_CHECKING:
    from gossipfl_sims.city.rehearsal import Outcome, Rehearsal

EXAMPLES = """examples:
  gossipfl city rehearse fleet --html rehearsal.html
  gossipfl city rehearse fleet --days 7 --dead 0.2
  gossipfl city rehearse fleet --topology roads --topology k-out:k=3 --topology hierarchical
  gossipfl city rehearse fleet --cut north-1,north-2,north-3 --set train_hours=12
"""


def rehearse(arguments: list[str]) -> int:
    """Run a city's fleet in the simulator, and say what to expect: errors, bytes, and what dead sensors cost."""
    given = _parser().parse_args(arguments)
    for path in (given.html, None if str(given.json) == "-" else given.json):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise LocalError(f"{path}: it is a folder" if path.is_dir() else f"{path}: there is no such folder")
    try:
        from gossipfl_sims.city.rehearsal import Plan
        from gossipfl_sims.city.rehearsal import rehearse as run

        cut = tuple(part.strip() for part in given.cut.split(",") if part.strip())
        plan = Plan(given.fleet, given.days, given.dead, cut, tuple(given.topology), tuple(given.changes), given.seed)
        found = run(plan, lambda what: print(f"running: {what}", file=sys.stderr, flush=True))
        if given.html is not None:
            from gossipfl_sims.city.report import write

            write(given.html, given.fleet, found)
    except ModuleNotFoundError as error:
        raise LocalError(f"gossipfl city rehearse needs {error.name}: pip install 'gossipfl[sim]'") from error
    if str(given.json) == "-":
        print_json(found.as_dict())
        return Exit.OK
    if given.json is not None:
        write_durably(given.json, (json.dumps(found.as_dict(), indent=1) + "\n").encode())
    _tell(found)
    return Exit.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "gossipfl city rehearse", description=rehearse.__doc__, epilog=EXAMPLES, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("fleet", type=Path, metavar="DIR", help="as gossipfl city init wrote it, with --data")
    parser.add_argument("--days", type=_days, default=1.0, metavar="D", help="virtual days of each run (default: 1)")
    parser.add_argument(
        "--dead", type=_share, default=0.1, metavar="SHARE", help="of the sensors, gone from the middle of a run on"
        " (default: 0.1); 0: no such run",
    )  # fmt: skip
    parser.add_argument(
        "--cut", default="", metavar="ID,…", help="one more run, in which these sensors and the others don't reach each"
        " other from a quarter of it to three",
    )  # fmt: skip
    parser.add_argument(
        "--topology", action="append", default=[], metavar="NAME[:K=V,…]", help="to compare, any number of times; roads"
        " is the fleet's graph (default: the fleet's own)",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a key of the scenario,"
        " or an option of the task, as loss=0.1 or train_hours=12",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of everything random (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all of it as JSON; - prints it")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with a map and curves")
    return parser


def _days(text: str) -> float:
    return _within(text, 0.01, 1000)


def _share(text: str) -> float:
    return _within(text, 0, 0.9)


def _within(text: str, least: float, most: float) -> float:
    if not least <= float(text) <= most:
        raise argparse.ArgumentTypeError(f"{text}: allowed is {least:g} to {most:g}")
    return float(text)


def row(run: Outcome, error: str) -> tuple[str, ...]:
    """A run in a line; see HEAD."""
    cost = "–" if run.calm is None else f"{run.metrics[error] - run.calm:+.3f}"
    return (
        run.topology, run.what, f"{run.metrics[error]:.3f}", f"{run.metrics[f'own_{error}']:.3f}", cost,
        f"{run.helped:.0%}", f"{run.hurt:.0%}", size(run.sent_per_day), size(run.most_sent_per_day),
    )  # fmt: skip


HEAD = ("topology", "run", "mesh", "alone", "cost", "helped", "hurt", "sent a day", "at most")


def _tell(found: Rehearsal) -> None:
    print(f"{found.devices} sensors, {found.days:g} virtual days, seed {found.seed}; errors are {found.error}")
    print_table(HEAD, (row(run, found.error) for run in found.runs))
