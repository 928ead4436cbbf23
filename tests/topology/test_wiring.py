"""Who talks to whom in a demo: what `--topology` may be, and daemons that are joined by a graph and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scipy.sparse.csgraph import connected_components

from gossipfl.cli import Exit
from gossipfl_topology import GRAPHS, Graph, arrays, load
from gossipfl_topology.errors import TopologyError
from gossipfl_topology.files import map_path, maps
from gossipfl_topology.live import LIVE
from gossipfl_topology.wiring import NODES, Wiring, wire
from tests.nodes.support import gossipfl

STATIC = [name for name in GRAPHS if name not in LIVE]


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """Where the demo puts its homes; short, for the sockets."""
    folder = Path("/tmp") / f"gfl-{os.getpid()}-{tmp_path.name[-6:]}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def same(one: Graph | None, other: Graph) -> bool:
    return one is not None and one.n == other.n and one.edges.tolist() == other.edges.tolist()


# --- what a topology may be


@pytest.mark.parametrize("name", LIVE)
@pytest.mark.parametrize("nodes", [None, 1, 8, 20])
def test_a_live_topology_is_left_to_the_daemons(name: str, nodes: int | None) -> None:
    wiring = wire(name, nodes, 0)
    assert (wiring.topology, wiring.nodes) == (name, nodes or NODES)
    assert wiring.graph is None
    assert wiring.file([f"id {i}" for i in range(wiring.nodes)]) is None
    if name != "hierarchical":
        assert {wiring.role(index) for index in range(wiring.nodes)} == {""}


def test_a_live_topology_keeps_its_parameters() -> None:
    assert wire("k-out:k=2", 5, 0) == Wiring("k-out:k=2", 5)


def test_in_a_hierarchy_each_daemon_has_a_role() -> None:
    wiring = wire("hierarchical", 20, 0)
    roles = [wiring.role(index) for index in range(20)]
    assert tuple(roles) == arrays("hierarchical", 20).roles
    assert set(roles) == {"sensor", "gateway", "district"}
    assert {wire("hierarchical", None, 0).role(index) for index in range(NODES)} >= {"sensor", "gateway"}


@pytest.mark.parametrize("name", STATIC)
def test_a_graph_is_drawn_for_as_many_daemons_as_asked_for(name: str) -> None:
    wiring = wire(name, 16, 3)
    assert (wiring.topology, wiring.nodes) == (name, 16)
    assert same(wiring.graph, arrays(name, 16, 3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("star", arrays("star", NODES)),
        ("watts-strogatz:k=4,p=0.5", arrays("watts-strogatz", NODES, 7, k=4, p=0.5)),
        ("grid:rows=2", arrays("grid", NODES, rows=2)),
    ],
)
def test_a_graph_takes_parameters_and_the_usual_number_of_daemons(text: str, expected: Graph) -> None:
    wiring = wire(text, None, 7)
    assert same(wiring.graph, expected)
    assert wiring.nodes == NODES


@pytest.mark.parametrize("name", maps())
def test_a_shipped_map_brings_its_nodes_and_roles(name: str) -> None:
    graph = load(map_path(name)).graph
    for nodes in (None, graph.n):
        wiring = wire(name, nodes, 0)
        assert (wiring.topology, wiring.nodes) == (name, graph.n)
        assert same(wiring.graph, graph)
        assert [wiring.role(index) for index in range(graph.n)] == list(graph.roles or [""] * graph.n)


def test_a_user_s_file_brings_its_nodes(tmp_path: Path) -> None:
    (tmp_path / "mine.edges").write_text("a b\nb c\n")
    wiring = wire(str(tmp_path / "mine.edges"), None, 0)
    assert wiring.nodes == 3
    assert wiring.graph is not None
    assert wiring.graph.edges.tolist() == [[0, 1], [1, 2]]


def test_who_has_no_neighbour_in_a_file_gets_two(tmp_path: Path) -> None:
    (tmp_path / "roads.edges").write_text("a b\nb c\nc d\nb d\nlonely\nx y\n")
    graph = wire(str(tmp_path / "roads.edges"), None, 0).graph
    assert graph is not None
    lists = zip(graph.labels, graph.neighbours(), strict=True)
    neighbours = {label: [graph.labels[k] for k in row] for label, row in lists}
    assert neighbours["lonely"] == ["b", "c"]
    assert neighbours["x"] == ["b", "c", "y"]
    assert connected_components(graph.adjacency())[0] == 1


def test_a_user_s_file_is_found_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.edges").write_text("a b\n")
    monkeypatch.chdir(tmp_path)
    assert wire("mine.edges", 2, 0).nodes == 2


def test_the_file_for_the_daemons_is_the_graph_with_their_ids(tmp_path: Path) -> None:
    ids = [f"12D3Koo{i}" for i in range(12)]
    text = wire("village", None, 0).file(ids)
    assert text is not None
    (tmp_path / "graph.json").write_text(text)
    loaded = load(tmp_path / "graph.json")
    village = load(map_path("village")).graph
    assert loaded.notes == ()
    assert loaded.graph.names == tuple(ids)
    assert loaded.graph.edges.tolist() == village.edges.tolist()


@pytest.mark.parametrize(
    ("text", "nodes", "said"),
    [
        ("rnig", None, ["'rnig'", "did you mean ring?", "village", "k-out"]),
        ("vilage", None, ["did you mean village?"]),
        ("nonsense", None, ["'nonsense'", "k-out", "dumbbell", "two-towns"]),
        ("base:k=1", None, ["'base:k=1'|'base'", "regular"]),
        ("k-out:k=99", None, ["k = 99", "1 to 32"]),
        ("regular:k=3", 8, ["k = 3", "even"]),
        ("ring:k=2", None, ["takes no parameters"]),
        ("hypercube", 9, ["n = 9", "8 or 16"]),
        ("torus", 7, ["n = 7"]),
        ("village", 11, ["village", "12 nodes", "--nodes 11"]),
        ("missing.edges", None, ["missing.edges", "no such file"]),
        ("./no/such.json", 4, ["such.json", "no such file"]),
        ("mine.png", None, ["'.png'", ".graphml"]),
        ("", None, ["k-out"]),
    ],
)
def test_what_can_t_be_is_refused_with_what_could(text: str, nodes: int | None, said: list[str]) -> None:
    with pytest.raises(TopologyError) as caught:
        wire(text, nodes, 0)
    assert all(any(part in str(caught.value) for part in either.split("|")) for either in said), str(caught.value)


def test_a_file_of_another_size_than_asked_for_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.edges").write_text("a b\nb c\n")
    with pytest.raises(TopologyError, match=r"mine\.edges: it has 3 nodes; --nodes 4 doesn't fit"):
        wire(str(tmp_path / "mine.edges"), 4, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--topology", "vilage"], "did you mean village?"),
        (["--topology", "village", "--nodes", "11"], "it has 12 nodes; --nodes 11 doesn't fit"),
        (["--topology", "city-district"], "it has 67 nodes; allowed is up to 64"),
        (["--topology", "missing.edges"], "no such file"),
        (["--topology", "village", "--kill", "12"], "--kill 12: allowed is 0 to one less than the nodes"),
    ],
)
def test_the_demo_refuses_it_before_anything_is_started(temporary: Path, arguments: list[str], said: str) -> None:
    refused = gossipfl("demo", *arguments, TMPDIR=str(temporary))
    assert (refused.returncode, refused.stdout) == (Exit.USAGE, "")
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list(temporary.iterdir())


# --- a demo on a drawn graph


def test_four_daemons_on_a_star_learn_through_the_one_in_its_middle(temporary: Path) -> None:
    homes = temporary / "homes"
    shown = gossipfl(
        "demo", "--nodes", "4", "--topology", "star", "--seconds", "90", "--until", "0.65", "--seed", "2",
        "--home", homes, "--json", temporary / "r.json", seconds=240, TMPDIR=str(temporary),
    )  # fmt: skip
    assert shown.returncode == Exit.OK, shown.stderr
    assert "Traceback" not in shown.stderr
    result: dict[str, Any] = json.loads((temporary / "r.json").read_text())
    assert (result["topology"], len(result["nodes"])) == ("star", 4)
    ids = [node["id"] for node in result["nodes"]]
    assert len(set(ids)) == 4
    assert all(node["merges"] > 0 for node in result["nodes"])
    assert result["mean_accuracy"] >= 0.65, "who hears nobody knows three classes of ten"

    loaded = load(homes / "graph.json")
    assert loaded.notes == ()
    assert loaded.graph.names == tuple(ids)
    assert loaded.graph.edges.tolist() == [[0, 1], [0, 2], [0, 3]]
    for index in range(4):
        assert str(homes / "graph.json") in (homes / f"node-{index}" / "config.toml").read_text()

    middle, *leaves = result["nodes"]
    assert middle["merges"] > max(node["merges"] for node in leaves), "it hears three, and they hear it alone"
