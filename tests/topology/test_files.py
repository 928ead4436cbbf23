"""Files into graphs: each rule of what is mended, each refusal with its place, and no other end whatever the bytes."""

import json
import random
import string
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl_topology import files
from gossipfl_topology.errors import TopologyError
from gossipfl_topology.files import Loaded, dumps, load, map_path, maps
from gossipfl_topology.graph import Graph

SUFFIXES = [".graphml", ".edges", ".txt", ".csv", ".json"]
DATA = Path(__file__).parents[2].parent / "shared" / "data"
GRAPHML = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
KEYS = """
<key id="w" for="edge" attr.name="weight" attr.type="double"/>
<key id="r" for="node" attr.name="role" attr.type="string"><default>sensor</default></key>
<key id="x" for="node" attr.name="x" attr.type="double"/><key id="y" for="node" attr.name="y" attr.type="double"/>"""


def graphml(inside: str, kind: str = "undirected") -> str:
    return f'{GRAPHML}{KEYS}\n<graph edgedefault="{kind}">\n{inside}\n</graph></graphml>'


def node_link(nodes: object, edges: object = (), **more: object) -> str:
    return json.dumps({"nodes": nodes, "edges": edges, **more})


def read(folder: Path, suffix: str, content: str | bytes) -> Loaded:
    file = folder / f"graph{suffix}"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return load(file)


def weights(graph: Graph) -> list[float] | None:
    return None if graph.weights is None else graph.weights.tolist()


BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
NODE, AB = {"id": "a"}, [{"id": "a"}, {"id": "b"}]
BROKEN: list[tuple[str, str | bytes, str]] = [
    # Any format
    (".csv", b"", "empty: allowed is a file with at least one node"),
    (".json", b"\xef\xbb\xbf \n", "empty: allowed is a file with at least one node"),
    (".graphml", b" ", "empty: allowed is a file with at least one node"),
    (".edges", b"# nobody\n\n  # here\n", "empty: allowed is a file with at least one node"),
    (".csv", b"# nobody\n", "empty: allowed is a file with at least one node"),
    (".csv", b"0,1\n1,\x00\n", "binary, or UTF-16: allowed is text in UTF-8"),
    (".json", '{"nodes": []}'.encode("utf-16"), "binary, or UTF-16: allowed is text in UTF-8"),
    (".txt", b"a b\nb \xe9t\xe9\n", "line 2: byte 0xe9: allowed is text in UTF-8"),
    # Edge lists
    (".edges", "a b\na b 1 2\n", r"line 2: a b 1 2: allowed is NAME NAME \[WEIGHT\], or NAME alone"),
    (".edges", "a b # fine\n\n, b\n", r"line 3: , b: allowed is NAME NAME \[WEIGHT\], or NAME alone"),
    (".txt", "a b\r\nb c heavy\r\n", "line 2, column 3: heavy: allowed is a number"),
    (".txt", "a b \x1b[31m\n", r"line 1, column 3: '\\x1b\[31m': allowed is a number"),
    # Matrices
    (".csv", "# 2 by 3\n0,1,0\n1,0,1\n", "2 rows of 3 columns: allowed are as many rows as columns"),
    (".csv", "0,1\n1,0\n0,0\n", "3 rows of 2 columns: allowed are as many rows as columns"),
    (".csv", "hello", "line 1, column 1: hello: allowed is a number"),
    (".csv", "0,1\n\n1,x\n", "line 3, column 2: x: allowed is a number"),
    (".csv", "0,1x\n1,0\n", "line 1, column 2: 1x: allowed is a number"),
    (".csv", "x,1\n1,0\n", "line 1, column 1: x: allowed is a number"),
    (".csv", "0;1\n1;0\n", "line 2, column 1: 1;0: allowed is a number"),
    (".csv", "0,1,0\n1,0\n0,1,0\n", "line 2: 2 columns: allowed are 3, as in line 1, with commas between"),
    (".csv", '0,"1\n1,0\n', "line 1: unexpected end of data: allowed are numbers with commas between them"),
    (".csv", ",a,b\na,0,1\nc,1,0\n", "line 1: names: allowed are the same as in the first column, in their order"),
    (".csv", "a,a\n0,1\n1,0\n", "name a: allowed is a name for each node, which no other has"),
    (".csv", "a,\n0,1\n1,0\n", "name '': allowed is a name for each node, which no other has"),
    (".csv", ",a,b\na,0,\nb,1,0\n", "line 2, column 3: '': allowed is a number"),
    # GraphML
    (".graphml", graphml('<node id="a">'), "line 7, column [0-9]+: mismatched tag: allowed is XML"),
    (".graphml", "0,1\n1,0\n", "line 1, column 1: (syntax error|not well-formed.*): allowed is XML"),
    (".graphml", f"<?xml version='1.0'?>\n{BOMB}\n<graphml>&b;</graphml>", "line 2: a DTD: allowed is XML without"),
    (".graphml", "<!DOCTYPE graphml SYSTEM 'file:///etc/passwd'>\n<graphml/>", "line 1: a DTD: allowed is XML without"),
    (".graphml", "<html/>", "NetworkXError: .* allowed is GraphML that networkx reads"),
    (".graphml", graphml(""), "empty: allowed is a file with at least one node"),
    (".graphml", graphml("<node/>"), "line 6: node id = None: allowed is an id that no other node has"),
    (".graphml", graphml('<node id="a"/>\n<node id="a"/>'), "line 7: node id = a: allowed is an id that no other"),
    (".graphml", graphml('<node id="a"/>\n<edge source="a"/>'), "line 7: edge at None: allowed is an edge between"),
    (".graphml", graphml('<edge source="a" target="b"/>\n<node id="a"/>'), "line 6: edge at b: allowed is an edge be"),
    (".graphml", graphml('<node id="a"><data key="x">east</data></node>'), "ValueError: .*'east': allowed is GraphML"),
    (".graphml", graphml('<node id="a"><data key="q">1</data></node>'), "NetworkXError: .* no key q: allowed is Gra"),
    (".graphml", graphml('<node id="a"/><hyperedge/>'), "NetworkXError: .*hyperedges: allowed is GraphML"),
    (
        ".graphml",
        graphml('<node id="a"><graph><node id="b"/></graph></node>'),
        "graphs in a graph, or after it: allowed",
    ),
    (".graphml", graphml('<node id="a"/></graph><graph><node id="b"/>'), "graphs in a graph, or after it: allowed is"),
    # JSON
    (".json", '{"nodes": [\n{"id": 1},\n]}', "line (2, column 10|3, column 1): .*: allowed is JSON"),
    (".json", "[" * 100_000, "a number of thousands of digits, or brackets as deep: allowed is neither"),
    (
        ".json",
        '{"nodes": [' + "9" * 5000 + "]}",
        "a number of thousands of digits, or brackets as deep: allowed is neither",
    ),
    (".json", "[1]", 'allowed is an object with the lists "nodes" and "edges"'),
    (".json", '{"nodes": [{"id": 1}]}', 'allowed is an object with the lists "nodes" and "edges"'),
    (".json", node_link([]), "empty: allowed is a file with at least one node"),
    (".json", node_link(AB, directed="no"), "directed = no: allowed is true or false"),
    (".json", node_link([NODE, "b"]), r"nodes\[1\] = b: allowed is an object"),
    (".json", node_link([NODE, {"name": "b"}]), r"nodes\[1\]: id = None: allowed is an id that no other node has"),
    (".json", node_link([{"id": 1}, {"id": "1"}]), r"nodes\[1\]: id = 1: allowed is an id that no other node has"),
    (".json", node_link([{"id": True}]), r"nodes\[0\]: id = True: allowed is text, or whole numbers"),
    (".json", node_link([{"id": 1.5}]), r"nodes\[0\]: id = 1.5: allowed is text, or whole numbers"),
    (".json", node_link(AB, [{"source": "a", "target": "c"}]), r"edges\[0\]: target = c: allowed is the id of a node"),
    (".json", node_link(AB, [{"source": "a"}]), r"edges\[0\]: target = None: allowed is the id of a node of the file"),
    (".json", node_link(AB, [["a", "b"]]), r"edges\[0\] = \['a', 'b'\]: allowed is an object"),
    (
        ".json",
        node_link(AB, [{"source": "a", "target": "b", "weight": True}]),
        "edge from a to b: weight = True: allowed is a number",
    ),
    (
        ".json",
        node_link([{"id": "a", "pos": [1]}]),
        r"node a: position = \[1\]: allowed are two finite numbers, in met",
    ),
    (".json", node_link([{"id": "a", "x": 1, "y": None}]), r"node a: position = None: allowed is a number"),
    (".json", node_link([{"id": "a", "pos": [1, 1e999]}]), r"node a: position = \[1, inf\]: allowed are two finite"),
    (".json", node_link([{"id": "a", "pos": [1, "east"]}]), "node a: position = east: allowed is a number"),
    (".json", node_link([{"id": "a", "role": {}}]), r"node a: role = \{\}: allowed is text"),
]


