"""Summaries: what the seeds of one cell say together, as a table for a terminal or a page, and for JSON.

Means have 95 % confidence intervals by Student's t (1908, "The probable error of a mean"): of few seeds an honest one
is wide. It takes the seeds for independent and nearly normal, and may reach past what a measure can be, as above 1.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from scipy.special import stdtrit

from gossipfl.output.terminal import shown
from gossipfl_sims.sweep.grid import written
from gossipfl_sims.sweep.rows import Row
from gossipfl_sims.sweep.sweep import Outcome

CONFIDENCE = 0.95
MEASURES = ("mean_accuracy", "worst_accuracy", "error", "disagreement", "bytes_per_node", "merges_per_node")
"""What is averaged over seeds. The first one that any run has is what a drawing shows."""


class Interval(Struct, frozen=True):
    """A mean and how sure it is: `mean` ± `half` with 95 % confidence."""

    mean: float
    half: float | None
    """None of a single run, of which nobody can tell."""
    runs: int


class Summary(Struct, frozen=True):
    """One cell."""

    values: tuple[Any, ...]
    """In the order of the grid's keys."""
    runs: int
    failed: int
    """So many of them raised an exception; nothing else is known of these."""
    broken: int
    """Runs that broke a rule."""
    unmet: int
    """Runs that did not meet all expectations of the scenario."""
    measures: dict[str, Interval]
    """By name, of MEASURES; without those that no run has."""


def interval(values: Sequence[float]) -> Interval:
    """The mean of `values`, at least one, with its confidence interval."""
    mean, n = statistics.fmean(values), len(values)
    if n < 2:
        return Interval(mean, None, n)
    error = statistics.stdev(values) / math.sqrt(n)
    return Interval(mean, float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * error, n)


def summarise(outcome: Outcome) -> list[Summary]:
    """Each cell, in the order of the plan."""
    seeds = len(outcome.plan.seeds)
    return [
        _summary(cell.values, outcome.rows[number * seeds : (number + 1) * seeds])
        for number, cell in enumerate(outcome.plan.cells)
    ]


def found(summaries: Sequence[Summary]) -> list[str]:
    """The measures that any cell has."""
    return [measure for measure in MEASURES if any(measure in one.measures for one in summaries)]


def short(keys: Sequence[str]) -> list[str]:
    """Keys without their tables, where that leaves no two the same."""
    last = [key.rpartition(".")[2] for key in keys]
    return [one if last.count(one) == 1 else key for key, one in zip(keys, last, strict=True)]


def word(value: Any) -> str:
    """A value of a key for people."""
    return f"{value:g}" if isinstance(value, float) else written(value)


def table(keys: Sequence[str], summaries: Sequence[Summary]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table: a line for each cell."""
    measures = found(summaries)
    troubles = [name for name in ("failed", "broken", "unmet") if any(getattr(one, name) for one in summaries)]
    head = [*short(keys), "runs", *(measure.replace("_", " ") for measure in measures), *troubles]
    return head, [
        [
            *map(word, one.values),
            str(one.runs),
            *(_told(one.measures.get(measure)) for measure in measures),
            *(str(getattr(one, name)) for name in troubles),
        ]
        for one in summaries
    ]


def as_dict(outcome: Outcome, summaries: Sequence[Summary]) -> dict[str, Any]:
    """As JSON has it: the grid, each cell, and each run."""
    keys = outcome.plan.keys
    cells = [_named(keys, msgspec.to_builtins(one)) for one in summaries]
    return {
        "scenario": outcome.plan.name,
        "fingerprint": outcome.plan.fingerprint,
        "keys": list(keys),
        "seeds": list(outcome.plan.seeds),
        "confidence": CONFIDENCE,
        "cells": [one | one.pop("measures") for one in cells],
        "rows": [_named(keys, msgspec.to_builtins(row)) for row in outcome.rows],
    }


def _named(keys: Sequence[str], made: dict[str, Any]) -> dict[str, Any]:
    """`made` with its values by their keys; JSON has no infinity, so that is a word there."""
    values = (written(one) if isinstance(one, float) and math.isinf(one) else one for one in made["values"])
    return made | {"values": dict(zip(keys, values, strict=True))}


def _summary(values: tuple[Any, ...], rows: Sequence[Row]) -> Summary:
    measures = {
        measure: interval(known)
        for measure in MEASURES
        if (known := [value for row in rows if (value := getattr(row, measure)) is not None])
    }
    return Summary(
        values=values,
        runs=len(rows),
        failed=sum(row.error_text is not None for row in rows),
        broken=sum(bool(row.broken) for row in rows),
        unmet=sum(bool(row.unmet) for row in rows),
        measures=measures,
    )


def _told(one: Interval | None) -> str:
    """Two digits of the interval, and as many of the mean as that leaves certain."""
    if one is None or one.half is None:
        return shown(one and one.mean)
    if not one.half:
        return f"{shown(one.mean)} ± 0"
    decimals = max(0, 1 - math.floor(math.log10(one.half)))
    return f"{one.mean:.{decimals}f} ± {one.half:.{decimals}f}"
