"""Curves: a run over virtual time, with what went wrong beside it; several runs on top of each other.

Each quantity has axes of its own, all with the same abscissa. Below the curves are the faults, a row for each kind, as
a legend that says when. Draws results; computes nothing that is not in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from gossipfl_sims.report.style import MANY, PALETTE, figure, literal, show_sizes
from gossipfl_sims.result import Result
from gossipfl_sims.series import STALENESS

Floats = npt.NDArray[np.float64]

BLUE, RED, GREEN, YELLOW, CYAN, PURPLE, GREY = PALETTE
FAMILIES = {
    BLUE: ("partition", "hold", "weather"),
    RED: ("crash", "crash without disk", "bounce", "pause", "leave"),
    GREEN: ("join", "churn", "diurnal", "duty-cycle", "upgrade"),
    YELLOW: ("slow", "skew"),
    PURPLE: ("lie",),
}
"""The network, machines that fail, machines that come and go, machines that are late, and lies. Others are grey."""
COLOURS = {kind: colour for colour, kinds in FAMILIES.items() for kind in kinds}
DRAWABLE = 1e30
"""Values beyond have no place on an axis: matplotlib's own arithmetic would overflow."""
FEW = 3
"""Kinds of faults up to which curves are shaded in their colours: more would mix to brown."""
FINEST = 250
"""Parts of the abscissa that can be told apart: nothing is drawn narrower, or with a narrower gap."""
NARROW = 12
"""Samples up to which each is a dot: a line alone would hide how few there are."""


class Curve(NamedTuple):
    """One line: a column of the series, and how it is drawn."""

    field: str
    name: str
    colour: str
    style: str = "-"


def over_time(result: Result) -> Figure:
    """Accuracy or error, disagreement, machines, parts and bytes over virtual time; the faults below."""
    panels: list[tuple[float, Callable[[Axes, Result], None]]] = []
    if known(result, "mean_accuracy"):
        panels.append((2.8, _accuracy))
    if known(result, "error"):
        panels.append((2.0, _error))
    panels += [(2.0, _disagreement), (1.1, _up), (1.1, _parts), (1.5, _bytes)]
    lanes = spans(result)
    heights = [height for height, _ in panels] + ([0.35 + 0.22 * len(lanes)] if lanes else [])
    made, axes = figure(heights)
    for one, (_, draw) in zip(axes, panels, strict=False):
        draw(one, result)
        _shade(one, lanes)
    if lanes:
        _draw_lanes(axes[-1], lanes)
    axes[-1].set(xlabel="virtual seconds", xlim=(0, max(result.virtual_seconds, 1e-9)))
    made.align_ylabels()
    return made


def staleness(result: Result) -> Figure:
    """How stale what was merged was: a histogram with a logarithmic ordinate."""
    made, (axes,) = figure([2.4])
    counts = {float(edge): count for edge, count in result.staleness.items()}
    edges = sorted({*STALENESS, *counts})
    names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)] + [f"{edges[-1]:g} or more"]
    heights = [counts.get(edge, 0) for edge in edges]
    axes.bar(names, heights, color=BLUE)
    for place, height in enumerate(heights):
        axes.annotate(
            f"{height:,}", (place, max(height, 0.5)), (0, 2), textcoords="offset points", ha="center", size="small"
        )
    axes.set(yscale="log", ylim=(0.5, 4 * max(*heights, 1)), xlabel="staleness in gossip intervals", ylabel="merges")
    axes.grid(visible=False, axis="x")
    return made


def overlay(results: Sequence[Result], names: Sequence[str]) -> Figure:
    """Runs on top of each other: mean and worst accuracy or error, disagreement, and bytes per node."""
    fields = [field for field in ("mean_accuracy", "error") if any(known(one, field) for one in results)]
    made, axes = figure([2.8] * len(fields) + [2.2, 1.8])
    for result, name, colour in zip(results, names, ("black", *PALETTE), strict=False):
        label = literal(name)
        for one, field in zip(axes, fields, strict=False):
            _draw(one, result, Curve(field, label, colour))
            if field == "mean_accuracy":
                _draw(one, result, Curve("worst_accuracy", "", colour, ":"))
        _draw(axes[-2], result, Curve("disagreement", label, colour))
        _draw(axes[-1], result, Curve("bytes_per_node", label, colour))
    for one, field in zip(axes, fields, strict=False):
        if field == "mean_accuracy":
            one.set(ylim=(0, 1), ylabel="accuracy")
        else:
            _logarithmic(one, "error")
    _logarithmic(axes[-2], "disagreement")
    axes[-1].set(ylabel="sent per node", xlabel="virtual seconds", ylim=(0, None))
    axes[-1].set_xlim(0, max(one.virtual_seconds for one in results) or 1)
    show_sizes(axes[-1])
    made.align_ylabels()
    handles, labels = axes[-1].get_legend_handles_labels()
    made.legend(handles, labels, fontsize="small", loc="outside upper left", ncols=min(4, len(labels)))
    return made