@pytest.mark.parametrize(("suffix", "content", "message"), BROKEN)
def test_a_broken_file_is_refused_with_its_name_the_place_and_what_is_allowed(
    tmp_path: Path, suffix: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(TopologyError, match=f"graph{suffix}: ({message})") as refused:
        read(tmp_path, suffix, content)
    assert str(refused.value).startswith(str(tmp_path))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < len(str(tmp_path)) + 300


def test_an_unknown_suffix_is_refused_with_all_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=r"suffix '.pickle': allowed are .graphml, .edges, .txt, .csv, .json"):
        read(tmp_path, ".pickle", b"")


def test_a_missing_file_a_folder_and_an_unreadable_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name in ("missing.csv", "folder.csv", "nul\0.csv"):
        with pytest.raises(TopologyError, match="no such file"):
            load(tmp_path / name)

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(TopologyError, match=r"unreadable \(Permission denied\): allowed is a file that this user may"):
        load(map_path("street-grid"))


@pytest.mark.parametrize("suffix", [".json", ".graphml"])
def test_a_file_that_is_too_large_is_refused_unparsed(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"large{suffix}"
    with file.open("wb") as sparse:
        sparse.truncate(64 * 2**20 + 1)
    with pytest.raises(TopologyError, match="larger than 64 MiB: allowed is what fits in memory once parsed"):
        load(file)


@pytest.mark.parametrize("name", ["city-district", "street-grid", "two-towns", "village"])
@pytest.mark.parametrize(("limit", "value"), [("NODES", 11), ("EDGES", 25)])
def test_more_nodes_or_edges_than_allowed_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, limit: str, value: int
) -> None:
    monkeypatch.setattr(files, limit, value)
    with pytest.raises(TopologyError, match=f"so far: allowed are .*{value}"):
        load(map_path(name))


def test_networkx_never_sees_a_graphml_file_with_too_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(nx, "parse_graphml", seen.append)
    monkeypatch.setattr(files, "NODES", 11)
    with pytest.raises(TopologyError, match="12 nodes, 0 edges so far"):
        load(map_path("village"))
    assert not seen


def test_exactly_as_many_nodes_and_edges_as_allowed_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, nodes, edges in (("street-grid", 30, 49), ("two-towns", 20, 61), ("village", 12, 26)):
        monkeypatch.setattr(files, "NODES", nodes)
        monkeypatch.setattr(files, "EDGES", edges)
        assert load(map_path(name)).graph.n == nodes


def test_the_cell_of_a_large_matrix_is_not_held_against_it(tmp_path: Path) -> None:
    n = 600
    row = np.zeros((n, n))
    row[0, -1] = row[-1, 0] = 0.25
    text = "\n".join(",".join(f"{value:g}" for value in line) for line in row)
    graph = read(tmp_path, ".csv", text).graph
    assert graph.edges.tolist() == [[0, n - 1]]
    assert weights(graph) == [0.25]


