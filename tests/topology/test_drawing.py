"""Drawings show every node, edge, name and role of a graph, and the costs of a comparison; any text may be a name."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import collections, colors, patches

from gossipfl_topology.catalogue import GRAPHS, arrays
from gossipfl_topology.drawing import COLOURS, LABELLED, MOST, draw_comparison, draw_graph
from gossipfl_topology.errors import TopologyError
from gossipfl_topology.files import load, map_path, maps
from gossipfl_topology.graph import Graph
from gossipfl_topology.measures.comparison import Cost, Row

LINE = Graph(3, np.array([[0, 1], [1, 2]]))
PLACED = Graph(
    3,
    np.array([[0, 1], [1, 2]]),
    positions=np.array([[0.0, 0.0], [100.0, 50.0], [300.0, 20.0]]),
    names=("town hall", "school", "church"),
    roles=("district", "gateway", "sensor"),
)


def saved(figure: Any, kind: str = "png") -> bytes:
    """The figure as a file; a warning on the way is an error here."""
    out = io.BytesIO()
    figure.savefig(out, format=kind)
    return out.getvalue()


def nodes(figure: Any) -> Any:
    """The dots of the nodes."""
    (found,) = (
        drawn
        for drawn in figure.axes[0].collections
        if isinstance(drawn, collections.PathCollection) and np.size(drawn.get_offsets())
    )
    return found


def places(figure: Any) -> Any:
    """Where the nodes are drawn, shape (n, 2)."""
    return np.asarray(nodes(figure).get_offsets())


def edges(figure: Any) -> int:
    """How many edges are drawn: lines, or arrows."""
    lines = [drawn for drawn in figure.axes[0].collections if isinstance(drawn, collections.LineCollection)]
    arrows = [drawn for drawn in figure.axes[0].patches if isinstance(drawn, patches.FancyArrowPatch)]
    return sum(len(drawn.get_segments()) for drawn in lines) + len(arrows)


def labels(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def legend(figure: Any) -> dict[str, str]:
    """Colours by role."""
    (found,) = figure.legends
    return {
        text.get_text(): colors.to_hex(handle.get_facecolor()[0])
        for text, handle in zip(found.get_texts(), found.legend_handles, strict=True)
    }


def test_a_graph_that_is_nowhere_is_drawn_with_its_nodes_edges_and_names() -> None:
    figure = draw_graph("a line", LINE)
    (axes,) = figure.axes
    assert axes.get_title() == "a line"
    assert len(places(figure)) == 3
    assert edges(figure) == 2
    assert labels(figure) == ["0", "1", "2"]
    assert not axes.axison, "there are no metres to show"
    assert not figure.legends
    assert saved(figure)[:8] == b"\x89PNG\r\n\x1a\n"
    assert b"<svg" in saved(figure, "svg")


def test_nodes_stand_where_they_are_in_metres_with_names_and_roles() -> None:
    figure = draw_graph("a village", PLACED)
    (axes,) = figure.axes
    assert PLACED.positions is not None
    assert places(figure) == pytest.approx(PLACED.positions)
    assert labels(figure) == ["town hall", "school", "church"]
    assert axes.axison
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_aspect()) == ("metres", "metres", 1)
    assert legend(figure) == {role: COLOURS[role] for role in ("district", "gateway", "sensor")}
    shown = [colors.to_hex(colour) for colour in nodes(figure).get_facecolor()]
    assert shown == [COLOURS["district"], COLOURS["gateway"], COLOURS["sensor"]]
    assert saved(figure)


def test_a_role_that_nobody_knows_and_none_at_all_are_drawn_too() -> None:
    graph = Graph(3, LINE.edges, roles=("mayor", "", "gateway"))
    figure = draw_graph("roles", graph)
    assert set(legend(figure)) == {"mayor", "node", "gateway"}
    assert saved(figure)


def test_a_directed_graph_is_drawn_with_an_arrow_for_each_edge() -> None:
    graph = Graph(4, np.array([[0, 1], [1, 0], [1, 2], [3, 0]]), directed=True)
    figure = draw_graph("one way", graph)
    assert edges(figure) == 4
    assert not [drawn for drawn in figure.axes[0].collections if isinstance(drawn, collections.LineCollection)]
    assert saved(figure)


def test_a_directed_graph_with_positions_and_roles_is_drawn_there() -> None:
    graph = Graph(3, PLACED.edges, True, None, PLACED.positions, PLACED.names, PLACED.roles)
    figure = draw_graph("one way", graph)
    assert PLACED.positions is not None
    assert places(figure) == pytest.approx(PLACED.positions)
    assert edges(figure) == 2
    assert len(legend(figure)) == 3
    assert saved(figure, "svg")


@pytest.mark.parametrize(
    "graph",
    [
        Graph(1, np.empty((0, 2), dtype=np.int64)),
        Graph(1, np.empty((0, 2), dtype=np.int64), directed=True),
        Graph(1, np.empty((0, 2), dtype=np.int64), positions=np.zeros((1, 2))),
        Graph(5, np.empty((0, 2), dtype=np.int64)),
        Graph(2, np.array([[0, 1]])),
        Graph(2, np.array([[0, 1]]), positions=np.ones((2, 2))),
        Graph(4, np.array([[0, 1], [2, 3]])),
        Graph(3, LINE.edges, positions=np.array([[0.0, 5.0], [1e6, 5.0], [2e6, 5.0]])),
        Graph(3, LINE.edges, weights=np.array([0.1, 1e9])),
    ],
    ids=["one", "one directed", "one placed", "no edges", "two", "two in one place", "split", "on a line", "weighted"],
)
def test_graphs_at_the_edge_are_drawn_without_a_warning(graph: Graph) -> None:
    figure = draw_graph("small", graph)
    assert len(places(figure)) == graph.n
    assert edges(figure) == len(graph.edges)
    assert np.isfinite(places(figure)).all()
    assert saved(figure)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_graph_by_name_can_be_drawn(name: str) -> None:
    graph = arrays(name, 16)
    figure = draw_graph(name, graph, seed=3)
    assert edges(figure) == len(graph.edges)
    assert len(np.unique(places(figure).round(6), axis=0)) == 16, "no node hides another"


@pytest.mark.parametrize("name", maps())
def test_every_shipped_map_can_be_drawn(name: str) -> None:
    graph = load(map_path(name)).graph
    figure = draw_graph(name, graph)
    assert len(places(figure)) == graph.n
    assert edges(figure) == len(graph.edges)
    assert saved(figure)


def test_the_same_seed_puts_nodes_in_the_same_places() -> None:
    graph = arrays("watts-strogatz", 30)
    one, same = (places(draw_graph("g", graph, seed=1)) for _ in range(2))
    assert (one == same).all()


def test_names_are_beside_the_nodes_as_long_as_there_is_room() -> None:
    assert len(labels(draw_graph("some", arrays("ring", LABELLED)))) == LABELLED
    assert labels(draw_graph("many", arrays("ring", LABELLED + 1))) == []


def test_a_graph_too_big_to_be_seen_is_refused_and_one_just_small_enough_is_not() -> None:
    with pytest.raises(TopologyError, match=f"a crowd: {MOST + 1} nodes are too many to draw; at most {MOST}"):
        draw_graph("a crowd", arrays("star", MOST + 1))
    figure = draw_graph("as many as can be", Graph(MOST, np.array([[0, 1]]), positions=np.random.rand(MOST, 2)))  # noqa: NPY002
    assert len(places(figure)) == MOST


@pytest.mark.parametrize(
    "text", ["cost in $", "$5 or $6", "$x_1$", "$\\frac$", "$$", "a_b^c", "100 %", "{braces}", "<&>"]
)
def test_any_text_may_be_a_title(text: str) -> None:
    """It has a file's name in it, which is no formula."""
    figure = draw_graph(text, LINE)
    assert saved(figure)
    assert saved(figure, "svg")


