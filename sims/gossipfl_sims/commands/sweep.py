"""`gossipfl sim sweep`: a scenario for every cell of a grid, with many seeds, on all cores or a cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output.files import write_durably
from gossipfl.output.terminal import print_json, print_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gossipfl_sims.sweep.rows import Row

SHOWN = 5
"""Failed runs that are told; the file has all."""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("scenario", metavar="SCENARIO", help="as gossipfl sim list names it, or a .toml file")
    parser.add_argument(
        "--grid", nargs="+", action="extend", required=True, metavar="KEY=V,V,…",
        help="keys and their values, as in topology=ring,k-out loss=0,0.1; all combinations are run",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N-1 for each cell (default: 5)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a key for all cells"
    )
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="this machine, or a Ray cluster (default: local)"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at a time (default: as many as cores)")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="keep one row for each run in this CSV file; called again, it goes on"
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw means with their 95 %% confidence intervals")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with table and drawing")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(given: argparse.Namespace) -> int:
    """Sweep as asked."""
    from gossipfl_sims.sweep import summary
    from gossipfl_sims.sweep.grid import parse_grid, plan
    from gossipfl_sims.sweep.sweep import sweep

    for name, ok in (("seeds", given.seeds >= 1), ("jobs", given.jobs is None or given.jobs >= 1)):
        if not ok:
            raise LocalError(f"--{name} {getattr(given, name)}: allowed is 1 or more")
    for path in (given.out, given.png, given.html):
        if path is not None and not path.absolute().parent.is_dir():
            raise LocalError(f"{path}: there is no such folder")
    planned = plan(given.scenario, parse_grid(given.grid), range(given.seeds), given.changes)
    with _progress(planned.name) as progress:
        outcome = sweep(planned, engine=given.engine, jobs=given.jobs, out=given.out, progress=progress)
    summaries = summary.summarise(outcome)
    head, rows = summary.table(planned.keys, summaries)
    if given.json:
        print_json(summary.as_dict(outcome, summaries))
    else:
        print_table(head, rows)
    if given.png is not None or given.html is not None:
        from gossipfl_sims.sweep.drawing import draw

        _write(given, planned.name, draw(planned.keys, summaries), head, rows)
    for row in outcome.failed[:SHOWN]:
        print(f"failed: {row.values}, seed {row.seed}: {row.error_text}", file=sys.stderr)
    broken = any(row.broken for row in outcome.rows)
    return Exit.FAILED if outcome.failed or broken else Exit.OK


def _write(given: argparse.Namespace, name: str, figure: Figure, head: list[str], rows: list[list[str]]) -> None:
    import io

    from gossipfl.output import pages

    if given.png is not None:
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=150)
        write_durably(given.png, out.getvalue())
    if given.html is not None:
        caption = "Means over the seeds, with 95 % confidence intervals."
        page = pages.page(f"sweep of {name}", pages.drawing(figure, caption), pages.table(head, rows))
        write_durably(given.html, page.encode())


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int, Row | None], None] | None]:
    """A bar on stderr where somebody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name)
        yield lambda done, total, _: bar.update(task, completed=done, total=total)