# suffix, content, edges, weights, notes
RULES: list[tuple[str, str, list[list[int]], list[float] | None, list[str]]] = [
    # Isolated nodes stay.
    (".edges", "a b\nc\n", [[0, 1]], None, ["1 isolated node kept, node c"]),
    (".csv", "0,1,0,0\n1,0,0,0\n0,0,0,0\n0,0,0,0\n", [[0, 1]], None, ["2 isolated nodes kept, the first node 2"]),
    (".json", node_link(AB), [], None, ["2 isolated nodes kept, the first node a"]),
    (".csv", "0", [], None, ["1 isolated node kept, node 0"]),
    # Self-loops are left out, whatever their weight.
    (".csv", "1,1\n1,0\n", [[0, 1]], None, ["1 self-loop left out, at node 0"]),
    (".csv", "nan,1\n1,-3\n", [[0, 1]], None, ["2 self-loops left out, the first at node 0"]),
    (".txt", "a b\nb b 7\n", [[0, 1]], None, ["1 self-loop left out, at node b"]),
    # An edge given twice keeps the larger weight.
    (
        ".edges",
        "a b 1\na b 3\na b 2\n",
        [[0, 1]],
        [3],
        ["1 edge given more than once, the larger weight kept, node a – node b"],
    ),
    (".edges", "b a\nb a\n", [[0, 1]], None, ["1 edge given more than once, the larger weight kept, node b – node a"]),
    (
        ".json",
        node_link(AB, [{"source": "a", "target": "b", "weight": w} for w in (2, 5)], directed=True),
        [[0, 1]],
        [5],
        ["1 edge given more than once, the larger weight kept, node a – node b"],
    ),
    (
        ".graphml",
        graphml(
            '<node id="a"/><node id="b"/><edge id="e" source="a" target="b"><data key="w">5</data></edge>'
            '<edge id="e" source="a" target="b"><data key="w">2</data></edge>'
        ),
        [[0, 1]],
        [5],
        ["1 edge given more than once, the larger weight kept, node a – node b"],
    ),
    # Two directions are one edge with the larger weight …
    (".csv", "0,1\n1,0\n", [[0, 1]], None, []),
    (".edges", "a b 2\nb a 2\n", [[0, 1]], [2], []),
    (
        ".csv",
        "0,3,0\n2,0,0\n0,0.125,0\n",
        [[0, 1], [1, 2]],
        [3, 0.125],
        ["2 edges whose weight differs in the two directions, the larger kept, the first node 0 – node 1 (3 and 2)"],
    ),
    (
        ".edges",
        "a b 1\nb a 4\n",
        [[0, 1]],
        [4],
        ["1 edge whose weight differs in the two directions, the larger kept, node a – node b (4 and 1)"],
    ),
    # … except where the file says that it is directed.
    (
        ".json",
        node_link(AB, [{"source": "a", "target": "b", "weight": 2}, {"source": "b", "target": "a"}], directed=True),
        [[0, 1], [1, 0]],
        [2, 1],
        [],
    ),
    (".graphml", graphml('<node id="a"/><node id="b"/><edge source="b" target="a"/>', "directed"), [[1, 0]], None, []),
    (".graphml", graphml('<node id="a"/><node id="b"/><edge source="b" target="a"/>'), [[0, 1]], None, []),
    # A weight that is not a positive number takes its edge along; in a matrix, 0 is no edge.
    *(
        (
            ".edges",
            f"a b 2\nb c {weight}\n",
            [[0, 1]],
            [2.0],
            [
                f"1 edge left out for a weight that is not a positive number, node b – node c ({shown})",
                "1 isolated node kept, node c",
            ],
        )
        for weight, shown in [("nan", "nan"), ("inf", "inf"), ("-1.5", "-1.5"), ("0", "0"), ("1e999", "inf")]
    ),
    (
        ".csv",
        "0,nan,0\n2,0,-inf\n0,3,0\n",
        [[0, 1], [1, 2]],
        [2, 3],
        [
            "2 edges left out for a weight that is not a positive number, the first node 0 – node 1 (nan)",
            "2 edges whose weight differs in the two directions, the larger kept, the first node 0 – node 1 (2 and 0)",
        ],
    ),
    (
        ".json",
        node_link(AB, [{"source": "a", "target": "b", "weight": 10**400}]),
        [],
        None,
        [
            "1 edge left out for a weight that is not a positive number, node a – node b (inf)",
            "2 isolated nodes kept, the first node a",
        ],
    ),
    # A missing weight is 1, and where all are 1 there are none.
    (".edges", "a b\nb c 2\n", [[0, 1], [1, 2]], [1, 2], []),
    (".json", node_link(AB, [{"source": "b", "target": "a", "weight": None}]), [[0, 1]], None, []),
    (".edges", "a b 1\nb c 1.0\n", [[0, 1], [1, 2]], None, []),
    # Numbers may come as text.
    (".json", node_link(AB, [{"source": "b", "target": "a", "weight": "0.5"}]), [[0, 1]], [0.5], []),
]


