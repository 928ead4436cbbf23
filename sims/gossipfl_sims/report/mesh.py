"""Drawings of the mesh of links at the moments that a run has kept, side by side.

A node has the same place in all of them, so that only what changed catches the eye: nodes that share a part at any of
the moments are drawn near each other. Draws results; knows nothing of peers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import networkx as nx
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from gossipfl_sims.report.style import PALETTE, WIDTH
from gossipfl_sims.series import Graph

Places = npt.NDArray[np.float64]

PER_ROW, MOST = 3, 9
"""Drawings in a row, and at all."""
HIGH = 3.5
"""Inches of a drawing, with what is written above and below it."""
LABELLED = 48
"""Nodes up to which each has its number on it."""
MOST_EDGES = 3000
"""Links drawn of a moment: more are a grey disc, in a large file."""


def draw(graphs: Sequence[Graph]) -> Figure:
    """The mesh at up to nine moments, evenly chosen among `graphs`, of which there is at least one."""
    chosen = [graphs[i] for i in np.unique(np.linspace(0, len(graphs) - 1, min(MOST, len(graphs))).round().astype(int))]
    places, colours = layout(chosen), part_colours(chosen)
    columns = min(PER_ROW, len(chosen))
    rows = -(-len(chosen) // columns)
    made = Figure(figsize=(WIDTH, rows * HIGH), layout="constrained")
    for number, (graph, painted) in enumerate(zip(chosen, colours, strict=True), start=1):
        axes = made.add_subplot(rows, columns, number)
        _draw_one(axes, graph, painted, places)
    return made


def layout(graphs: Sequence[Graph]) -> Places:
    """Where each node is drawn, shape (n, 2): springs along the links of all moments, stronger for those that last.

    The springs (Fruchterman and Reingold, 1991) start on a circle on which the parts of the most divided moment are
    neighbours, so that a mesh in which everybody is linked to everybody stays a circle.
    """
    most = max(graphs, key=lambda graph: (max(graph.part, default=0), -graph.part.count(-1)))
    n = len(most.part)
    circle = 2 * np.pi * np.arange(n) / max(n, 1)
    order = sorted(range(n), key=lambda node: (most.part[node], node))
    start = dict(zip(order, np.stack([np.sin(circle), np.cos(circle)], axis=1), strict=True))
    together = nx.Graph()
    together.add_nodes_from(range(n))
    for (one, other), count in Counter(edge for graph in graphs for edge in set(graph.edges)).items():
        together.add_edge(one, other, weight=count**2)
    if n < 3 or not together.number_of_edges():
        return np.array([start[node] for node in range(n)]).reshape(n, 2)
    placed = nx.spring_layout(together, pos=start, seed=0, iterations=60, method="force")
    found: Places = np.array([placed[node] for node in range(n)])
    found /= np.abs(found).max(axis=0).clip(min=1e-9)  # as wide as high: the drawing is filled
    return found


def part_colours(graphs: Sequence[Graph]) -> list[dict[int, str]]:
    """The colour of each part at each moment; a part keeps the colour of the one that it shares most nodes with.

    The six largest parts have colours, others are grey.
    """
    before: dict[int, str] = {}
    found = []
    for graph in graphs:
        sizes = Counter(part for part in graph.part if part >= 0)
        colours: dict[int, str] = {}
        for part, _ in sizes.most_common(len(PALETTE) - 1):
            heirs = Counter(before.get(node, "") for node, at in enumerate(graph.part) if at == part)
            wanted = [colour for colour, _ in heirs.most_common() if colour not in ("", PALETTE[-1])]
            free = [colour for colour in (*wanted, *PALETTE[:-1]) if colour not in colours.values()]
            colours[part] = free[0]
        found.append(colours)
        before = {node: colours.get(part, PALETTE[-1]) for node, part in enumerate(graph.part) if part >= 0}
    return found


def _draw_one(axes: Axes, graph: Graph, colours: dict[int, str], places: Places) -> None:
    n = len(graph.part)
    edges = graph.edges[:: -(-len(graph.edges) // MOST_EDGES) or 1]
    if edges:
        ends = places[np.array(edges)].reshape(-1, 2)
        steps = np.tile([Path.MOVETO, Path.LINETO], len(edges))
        alpha = float(np.clip(60 / len(edges), 0.08, 0.6))
        axes.add_patch(PathPatch(Path(ends, steps), fill=False, edgecolor="#888888", linewidth=0.7, alpha=alpha))
    dot = float(np.clip(4000 / max(n, 1), 10, 200))
    face = ["white" if part < 0 else colours.get(part, PALETTE[-1]) for part in graph.part]
    rim = ["#888888" if part < 0 else colour for part, colour in zip(graph.part, face, strict=True)]
    axes.scatter(places[:, 0], places[:, 1], s=dot, c=face, edgecolors=rim, zorder=2)
    if n <= LABELLED:
        for node, (x, y) in enumerate(places):
            paint = "black" if graph.part[node] < 0 else "white"
            axes.annotate(str(node), (x, y), ha="center", va="center", size=np.sqrt(dot) * 0.55, color=paint, zorder=3)
    sizes = sorted(Counter(part for part in graph.part if part >= 0).values(), reverse=True)
    axes.set_title(f"{graph.time:g} s: {_told(sizes, graph.part.count(-1))}", size="small")
    drawn = "" if len(edges) == len(graph.edges) else f", {len(edges)} of them drawn"
    axes.set_xlabel(f"{len(graph.edges)} links{drawn}", size="small")
    axes.set(xticks=[], yticks=[], xlim=(-1.12, 1.12), ylim=(-1.12, 1.12))
    axes.spines[:].set_visible(False)


def _told(sizes: list[int], down: int) -> str:
    """The parts of a mesh in words."""
    shown = " + ".join(map(str, sizes[:4])) + (" + …" if len(sizes) > 4 else "")
    told = f"one part of {shown}" if len(sizes) == 1 else f"{len(sizes)} parts, {shown}" if sizes else "nobody is up"
    return told + (f"; {down} down" if down else "")
