"""The report of a rehearsal: one HTML file that works offline, with a map of the city. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
from matplotlib.figure import Figure

from gossipfl.output import pages
from gossipfl.output.files import write_durably
from gossipfl.output.terminal import shown, size
from gossipfl_sims.city.command import HEAD, row
from gossipfl_sims.city.rehearsal import Outcome, Rehearsal, Sensor, graph_of
from gossipfl_sims.report.style import PALETTE, WIDTH, figure, literal
from gossipfl_topology.drawing import places
from gossipfl_topology.graph import Graph

LISTED = 1000
"""Sensors in the table."""
DRAWN = 20_000
"""Roads in a map: more are a grey disc, in a large file."""
LEGEND = """Cost is what went wrong added to the error of the same sensors; helped and hurt are shares of the sensors, \
those whose error differs from that of their own model by more than 1 %. Bytes are those of the protocol's frames."""


def write(path: Path, fleet: Path, found: Rehearsal) -> None:
    """Write the report of the fleet in the folder `fleet`; raises LocalError."""
    graph, first = graph_of(fleet), found.runs[0]
    where = (
        "at their positions" if graph.positions is not None else "laid out along the roads, as no positions are known"
    )
    parts = [
        pages.headlines(_headlines(found, first)),
        pages.section(
            "Map",
            pages.drawing(
                _map(graph, first),
                f"{found.error} of each sensor by itself and in the mesh, and what the mesh changes; sensors {where}. "
                "Squares are gateways.",
            ),
        ),
        pages.section(
            "Runs", pages.table(HEAD, (row(run, found.error) for run in found.runs), words=2), pages.paragraph(LEGEND)
        ),
        pages.section(
            "Over days",
            pages.drawing(_curves(found), "Above, the error over all test rows of sensors that are up; below, how far"
                          " their models are apart: while a city is cut in two, its halves drift."),
        ),
        pages.section("Sensors", pages.paragraph("Those first that gain least."), _table(first)),
    ]  # fmt: skip
    write_durably(path, pages.page(f"rehearsal of {found.devices} sensors", *parts).encode())


def _headlines(found: Rehearsal, first: Outcome) -> list[tuple[str, str]]:
    error = found.error
    told = [("mesh", shown(first.metrics[error])), ("alone", shown(first.metrics[f"own_{error}"]))]
    told += [(f"{run.what}: cost", f"{run.metrics[error] - run.calm:+.3f}") for run in found.runs[1:] if run.calm][:2]
    told += [
        ("helped", f"{first.helped:.0%}"), ("hurt", f"{first.hurt:.0%}"), ("sent a day", size(first.sent_per_day)),
        ("topology", first.topology), ("sensors", f"{found.devices:,}"), ("virtual days", f"{found.days:g}"),
    ]  # fmt: skip
    return told


def _map(graph: Graph, run: Outcome) -> Figure:
    """Three maps: alone, in the mesh, and the difference."""
    made = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    at = places(graph, 0)
    alone = np.array([np.nan if one.own is None else one.own for one in run.sensors])
    mesh = np.array([np.nan if one.error is None else one.error for one in run.sensors])
    change = 100 * (mesh / alone - 1)
    low, high = np.nanquantile([alone, mesh], [0.02, 0.98])
    most = max(1.0, float(np.nanquantile(np.abs(change), 0.98)))
    panels = (
        ("alone", alone, "viridis", low, high),
        ("mesh", mesh, "viridis", low, high),
        ("change in %", change, "RdBu_r", -most, most),
    )
    ends = graph.edges[:: -(-len(graph.edges) // DRAWN) or 1].tolist()
    roles = np.array(graph.roles or ("sensor",) * graph.n)
    for number, (title, values, colours, least, greatest) in enumerate(panels, 1):
        axes = made.add_subplot(1, 3, number)
        nx.draw_networkx_edges(
            nx.Graph(ends), dict(enumerate(at)), ax=axes, edge_color="#888888", width=0.5, alpha=0.4
        )  # fmt: skip
        for marker, chosen in (("o", roles != "gateway"), ("s", roles == "gateway")):
            dots = axes.scatter(
                at[chosen, 0], at[chosen, 1], c=values[chosen], cmap=colours, vmin=least, vmax=greatest, marker=marker,
                s=float(np.clip(3000 / graph.n, 8, 120)), edgecolors="#888888", linewidths=0.5, zorder=2,
            )  # fmt: skip
        made.colorbar(dots, ax=axes, location="bottom", shrink=0.8)
        axes.set_title(title, size="small")
        axes.set(xticks=[], yticks=[])
        if graph.positions is not None:
            axes.set_aspect("equal")
        axes.spines[:].set_visible(False)
    return made


def _curves(found: Rehearsal) -> Figure:
    made, (error, apart) = figure([2.2, 1.6])
    for number, run in enumerate(found.runs):
        days = [look.day for look in run.looks]
        colour, style = PALETTE[number % len(PALETTE)], ("-", "--", ":")[number // len(PALETTE) % 3]
        label = literal(f"{run.what}, {run.topology}")
        error.plot(days, [look.error for look in run.looks], color=colour, linestyle=style, label=label)
        apart.plot(days, [look.disagreement for look in run.looks], color=colour, linestyle=style)
    alone = found.runs[0].metrics[f"own_{found.error}"]
    error.axhline(alone, color="#888888", linestyle="--", linewidth=1, label="alone")
    error.legend(fontsize="small")
    error.set_ylabel(literal(found.error))
    apart.set(xlabel="virtual days", ylabel="disagreement", ylim=(0, None))
    return made


def _table(run: Outcome) -> str:
    def gain(one: Sensor) -> float:
        return np.inf if one.error is None or not one.own else 1 - one.error / one.own

    listed = sorted(run.sensors, key=gain)[:LISTED]
    rows = [
        (
            one.sensor, shown(one.own), shown(one.error), "–" if np.isinf(gain(one)) else f"{100 * gain(one):.1f} %",
            size(one.sent_per_day),
        )
        for one in listed
    ]  # fmt: skip
    return pages.table(("sensor", "alone", "mesh", "gain", "sent a day"), rows)