@pytest.mark.parametrize(("suffix", "content", "edges", "expected", "notes"), RULES)
def test_a_file_is_mended_by_rule_and_the_notes_say_so(
    tmp_path: Path, suffix: str, content: str, edges: list[list[int]], expected: list[float] | None, notes: list[str]
) -> None:
    loaded = read(tmp_path, suffix, content)
    assert loaded.graph.edges.tolist() == edges
    assert weights(loaded.graph) == expected
    assert list(loaded.notes) == notes


# suffix, content, names
NAMES: list[tuple[str, str, tuple[str, ...] | None]] = [
    (".edges", "b a\na c\n", ("b", "a", "c")),
    (".edges", "10 9\n9 2 # numbers, in their order\n", ("2", "9", "10")),
    (".edges", "2 0\n1 0\n", None),
    (".edges", "Main St, High St, 2\nHigh St,Mill Ln\nMill Ln,Main St,\n", ("Main St", "High St", "Mill Ln")),
    (".txt", "\ufeffé b\r\n", ("é", "b")),
    (".csv", "0,1\n1,0\n", None),
    (".csv", "a, b\n0,1\n1,0\n", ("a", "b")),
    (".csv", "a,0,1\rb,1,0\r", ("a", "b")),
    (".csv", 'a, "b, c"\n0, 1\n1, 0\n', ("a", "b, c")),
    (".csv", '"","a, b","c"\n"a, b",0,1\n"c",1,0\n', ("a, b", "c")),
    (".csv", "road,a,b\na,0,1\nb,1,0\n", ("a", "b")),
    (".csv", ",773869,767541\n773869,0,1\n767541,1,0\n", ("773869", "767541")),
    (".csv", ",0,1\n0,0,1\n1,1,0\n", None),
    (".json", node_link([{"id": 0}, {"id": 1}], [{"source": 0, "target": 1}]), None),
    (".json", node_link([{"id": 1}, {"id": 0}], [{"source": 0, "target": 1}]), ("1", "0")),
    (
        ".json",
        node_link([{"id": [0, 0]}, {"id": [0, 1]}], [{"source": [0, 0], "target": [0, 1]}]),
        ("(0, 0)", "(0, 1)"),
    ),
    (".json", node_link([{"id": 0, "name": "mill"}, {"id": "b"}], [{"source": 0, "target": "b"}]), ("mill", "b")),
    (".graphml", graphml('<node id="n1"/><node id="n0"/><edge source="n0" target="n1"/>'), ("n1", "n0")),
]


@pytest.mark.parametrize(("suffix", "content", "names"), NAMES)
def test_names_are_taken_over_unless_they_are_the_numbers(
    tmp_path: Path, suffix: str, content: str, names: tuple[str, ...] | None
) -> None:
    loaded = read(tmp_path, suffix, content)
    assert loaded.graph.names == names
    assert loaded.notes == ()


def test_numbered_nodes_keep_their_numbers_in_any_order_of_lines(tmp_path: Path) -> None:
    assert read(tmp_path, ".edges", "3 1 0.5\n0 2 0.25\n").graph.edges.tolist() == [[0, 2], [1, 3]]
    assert weights(read(tmp_path, ".edges", "3 1 0.5\n0 2 0.25\n").graph) == [0.25, 0.5]


def test_links_is_another_word_for_edges(tmp_path: Path) -> None:
    text = json.dumps({"nodes": AB, "links": [{"source": "a", "target": "b"}]})
    assert read(tmp_path, ".json", text).graph.edges.tolist() == [[0, 1]]


def test_a_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    assert read(tmp_path, ".CSV", "0,1\n1,0\n").graph.n == 2


def test_parts_of_graphml_that_say_nothing_about_the_graph_are_passed_over_in_silence(tmp_path: Path) -> None:
    keys = '<key id="c" for="node" attr.name="colour"/>'
    inside = '<node id="a"><port name="p"/><data key="c">red</data></node><node id="b"/><edge source="a" target="b"/>'
    loaded = read(tmp_path, ".graphml", f"{GRAPHML}{keys}<graph><desc>two</desc>{inside}</graph></graphml>")
    assert loaded.graph.edges.tolist() == [[0, 1]]
    assert loaded.notes == ()