@pytest.mark.parametrize("text", ["$5 or $6", "$x_1$", "$\\frac$", "<&>", "two\nlines", "100 %"])
def test_any_text_may_be_a_name_and_a_role(text: str) -> None:
    figure = draw_graph("names", Graph(2, np.array([[0, 1]]), names=(text, "b"), roles=(text, "sensor")))
    assert len(labels(figure)) == len(legend(figure)) == 2
    assert saved(figure)


@given(st.integers(1, 8), st.data())
def test_any_small_graph_can_be_drawn(n: int, data: st.DataObject) -> None:
    directed = data.draw(st.booleans())
    pairs = [(i, j) for i in range(n) for j in range(n) if (i != j if directed else i < j)]
    chosen = sorted(data.draw(st.sets(st.sampled_from(pairs)))) if pairs else []
    graph = Graph(n, np.array(chosen, dtype=np.int64).reshape(-1, 2), directed)
    figure = draw_graph("any", graph)
    assert len(places(figure)) == n
    assert edges(figure) == len(chosen)


# --- comparisons


def row(name: str, *messages: float | None) -> Row:
    costs = tuple(
        Cost(absent, None if value is None else 3.0, value, None if value is None else 0.0)
        for absent, value in zip((0.0, 0.1, 0.3), messages, strict=False)
    )
    return Row(name, {"nodes": 9}, costs)


def points(figure: Any) -> list[list[tuple[float, float]]]:
    """Messages and place from above, for each share of absent nodes."""
    return [[tuple(point) for point in drawn.get_offsets().tolist()] for drawn in figure.axes[0].collections]


def test_a_comparison_shows_each_cost_of_each_topology_from_above() -> None:
    figure = draw_comparison([row("cheap", 2, 3, 4), row("dear", 20, 30, 40)])
    (axes,) = figure.axes
    assert points(figure) == [[(2, 0), (20, 1)], [(3, 0), (30, 1)], [(4, 0), (40, 1)]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cheap", "dear"]
    assert axes.yaxis_inverted()
    assert axes.get_xscale() == "log"
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["0% absent", "10% absent", "30% absent"]
    assert saved(figure)


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        ([row("never", None, None, None), row("ring", 5, 6, None)], [[(5, 1)], [(6, 1)], []]),
        ([row("never", None, None, None)], [[], [], []]),
        ([row("one node", 0.0, 0.0, 0.0)], [[], [], []]),
        ([row("one share", 7)], [[(7, 0)]]),
    ],
)
def test_what_never_agrees_has_its_line_and_no_points(rows: list[Row], shown: list[list[tuple[float, float]]]) -> None:
    figure = draw_comparison(rows)
    assert points(figure) == shown
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [row.name for row in rows]
    assert saved(figure)
    assert saved(figure, "svg")


def test_a_comparison_grows_with_its_rows_and_takes_more_shares_than_there_are_markers() -> None:
    costs = tuple(Cost(absent / 10, 1.0, 1.0 + absent, 0.0) for absent in range(9))
    figure = draw_comparison([Row(f"t{i}", {}, costs) for i in range(30)])
    assert len(points(figure)) == 9
    assert figure.get_size_inches()[1] > 10
    assert saved(figure)


@pytest.mark.parametrize("text", ["$5 or $6.edges", "$\\frac$.csv", "a_b"])
def test_any_file_name_can_be_compared(text: str) -> None:
    assert saved(draw_comparison([row(text, 2, 3, 4)]))
