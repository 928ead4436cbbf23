"""A sweep: runs what is missing of a plan, wherever the engine has room, and keeps each result as soon as it is there.

Results don't depend on the engine, on how many run at a time, or on who is over first; a run that fails takes no
other with it. A sweep that was interrupted goes on where it was when it is called again with the same file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msgspec import Struct
from threadpoolctl import threadpool_limits

from gossipfl_sims.run import Run
from gossipfl_sims.sweep.engines import stream
from gossipfl_sims.sweep.grid import Cell, Plan
from gossipfl_sims.sweep.rows import Key, Log, Row, key_of

VERSION = version("gossipfl")
SHARED = [
    "trace_hash", "mean_accuracy", "worst_accuracy", "best_accuracy", "error", "disagreement", "bytes_per_node",
    "merges_per_node", "faults", "broken", "virtual_seconds",
]  # fmt: skip
"""What a row has from a result as it is."""
Progress = Callable[[int, int, Row | None], None]
"""Called with how many runs are done, how many there are, and the last; first with what was done before, and None."""


class Outcome(Struct, frozen=True):
    """What came of a sweep."""

    plan: Plan
    rows: tuple[Row, ...]
    """One for each cell and seed, in the order of the plan, whatever else the file has."""
    before: int
    """So many of them were in the file already."""

    @property
    def failed(self) -> tuple[Row, ...]:
        """Runs that raised an exception. They are tried again at the next call."""
        return tuple(row for row in self.rows if row.error_text is not None)


def sweep(
    plan: Plan,
    *,
    engine: str = "local",
    jobs: int | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Run what `out` has not got yet.

    Args:
        plan: the cells and seeds.
        engine: one of engines.ENGINES.
        jobs: runs at a time; as many as there are cores if None.
        out: the CSV file to keep the rows in; see rows.Log.
        progress: see there.

    Raises:
        LocalError: `out` can't be used, or the engine can't; what was done is in the file.
        KeyboardInterrupt: likewise; the processes of the local engine have ended.
    """
    if out is None:
        return _fill(plan, {}, lambda _: None, engine, jobs, progress)
    with Log(out, plan, VERSION) as log:
        outcome = _fill(plan, log.rows, log.append, engine, jobs, progress)
        log.finish()
    return outcome


def _fill(
    plan: Plan,
    had: dict[Key, Row],
    keep: Callable[[Row], None],
    engine: str,
    jobs: int | None,
    progress: Progress | None,
) -> Outcome:
    # Seed by seed, so that a sweep that is cut short has a little of every cell.
    wanted = {key_of(cell.values, seed): (cell, seed) for seed in plan.seeds for cell in plan.cells}
    rows = {key: had[key] for key in wanted if key in had and had[key].error_text is None}
    before = len(rows)
    calls = [(plan.name, plan.fingerprint, cell, seed) for key, (cell, seed) in wanted.items() if key not in rows]
    if progress is not None:
        progress(before, len(wanted), None)
    if calls:
        with closing(stream(run_one, calls, engine, jobs)) as results:
            for row in results:
                keep(row)
                rows[row.key] = row
                if progress is not None:
                    progress(len(rows), len(wanted), row)
    ordered = (rows[key_of(cell.values, seed)] for cell in plan.cells for seed in plan.seeds)
    return Outcome(plan, tuple(ordered), before)


def run_one(name: str, fingerprint: str, cell: Cell, seed: int) -> Row:
    """Run `cell` with `seed`, here and now, on one thread."""
    start = time.process_time()
    found: dict[str, Any] = {}
    try:
        with threadpool_limits(1):
            result = Run(cell.scenario, seed, name=name).finish()
        found = {field: getattr(result, field) for field in SHARED} | {"unmet": len(result.unmet)}
    except Exception as error:  # noqa: BLE001 - a task is the user's; and the other runs are worth having
        found = {"error_text": " ".join(f"{type(error).__name__}: {error}".split())}
    return Row(
        values=cell.values,
        seed=seed,
        cpu_seconds=time.process_time() - start,
        scenario=fingerprint,
        version=VERSION,
        **found,
    )