def test_positions_and_roles_are_taken_over_and_a_default_counts(tmp_path: Path) -> None:
    nodes = [{"id": "a", "pos": [1, 2.5], "role": "sensor"}, {"id": "b", "x": "3", "y": -4, "role": "gateway"}]
    graph = read(tmp_path, ".json", node_link(nodes)).graph
    assert graph.positions is not None
    assert graph.positions.tolist() == [[1, 2.5], [3, -4]]
    assert graph.roles == ("sensor", "gateway")
    place = '<data key="x">1.5</data><data key="y">2</data>'
    text = graphml(f'<node id="a">{place}</node><node id="b">{place}<data key="r">gateway</data></node>')
    graph = read(tmp_path, ".graphml", text).graph
    assert graph.positions is not None
    assert graph.positions.tolist() == [[1.5, 2], [1.5, 2]]
    assert graph.roles == ("sensor", "gateway")


def test_positions_and_roles_of_some_nodes_only_are_left_out_and_noted(tmp_path: Path) -> None:
    nodes = [{"id": "a", "pos": [1, 2], "role": "sensor"}, {"id": "b"}, {"id": "c", "role": "sensor"}]
    loaded = read(tmp_path, ".json", node_link(nodes))
    assert loaded.graph.positions is None
    assert loaded.graph.roles is None
    assert loaded.notes[:2] == (
        "1 node without a role, so every role left out, node b",
        "2 nodes without a position, so every position left out, the first node b",
    )


@pytest.mark.parametrize("kind", ["undirected", "directed"])
def test_what_networkx_writes_is_read_as_it_was(tmp_path: Path, kind: str) -> None:
    directed = kind == "directed"
    made = nx.gnp_random_graph(12, 0.4, seed=3, directed=directed)
    made.remove_nodes_from(list(nx.isolates(made)))
    for k, (a, b) in enumerate(made.edges):
        made.edges[a, b]["weight"] = 0.5 + k
    nx.write_graphml(made, tmp_path / "a.graphml")
    (tmp_path / "b.json").write_text(json.dumps(nx.node_link_data(made, edges="links")))
    nx.write_weighted_edgelist(made, tmp_path / "c.edges")
    for name in ("a.graphml", "b.json") if directed else ("a.graphml", "b.json", "c.edges"):
        loaded = load(tmp_path / name)
        assert loaded.notes == ()
        assert loaded.graph.directed == directed
        assert np.array_equal(loaded.graph.adjacency().toarray(), nx.to_numpy_array(made))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    n = draw(st.integers(1, 8))
    directed = draw(st.booleans())
    pairs = [(a, b) for a in range(n) for b in range(n) if a < b or (directed and a != b)]
    edges = sorted(draw(st.sets(st.sampled_from(pairs)))) if pairs else []
    positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
    real = st.floats(allow_nan=False, allow_infinity=False)
    words = st.lists(st.text(), min_size=n, max_size=n).map(tuple)
    weighed = draw(st.none() | st.lists(positive, min_size=len(edges), max_size=len(edges)))
    places = draw(st.none() | st.lists(st.tuples(real, real), min_size=n, max_size=n))
    return Graph(
        n, np.array(edges, dtype=np.int64).reshape(-1, 2), directed,
        weights=None if weighed is None or all(weight == 1 for weight in weighed) else np.array(weighed),
        positions=None if places is None else np.array(places),
        names=draw(st.none() | words.filter(lambda names: names != tuple(map(str, range(n))))),
        roles=draw(st.none() | words),
    )  # fmt: skip


@given(graphs())
def test_what_dumps_writes_load_reads_back(tmp_path_factory: pytest.TempPathFactory, graph: Graph) -> None:
    back = read(tmp_path_factory.getbasetemp(), ".json", dumps(graph)).graph
    assert (back.n, back.directed, back.names, back.roles) == (graph.n, graph.directed, graph.names, graph.roles)
    for ours, theirs in ((back.edges, graph.edges), (back.weights, graph.weights), (back.positions, graph.positions)):
        assert (ours is None) == (theirs is None)
        assert ours is None or theirs is None or np.array_equal(ours, theirs)


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.lists(st.lists(st.sampled_from([0, 0, 0.5, 2, 3]), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_a_matrix_becomes_the_larger_of_itself_and_its_transpose(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]]
) -> None:
    text = "\n".join(",".join(map(str, row)) for row in rows)
    graph = read(tmp_path_factory.getbasetemp(), ".csv", text).graph
    expected = np.maximum(rows, np.transpose(rows))
    np.fill_diagonal(expected, 0)
    assert np.array_equal(graph.adjacency().toarray(), expected)