def spans(result: Result) -> dict[str, list[tuple[float, float]]]:
    """When each kind of fault went on, in the order of appearance: (from, to), merged where a gap would not be seen."""
    least = max(result.virtual_seconds, 1e-9) / FINEST
    lanes: dict[str, list[tuple[float, float]]] = {}
    for begin, end, kind in sorted(result.shaded):
        lane = lanes.setdefault(kind, [])
        widest = max(end, begin + least)
        if lane and begin <= lane[-1][1] + least:
            lane[-1] = (lane[-1][0], max(lane[-1][1], widest))
        else:
            lane.append((begin, widest))
    return lanes


def known(result: Result, field: str) -> bool:
    """Is there any value of `field` in the series?"""
    return bool(np.isfinite(_column(result, field)).any())


# --- panels


def _accuracy(axes: Axes, result: Result) -> None:
    if len(result.series["time"]) <= MANY:
        low, high = _column(result, "worst_accuracy"), _column(result, "best_accuracy")
        axes.fill_between(_column(result, "time"), low, high, color=BLUE, alpha=0.2, linewidth=0)
    _draw(axes, result, Curve("best_accuracy", "best node", CYAN))
    _draw(axes, result, Curve("mean_accuracy", "mean", BLUE))
    _draw(axes, result, Curve("worst_accuracy", "worst node", PURPLE))
    axes.set(ylim=(0, 1), ylabel="accuracy")
    axes.legend(fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)


def _error(axes: Axes, result: Result) -> None:
    _draw(axes, result, Curve("error", "mean", BLUE))
    _logarithmic(axes, "mean error")


def _disagreement(axes: Axes, result: Result) -> None:
    _draw(axes, result, Curve("disagreement", "disagreement", BLUE))
    _logarithmic(axes, "disagreement")


def _up(axes: Axes, result: Result) -> None:
    _draw(axes, result, Curve("up", "nodes up", BLUE), steps=True)
    axes.set(ylabel="nodes up", ylim=(0, 1.1 * result.nodes))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _parts(axes: Axes, result: Result) -> None:
    _draw(axes, result, Curve("parts", "connected parts", BLUE), steps=True)
    axes.set(ylabel="parts", ylim=(0, max(2.2, 1.1 * np.nanmax(_column(result, "parts"), initial=0))))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _bytes(axes: Axes, result: Result) -> None:
    _draw(axes, result, Curve("bytes_per_node", "bytes per node", BLUE))
    axes.set(ylabel="sent per node", ylim=(0, None))
    show_sizes(axes)


# --- parts of panels


def _column(result: Result, field: str) -> Floats:
    """A column of the series; NaN for what could not be told, or has no place on any axis."""
    found = np.array(result.series[field], dtype=np.float64)
    return np.where(np.abs(found) < DRAWABLE, found, math.nan)


def _draw(axes: Axes, result: Result, curve: Curve, *, steps: bool = False) -> None:
    times, values = _column(result, "time"), _column(result, curve.field)
    axes.plot(
        times, values, curve.style, color=curve.colour, label=curve.name, linewidth=1.4,
        drawstyle="steps-post" if steps else "default", marker="o" if len(times) <= NARROW else "", markersize=4,
    )  # fmt: skip


def _logarithmic(axes: Axes, name: str) -> None:
    """A logarithmic ordinate if there is anything above zero; what is not is left out."""
    axes.set_ylabel(name)
    drawn = [values for line in axes.get_lines() if (values := np.asarray(line.get_ydata())).size]
    if drawn and np.nanmax(np.concatenate(drawn), initial=0) > 0:
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


def _shade(axes: Axes, lanes: dict[str, list[tuple[float, float]]]) -> None:
    """One path for each kind: hundreds of patches would be most of the file."""
    for kind, lane in lanes.items():
        colour, alpha = (COLOURS.get(kind, GREY), 0.15) if len(lanes) <= FEW else (GREY, 0.07)
        boxes = Path.make_compound_path(*(Path([(a, 0), (a, 1), (b, 1), (b, 0), (a, 0)], closed=True) for a, b in lane))
        axes.add_artist(
            PathPatch(boxes, transform=axes.get_xaxis_transform(), color=colour, alpha=alpha, linewidth=0, zorder=0.5)
        )


def _draw_lanes(axes: Axes, lanes: dict[str, list[tuple[float, float]]]) -> None:
    for row, (kind, lane) in enumerate(lanes.items()):
        bars = [(begin, end - begin) for begin, end in lane]
        axes.broken_barh(bars, (row - 0.35, 0.7), color=COLOURS.get(kind, GREY))
    axes.set_yticks(range(len(lanes)), [literal(kind) for kind in lanes])
    axes.set(ylim=(len(lanes) - 0.4, -0.6), ylabel="faults")
    axes.grid(visible=False, axis="y")
