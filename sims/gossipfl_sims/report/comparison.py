"""Comparison of runs: results from files, side by side as a table for the terminal and as an HTML page.

A file may come from anywhere: whatever is read is checked against the type `Result`, and against what drawings rely on.
Only the page needs matplotlib.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gossipfl.errors import LocalError
from gossipfl.output import pages
from gossipfl.output.files import write_durably
from gossipfl.output.terminal import number, shown, size
from gossipfl_sims.result import Result
from gossipfl_sims.series import Sample

WHAT = "not the result of a run, as gossipfl sim run --json FILE writes it"
SETTINGS = ("scenario", "seed", "task", "topology", "nodes", "virtual_seconds")
"""What was asked for; the changes of `--set` are part of the scenario's name."""
OUTCOMES: dict[str, Callable[[Any], str]] = {
    "passed": shown, "broken": shown, "unmet": shown, "mean_accuracy": number, "worst_accuracy": number,
    "best_accuracy": number, "error": shown, "disagreement": shown, "bytes_per_node": size, "merges_per_node": shown,
    "faults": shown, "events": shown,
}  # fmt: skip
"""What came of it, and how it is shown."""
MOST = 8
"""Runs in one comparison: one for each colour of the palette, and black."""
LONGEST = 1e12
"""Virtual seconds, thirty thousand years: times beyond are no times."""
DIGITS = 18
"""Of an integer: what has more is no count of anything, and has no room in 64 bits."""
NAMES = {"broken": "violations", "unmet": "unmet expectations"}


def read(path: Path) -> dict[str, Any]:
    """The result in the JSON file `path`, as `Result.as_dict` gives it.

    Raises:
        LocalError: it can't be read, or is not the result of a run; names file and key.
    """
    try:
        raw = json.loads(path.read_bytes(), parse_int=_integer)
        result = msgspec.convert(raw, Result)
        msgspec.json.encode(result)  # refuses halves of surrogate pairs, which can't be written anywhere
        problem = next(_misfits(result), None)
    except OSError as error:
        raise LocalError(f"{path}: can't be read: {error.strerror or error}") from error
    except msgspec.ValidationError as error:
        what, _, key = str(error).partition(" - at `$")
        found = re.search(r"required field `(\w+)`", what)
        key = ".".join(part for part in (key.rstrip("`").lstrip("."), found[1] if found else "") if part) or "the file"
        raise LocalError(f"{path}: {key}: {what}; {WHAT}") from None
    except (ValueError, RecursionError, OverflowError) as error:
        raise LocalError(f"{path}: {error}; {WHAT}") from None
    if problem is not None:
        raise LocalError(f"{path}: {problem}; {WHAT}")
    return result.as_dict()


def summary_rows(results: Sequence[dict[str, Any]], names: Sequence[str]) -> list[list[str]]:
    """A table of runs side by side, head first: the settings in which they differ, then what came of them.

    Args:
        results: as `Result.as_dict` gives them, at least one.
        names: what to call each.
    """
    made = [msgspec.convert(result, Result) for result in results]
    differ = [key for key in SETTINGS if not _equal(made, key)]
    there = [key for key in OUTCOMES if any(getattr(one, key) is not None for one in made)]
    rows = [["", *names]]
    for key in (*differ, *there):
        show = OUTCOMES.get(key, shown)
        rows.append([NAMES.get(key, key.replace("_", " ")), *(show(getattr(one, key)) for one in made)])
    pooled = dict.fromkeys(name for one in made for name in one.pooled if name != "error")
    return rows + [[name.replace("_", " "), *(shown(one.pooled.get(name)) for one in made)] for name in pooled]


def write(path: Path, results: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Write a comparison: the table, and the curves on top of each other.

    Args:
        path: the HTML file to write.
        results: 1 to 8, as `read` gives them.
        names: what to call each.

    Raises:
        LocalError: too many runs to be told apart, no matplotlib, or the file can't be written.
    """
    from gossipfl_sims.report import curves  # noqa: PLC0415 - only drawings need matplotlib

    if not 1 <= len(results) <= MOST:
        raise LocalError(f"{len(results)} results; allowed are 1 to {MOST}: curves of more can't be told apart")
    runs = [msgspec.convert(result, Result) for result in results]
    equal = [f"{key.replace('_', ' ')} {shown(getattr(runs[0], key))}" for key in SETTINGS if _equal(runs, key)]
    head, *rows = summary_rows(results, names)
    caption = (
        "A solid line is the mean of the nodes, a dotted one of the same colour the worst node."
        " Disagreement is the root mean square distance of the models from their mean, per coordinate."
    )
    parts = [
        pages.paragraph(f"Equal in all: {', '.join(equal)}." if equal else "All settings differ."),
        pages.table(head, rows),
        pages.section("Over time", pages.drawing(curves.overlay(runs, names), caption)),
        pages.section("To run them again", *(pages.command(run.replay) for run in runs)),
    ]
    write_durably(path, pages.page(f"{', '.join(names)} compared", *parts).encode())


def _equal(runs: Sequence[Result], key: str) -> bool:
    return all(getattr(one, key) == getattr(runs[0], key) for one in runs)


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > DIGITS:
        raise ValueError(f"{digits[:DIGITS]}… is an integer of more than {DIGITS} digits")
    return int(digits)


def _misfits(result: Result) -> Iterator[str]:
    """What is of the right type, but does not fit together, or has no place in a drawing."""
    if result.nodes < 1:
        yield f"nodes = {result.nodes}: allowed is 1 or more"
    for key, times in (
        ("virtual_seconds", [result.virtual_seconds]),
        ("shaded", [time for begin, end, _ in result.shaded for time in (begin, end)]),
    ):
        if not all(0 <= time <= LONGEST for time in times):
            yield f"{key}: times must be 0 to {LONGEST:g} seconds"
    for field in Sample.__struct_fields__:
        if field not in result.series:
            yield f"series.{field}: there is none"
        elif len(result.series[field]) != len(result.series.get("time", [])):
            yield f"series.{field}: not as many values as series.time"
    for edge, count in result.staleness.items():
        if not (re.fullmatch(r"\d+(\.\d+)?", edge, re.ASCII) and count >= 0):
            yield f"staleness.{edge}: {count}: the key must be a number, the value 0 or more"
    for index, graph in enumerate(result.graphs):
        if len(graph.part) != result.nodes:
            yield f"graphs[{index}].part: {len(graph.part)} machines; nodes = {result.nodes}"
        for ends in graph.edges:
            if not all(0 <= end < result.nodes for end in ends):
                yield f"graphs[{index}].edges: {list(ends)}; nodes = {result.nodes}"