def loads_or_refuses(folder: Path, suffix: str, content: bytes) -> None:
    """A graph that keeps what Graph promises, or a TopologyError."""
    try:
        graph = read(folder, suffix, content).graph
    except TopologyError:
        return
    assert graph.n > 0
    ends = graph.edges
    codes = ends @ [graph.n, 1]
    assert (np.diff(codes) > 0).all()
    assert ((ends >= 0) & (ends < graph.n)).all()
    assert (ends[:, 0] != ends[:, 1]).all() if graph.directed else (ends[:, 0] < ends[:, 1]).all()
    assert graph.weights is None or (np.isfinite(graph.weights) & (graph.weights > 0)).all()
    assert graph.positions is None or np.isfinite(graph.positions).all()
    assert all(words is None or len(words) == graph.n for words in (graph.names, graph.roles))


@given(st.sampled_from(SUFFIXES), st.binary(max_size=60) | st.text(string.printable, max_size=60).map(str.encode))
def test_whatever_the_bytes_there_is_a_graph_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes
) -> None:
    loads_or_refuses(tmp_path_factory.getbasetemp(), suffix, content)


TOKENS = [
    *(b"", b"nan", b"-1", b"1e999", b"0", b"null", b"[]", b"{}", b"[[", b"\0", b"\xff", b"\n", b",", b"#", b'"', b"<"),
    *(b"&x;", b"<!DOCTYPE a>", b"9" * 5000, b"weight", b"id", b"pos", b"node_for_adding", b"node_default", b"boolean"),
]


@given(st.sampled_from([*maps(), *range(len(RULES))]), st.integers(0, 2**32))
def test_whatever_is_changed_in_a_good_file_there_is_a_graph_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, which: str | int, seed: int
) -> None:
    if isinstance(which, str):
        suffix, content = map_path(which).suffix, map_path(which).read_bytes()
    else:
        suffix, content = RULES[which][0], RULES[which][1].encode()
    rng = random.Random(seed)
    for _ in range(10):
        changed = content
        for _ in range(rng.choice([1, 1, 2, 5])):
            at, length = rng.randrange(len(changed) + 1), rng.choice([0, 0, 1, 5, 30])
            changed = changed[:at] + rng.choice(TOKENS) + changed[at + length :]
        loads_or_refuses(tmp_path_factory.getbasetemp(), suffix, changed)


def recorded(name: str) -> Path:
    file = DATA / name
    if not file.is_file():
        pytest.skip(f"{name} lies beside the project only where the recorded data was put: shared/data")
    return file


def test_the_road_sensors_of_los_angeles_are_read_with_their_isolated_sensor() -> None:
    file = recorded("los-loop/los_adj.csv")
    loaded = load(file)
    table = loaded.graph.adjacency().toarray()
    assert loaded.notes == ("207 self-loops left out, the first at node 0", "1 isolated node kept, node 26")
    assert (loaded.graph.n, len(loaded.graph.edges)) == (207, 1313)
    assert np.array_equal(table, table.T)
    assert np.flatnonzero(table.sum(axis=0) == 0).tolist() == [26]
    assert table[0, 13] == 0.260935932  # as the file has it


def test_the_roads_of_shenzhen_are_read_with_both_one_way_links_mended() -> None:
    file = recorded("sz-roads/sz_adj.csv")
    loaded = load(file)
    table = loaded.graph.adjacency().toarray()
    told = "2 edges whose weight differs in the two directions, the larger kept, the first node 2 – node 23 (1 and 0)"
    assert loaded.notes == (told,)
    assert (loaded.graph.n, len(loaded.graph.edges)) == (156, 267)
    assert loaded.graph.weights is None
    assert np.array_equal(table, table.T)
    assert loaded.graph.degrees.min() > 0
