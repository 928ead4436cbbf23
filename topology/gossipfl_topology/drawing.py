"""Drawings of graphs and of comparisons, as matplotlib figures; saving them is the caller's.

Needs matplotlib, which the package does not require: only who draws imports this module.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import FloatArray, Graph
from gossipfl_topology.measures.comparison import Row

MOST = 2000
"""Nodes that a drawing can show."""
LABELLED = 40
"""Nodes up to which each has its name beside it."""
COLOURS = {"sensor": "#4477aa", "gateway": "#ee7733", "district": "#aa3377"}
PLAIN = "#4477aa"


def draw_graph(title: str, graph: Graph, seed: int = 0) -> Figure:
    """The graph: nodes at their positions if they have them, else placed by springs; coloured by role.

    Args:
        title: above the drawing.
        graph: at most 2000 nodes.
        seed: of the springs.

    Raises:
        TopologyError: a graph too big to be seen.

    >>> figure = draw_graph("a line", Graph(2, np.array([[0, 1]])))
    >>> len(figure.axes)
    1
    """
    import networkx as nx

    if graph.n > MOST:
        raise TopologyError(f"{title}: {graph.n} nodes are too many to draw; at most {MOST}")
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.add_subplot(title=_literal(title))
    made = graph.to_networkx()
    placed = dict(enumerate(places(graph, seed)))
    colours = [COLOURS.get(role, PLAIN) for role in graph.roles or [""] * graph.n]
    dot = float(np.clip(4000 / max(graph.n, 1), 8, 160))
    arrows = {"arrowsize": 6, "node_size": dot} if graph.directed else {}
    nx.draw_networkx_edges(made, placed, ax=axes, edge_color="#888888", width=0.8, alpha=0.7, **arrows)
    nx.draw_networkx_nodes(made, placed, ax=axes, node_color=colours, node_size=dot)
    if graph.n <= LABELLED:
        nx.draw_networkx_labels(made, placed, dict(enumerate(map(_literal, graph.labels))), ax=axes, font_size=7)
    if graph.positions is None:
        axes.set_axis_off()
    else:
        axes.set(aspect="equal", xlabel="metres", ylabel="metres")
        axes.tick_params(left=True, bottom=True, labelleft=True, labelbottom=True)
    for role in dict.fromkeys(graph.roles or ()):
        axes.scatter([], [], color=COLOURS.get(role, PLAIN), label=_literal(role) or "node")
    if graph.roles:
        figure.legend(fontsize="small", loc="outside right upper")
    return figure


def draw_comparison(rows: Sequence[Row]) -> Figure:
    """Messages per node until agreement for each topology, with all nodes there and with some absent.

    Args:
        rows: as `measures.comparison.compare` gives them, at least one.

    >>> from gossipfl_topology.measures.comparison import compare
    >>> from gossipfl_topology.measures.subject import named_subject
    >>> figure = draw_comparison(list(compare([named_subject("ring", 4)], runs=1)))
    >>> figure.axes[0].get_xscale()
    'log'
    """
    figure = Figure(figsize=(9, 1.2 + 0.45 * len(rows)), layout="constrained")
    axes = figure.add_subplot(xscale="log", xlabel="messages per node until agreement (to the left is cheaper)")
    absences = [cost.absent for cost in rows[0].costs]
    for shown, absent in enumerate(absences):
        found = [row.costs[shown].messages for row in rows]
        here = [(index, value) for index, value in enumerate(found) if value]
        axes.scatter(
            [value for _, value in here], [index for index, _ in here], s=60, marker="os^Dv<>"[shown % 7],
            label=f"{absent:.0%} absent", zorder=2,
        )  # fmt: skip
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(rows)), [_literal(row.name) for row in rows])
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def _literal(text: str) -> str:
    """`text` as matplotlib shows it: a $ would begin a formula."""
    return text.replace("$", r"\$")


def places(graph: Graph, seed: int) -> FloatArray:
    """Where to draw the nodes, shape (n, 2): at their positions, else where springs along the edges put them.

    >>> places(Graph(2, np.array([[0, 1]])), seed=0).shape
    (2, 2)
    """
    import networkx as nx

    if graph.positions is not None:
        return graph.positions
    circle = 2 * np.pi * np.arange(graph.n) / max(graph.n, 1)
    start = np.stack([np.sin(circle), np.cos(circle)], axis=1)
    if graph.directed or (graph.degrees == graph.n - 1).all() or graph.n < 4:
        return start  # what is the same from every node looks best on a circle
    layout = nx.spring_layout(graph.to_networkx(), pos=dict(enumerate(start)), seed=seed, iterations=100)
    return np.array([layout[node] for node in range(graph.n)])
