"""Drawings of sweeps: a measure over one key, a colour for each value of the next, a panel for each of the others.

The first key that has numbers lies along x; without any, the first key does, as categories. Colours are those of
Okabe and Ito (2008, "Color universal design"), which the colour-blind tell apart, and each has a marker of its own.
Saving the figure is the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gossipfl.errors import LocalError
from gossipfl_sims.sweep.summary import Interval, Summary, found, short, word

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = "os^Dv<>pX"
"""Two more than colours, so that no two of 63 series look the same."""
ACROSS = 3
"""Panels beside each other: more are too narrow to read."""
Values = tuple[Any, ...]
SPREAD = 0.5
"""Of the room of a category, how much its series share: intervals at the same place would hide each other."""
NUDGE = 0.1
"""Likewise of the least distance between two numbers; so little that it is not read as another number."""


def draw(keys: Sequence[str], summaries: Sequence[Summary], measure: str | None = None) -> Figure:
    """`measure` in each cell, with its confidence interval.

    Args:
        keys: of the grid.
        summaries: of all its cells.
        measure: one of summary.MEASURES; the first that there is if None.

    Raises:
        LocalError: no run has that measure.
    """
    known = found(summaries)
    name = measure or next(iter(known), "any measure")
    if name not in known:
        raise LocalError(f"nothing to draw: no run has {name}; there is {', '.join(known) or 'nothing'}")
    along, *others = _order(len(keys), summaries)
    labels = [_literal(label) for label in short(keys)]
    series, panels = others[:1], others[1:]
    places = _distinct(summaries, panels)
    lines = _distinct(summaries, series)
    across = min(ACROSS, len(places))
    down = -(-len(places) // across)
    figure = Figure(figsize=(2.0 + 4.0 * across, 0.8 + 3.2 * down), layout="constrained")
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    x = _X(_distinct(summaries, [along]))
    for panel, (axes, place) in enumerate(zip(grid.flat, places, strict=False)):
        for number, one in enumerate(lines):
            cells = [cell for cell in summaries if _at(cell, panels) == place and _at(cell, series) == one]
            share = (number + 0.5) / len(lines) - 0.5
            points = [(x.place(_at(cell, [along]), share), cell.measures.get(name)) for cell in cells]
            _plot(axes, points, number, "-" if x.numeric else "", _literal(", ".join(map(word, one))))
        axes.set(
            title=", ".join(
                f"{labels[key]} = {_literal(word(value))}" for key, value in zip(panels, place, strict=True)
            )
        )
        if panel + across >= len(places):
            axes.set_xlabel(labels[along] if keys else "")
            axes.tick_params(labelbottom=True)
        x.mark(axes)
        axes.grid(alpha=0.3)
    for axes in list(grid.flat)[len(places) :]:
        axes.set_axis_off()
    figure.supylabel(f"{name.replace('_', ' ')}: mean and 95 % interval", fontsize="medium")
    if series:
        handles, names = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, names, title=labels[series[0]], loc="outside right upper")
    return figure


class _X:
    """Where values lie along x: numbers where they are, anything else side by side."""

    def __init__(self, values: Sequence[Values]) -> None:
        self.numeric = all(_is_number(one) for value in values for one in value) and values[0] != ()
        self._places = {value: value[0] if self.numeric else index for index, value in enumerate(values)}
        gaps = (high - low for low, high in pairwise(sorted(self._places.values())))
        self._room = NUDGE * min(gaps, default=0.0) if self.numeric else SPREAD

    def place(self, value: Values, share: float) -> float:
        """The place of `value` in the series at `share`, from −½ to ½, of the room that a value has."""
        return float(self._places[value]) + self._room * share

    def mark(self, axes: Axes) -> None:
        if not self.numeric:
            axes.set_xticks(
                list(self._places.values()), [_literal(", ".join(map(word, value))) for value in self._places]
            )
            axes.set_xlim(-0.5, len(self._places) - 0.5)


def _plot(axes: Axes, points: Sequence[tuple[float, Interval | None]], number: int, line: str, label: str) -> None:
    known = [(x, one) for x, one in sorted(points, key=lambda point: point[0]) if one is not None]
    axes.errorbar(
        [x for x, _ in known],
        [one.mean for _, one in known],
        [one.half or 0.0 for _, one in known],
        color=COLOURS[number % len(COLOURS)],
        marker=MARKERS[number % len(MARKERS)],
        markersize=5,
        linestyle=line,
        linewidth=1,
        capsize=3,
        label=label,
    )


def _order(keys: int, summaries: Sequence[Summary]) -> list[int]:
    """The keys by number: the one along x, the one in colour, the ones of the panels."""
    for key in range(keys):
        values = _distinct(summaries, [key])
        if len(values) > 1 and all(_is_number(value) for (value,) in values):
            return [key, *(other for other in range(keys) if other != key)]
    return list(range(max(keys, 1)))


def _at(one: Summary, keys: Sequence[int]) -> Values:
    return tuple(one.values[key] for key in keys if key < len(one.values))


def _distinct(summaries: Sequence[Summary], keys: Sequence[int]) -> list[Values]:
    return list(dict.fromkeys(_at(one, keys) for one in summaries))


def _is_number(value: Any) -> bool:
    """Can it be on an axis?"""
    return isinstance(value, int | float) and math.isfinite(value)


def _literal(text: str) -> str:
    """`text` as matplotlib shows it: a $ would begin a formula."""
    return text.replace("$", r"\$")
