"""Graphs from files and back to text: GraphML, edge lists, adjacency matrices, node-link JSON; and the shipped maps.

The package's only place that reads a file; nothing here writes one. A file may come from anywhere: it is text, bounded
in size before it is parsed, never unpickled or evaluated. What can be mended is mended and noted: isolated nodes stay,
self-loops and edges without a positive weight go, of two weights for one edge the larger stays. What can't is a
TopologyError with the file, the place in it, and what is allowed. Knows no builder, measure or drawing.
"""

from __future__ import annotations

import csv
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import FloatArray, Graph, IntArray
from gossipfl_topology.mending import mend, note, shown

NODES = 1_000_000  # what the arrays of Graph are meant for
EDGES = 10_000_000
# EDGES lines or entries fit in the first, and take up to fifteen times their text in memory; what JSON and XML are
# parsed into takes up to fifty times theirs.
PLAIN_BYTES, OBJECT_BYTES = 256 * 2**20, 64 * 2**20
MAPS = Path(__file__).parent / "maps"
EMPTY = "empty: allowed is a file with at least one node"


@dataclass(frozen=True)
class Loaded:
    """A graph from a file.

    Attributes:
        graph: simple, its edges in ascending order.
        notes: what was mended, left out, or is isolated, a sentence each; empty where the file is as it should be.
    """

    graph: Graph
    notes: tuple[str, ...]


def load(path: str | PathLike[str]) -> Loaded:
    """The graph in a file, UTF-8 text in the format that its suffix names.

    * `.graphml`: as `networkx.write_graphml` writes it.
    * `.edges`, `.txt`: an edge per line, `a b [weight]`, with blanks or commas between (commas where names have
      blanks); a name alone is an isolated node; `#` opens a comment. Nodes come in the order of their first mention,
      or of their numbers where all are whole numbers.
    * `.csv`: a square adjacency matrix, entry (i, j) the weight from i to j, with an optional header row and column of
      names (where these are numbers: both, and an empty corner); a line that begins with `#` is a comment.
    * `.json`: node-link, as `networkx.node_link_data` gives it, the edges under "edges" or "links".

    The nodes' attributes `name`, `role`, and `pos` (two numbers in metres) or `x` and `y` are taken over; positions and
    roles only where every node has them.

    | in the file                              | in the graph                                           | noted |
    |------------------------------------------|--------------------------------------------------------|-------|
    | a node without edges                     | stays                                                  | yes   |
    | a self-loop, an entry on the diagonal    | left out                                               | yes   |
    | an edge more than once                   | once, with the larger weight                           | yes   |
    | the same weight in both directions       | one edge                                               | no    |
    | another weight, or a matrix's 0, back    | one edge with the larger: strong one way is a link     | yes   |
    | … in GraphML or JSON that says directed  | two directed edges                                     | no    |
    | an edge without weight                   | weight 1; `weights` is None where all weights are 1    | no    |
    | a weight that is NaN, infinite, negative | edge left out                                          | yes   |
    | a weight of 0                            | edge left out; in a matrix, no edge                    | yes   |

    Args:
        path: of a file with at most 1,000,000 nodes, 10,000,000 edges and 256 MiB, or 64 MiB of GraphML or JSON.

    Raises:
        TopologyError: unknown suffix; file missing, unreadable, too large, binary or empty; not square, not a number;
            broken XML or JSON, XML with a DTD. The message has the file, line and column or key, and what is allowed.

    >>> load(map_path("two-towns")).graph.n
    20
    """
    source = Path(path)
    try:
        if source.suffix.lower() not in _READERS:
            raise TopologyError(f"suffix {source.suffix!r}: allowed are {', '.join(_READERS)}")
        read, limit = _READERS[source.suffix.lower()]
        found = read(_text(source, limit))
        graph, notes = mend(found.graph, matrix=read is _matrix)
        return Loaded(graph, (*found.notes, *notes))
    except TopologyError as error:
        raise TopologyError(f"{source}: {error}") from error


def dumps(graph: Graph) -> str:
    """The graph as node-link JSON text, which `load` reads back from a `.json` file.

    >>> dumps(Graph(1, np.empty((0, 2), dtype=np.int64)))
    '{"directed": false, "multigraph": false, "graph": {}, "nodes": [{"id": 0}], "edges": []}'
    """
    import networkx as nx

    return json.dumps(nx.node_link_data(graph.to_networkx(), edges="edges"))


def maps() -> tuple[str, ...]:
    """The names of the shipped maps.

    >>> maps()
    ('city-district', 'street-grid', 'two-towns', 'village')
    """
    return tuple(sorted(file.stem for file in MAPS.iterdir() if file.suffix in _READERS))


def map_path(name: str) -> Path:
    """The file of a shipped map.

    Raises:
        TopologyError: there is none of that name.

    >>> map_path("village").name
    'village.graphml'
    """
    if name not in maps():
        hint = "".join(f"did you mean {near}? " for near in get_close_matches(name, maps(), 1))
        raise TopologyError(f"no map {name!r}; {hint}allowed: {', '.join(maps())}")
    return next(file for file in MAPS.iterdir() if file.stem == name)


def _text(source: Path, limit: int) -> str:
    try:
        if not source.is_file():  # a folder, or a pipe that might never end
            raise TopologyError("no such file")
        with source.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise TopologyError(f"unreadable ({error.strerror}): allowed is a file that this user may read") from error
    if len(raw) > limit:
        raise TopologyError(f"larger than {limit // 2**20} MiB: allowed is what fits in memory once parsed")
    if b"\0" in raw:
        raise TopologyError("binary, or UTF-16: allowed is text in UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TopologyError(f"line {line}: byte {raw[error.start]:#x}: allowed is text in UTF-8") from error
    if not text.strip():
        raise TopologyError(EMPTY)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are neither blank nor comments, with their numbers."""
    return ((k, line) for k, line in enumerate(text.split("\n"), 1) if line.lstrip()[:1] not in ("", "#"))


def _edge_list(text: str) -> Loaded:
    index: dict[str, int] = {}
    ends: list[int] = []
    weights: list[float] = []
    for number, line in _lines(text):
        told = line.partition("#")[0].strip()
        cells = [cell.strip() for cell in told.removesuffix(",").split(",")] if "," in told else told.split()
        if len(cells) > 3 or not all(cells):
            raise TopologyError(f"line {number}: {shown(told)}: allowed is NAME NAME [WEIGHT], or NAME alone")
        nodes = [index.setdefault(name, len(index)) for name in cells[:2]]
        if len(nodes) == 2:
            ends += nodes
            weights.append(_number(cells[2], f"line {number}, column 3:") if len(cells) == 3 else 1.0)
        _bound(len(index), len(weights))
    if not index:
        raise TopologyError(EMPTY)
    labels, pairs = list(index), np.array(ends, dtype=np.int64).reshape(-1, 2)
    if all(label.isascii() and label.isdigit() and len(label) < 19 for label in labels):  # 18 digits fit an int64
        order = np.argsort(np.array(labels, dtype=np.int64), kind="stable")
        labels, pairs = [labels[node] for node in order], np.argsort(order)[pairs]
    return Loaded(Graph(len(labels), pairs, weights=np.array(weights), names=tuple(labels)), ())


def _matrix(text: str) -> Loaded:
    """Row by row, for memory is wanted for the edges, not for n² entries."""
    lines = list(_lines(text))
    if not lines:
        raise TopologyError(EMPTY)
    first = _cells(*lines[0])
    in_row, in_column = _headers(len(lines), first)
    heads: list[str] = []
    rows: list[IntArray] = []
    values: list[FloatArray] = []
    entries = 0
    for number, line in lines[in_row:]:
        cells = _cells(number, line)
        if len(cells) != len(first):
            rule = f"allowed are {len(first)}, as in line {lines[0][0]}, with commas between"
            raise TopologyError(f"line {number}: {len(cells)} columns: {rule}")
        row = _numbers(cells[in_column:], number, 1 + in_column)
        heads.append(cells[0].strip())
        rows.append(np.flatnonzero(row))
        values.append(row[rows[-1]])
        entries += len(values[-1])
        _bound(len(heads), entries // 2)
    n, names = len(rows), [cell.strip() for cell in first[in_column:]] if in_row else heads
    if in_row and in_column and names != heads:
        raise TopologyError(f"line {lines[0][0]}: names: allowed are the same as in the first column, in their order")
    if (in_row or in_column) and ("" in names or len(set(names)) < n):
        name = next(name for name, count in Counter(names).items() if count > 1 or not name)
        raise TopologyError(f"name {shown(name)}: allowed is a name for each node, which no other has")
    ends = np.stack([np.repeat(np.arange(n), [len(row) for row in rows]), np.concatenate(rows)], axis=1)
    named = tuple(names) if in_row or in_column else None
    return Loaded(Graph(n, ends, weights=np.concatenate(values), names=named), ())


def _headers(height: int, first: Sequence[str]) -> tuple[bool, bool]:
    """Are there names in the first row, and in the first column?

    The shape says so; but a matrix that lacks a row, or has a typing error, must not pass for a smaller one with names.
    """
    width, numbers = len(first), [_is_number(cell) for cell in first]
    if height == width:
        corner = height > 1 and (not first[0].strip() or not any(numbers))
        return corner, corner
    if (height == width + 1 and not any(numbers)) or (width == height + 1 and not numbers[0]):
        return height > width, width > height
    rule = "as many rows as columns, and names; where these are numbers, in both row and column, with an empty corner"
    raise TopologyError(f"{height} rows of {width} columns: allowed are {rule}")


def _cells(number: int, line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True, skipinitialspace=True))
    except csv.Error as error:
        raise TopologyError(f"line {number}: {error}: allowed are numbers with commas between them") from error


def _numbers(cells: Sequence[str], line: int, column: int) -> FloatArray:
    """The numbers in a line's cells, of which the first stands in `column`."""
    try:
        return np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:  # once more, to say where
        return np.array([_number(cell, f"line {line}, column {column + k}:") for k, cell in enumerate(cells)])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _json(text: str) -> Loaded:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise TopologyError(f"{where}: {error.msg}: allowed is JSON") from error
    except (ValueError, RecursionError) as error:
        raise TopologyError("a number of thousands of digits, or brackets as deep: allowed is neither") from error
    return _node_link(data)


def _graphml(text: str) -> Loaded:
    import networkx as nx

    counted = _count_graphml(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about ports, and keys without a type: of no matter here
        try:
            # Each edge under a key of its own: of two with the same id, networkx would keep the last.
            graph = nx.parse_graphml(text, edge_key_type=lambda _: object())
            for listed, kind in ((graph.nodes, "node"), (graph.edges, "edge")):
                for attributes in (listed[key] for key in listed):
                    attributes |= {**graph.graph[f"{kind}_default"], **attributes}
        except Exception as error:  # its conversions raise what they meet, as KeyError or AttributeError
            what = shown(f"{type(error).__name__}: {error}")
            raise TopologyError(f"{what}: allowed is GraphML that networkx reads") from error
    if counted != (len(graph), graph.number_of_edges()):
        raise TopologyError(
            "graphs in a graph, or after it: allowed is one graph, of which networkx leaves nothing out"
        )
    return _node_link(nx.node_link_data(graph, edges="edges"))


def _count_graphml(text: str) -> tuple[int, int]:
    """The numbers of nodes and edges.

    Refused are a DTD, whose entities can unfold without end, and nodes that networkx would make up or merge.
    """
    nodes: set[str | None] = set()
    ends: list[tuple[int, str | None]] = []
    parser = expat.ParserCreate(namespace_separator=" ")

    def doctype(*_: object) -> None:
        raise TopologyError(f"line {parser.CurrentLineNumber}: a DTD: allowed is XML without <!DOCTYPE> and entities")

    def element(tag: str, attributes: dict[str, str]) -> None:
        line, kind = parser.CurrentLineNumber, tag.removeprefix("http://graphml.graphdrawing.org/xmlns ")
        if kind == "node":
            name = attributes.get("id")
            if name is None or name in nodes:
                raise TopologyError(f"line {line}: node id = {shown(name)}: allowed is an id that no other node has")
            nodes.add(name)
        elif kind == "edge":
            ends.extend((line, attributes.get(end)) for end in ("source", "target"))
        _bound(len(nodes), len(ends) // 2)

    parser.StartDoctypeDeclHandler, parser.StartElementHandler = doctype, element
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        where = f"line {error.lineno}, column {error.offset + 1}"
        raise TopologyError(f"{where}: {expat.ErrorString(error.code)}: allowed is XML") from error
    for line, name in ends:
        if name not in nodes:
            raise TopologyError(f"line {line}: edge at {shown(name)}: allowed is an edge between nodes of the file")
    return len(nodes), len(ends) // 2


def _node_link(data: Any) -> Loaded:
    links = data.get("edges", data.get("links")) if isinstance(data, dict) else None
    if not isinstance(links, list) or not isinstance(data.get("nodes"), list):
        raise TopologyError('allowed is an object with the lists "nodes" and "edges" (or "links")')
    nodes, directed = data["nodes"], data.get("directed", False)
    if not nodes:
        raise TopologyError(EMPTY)
    if not isinstance(directed, bool):
        raise TopologyError(f"directed = {shown(directed)}: allowed is true or false")
    _bound(len(nodes), len(links))
    index: dict[str, int] = {}
    for k, node in enumerate(nodes):
        key = _word(node, "id", f"nodes[{k}]")
        if key is None or index.setdefault(key, k) != k:
            raise TopologyError(f"nodes[{k}]: id = {shown(key)}: allowed is an id that no other node has")
    ends, weights = np.empty((len(links), 2), dtype=np.int64), np.ones(len(links))
    for k, link in enumerate(links):
        for column, end in enumerate(("source", "target")):
            key = _word(link, end, f"edges[{k}]")
            if key not in index:
                raise TopologyError(f"edges[{k}]: {end} = {shown(key)}: allowed is the id of a node of the file")
            ends[k, column] = index[key]
        if link.get("weight") is not None:
            where = f"edge from {shown(link['source'])} to {shown(link['target'])}: weight ="
            weights[k] = _number(link["weight"], where)
    names, roles, positions, notes = _attributes(nodes, list(index))
    return Loaded(Graph(len(nodes), ends, directed, weights, positions, names, roles), notes)


def _attributes(
    nodes: list[dict[str, Any]], ids: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...] | None, FloatArray | None, tuple[str, ...]]:
    """Names, roles, positions, and notes on what was left out of them."""
    where = [f"node {shown(key)}" for key in ids]
    names, roles = ([_word(node, key, at) for node, at in zip(nodes, where, strict=True)] for key in ("name", "role"))
    positions = [_position(node, at) for node, at in zip(nodes, where, strict=True)]
    notes = []
    for what, values in (("role", roles), ("position", positions)):
        without = [at for at, value in zip(where, values, strict=True) if value is None]
        if 0 < len(without) < len(nodes):
            notes.append(note(len(without), "node", f"without a {what}, so every {what} left out", without[0]))
    return (
        tuple(key if name is None else name for key, name in zip(ids, names, strict=True)),
        None if None in roles else tuple(map(str, roles)),
        None if None in positions else np.array(positions, dtype=np.float64),
        tuple(notes),
    )


def _word(record: Any, key: str, where: str) -> str | None:
    """The text, whole number, or list of these (as in the ids of a grid) under `key`; None where there is none."""
    if not isinstance(record, dict):
        raise TopologyError(f"{where} = {shown(record)}: allowed is an object")
    value = record.get(key)
    parts = value if isinstance(value, list) else [value]
    if value is not None and any(type(part) not in (str, int) for part in parts):
        raise TopologyError(f"{where}: {key} = {shown(value)}: allowed is text, or whole numbers")
    return None if value is None else str(tuple(parts)) if isinstance(value, list) else str(value)


def _number(value: Any, where: str) -> float:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
        except ValueError:
            pass
    raise TopologyError(f"{where} {shown(value)}: allowed is a number")


def _position(node: dict[str, Any], where: str) -> list[float] | None:
    pair = [node.get("x"), node.get("y")] if node.get("pos") is None else node["pos"]
    if pair == [None, None]:
        return None
    if isinstance(pair, list) and len(pair) == 2:
        numbers = [_number(value, f"{where}: position =") for value in pair]
        if np.isfinite(numbers).all():
            return numbers
    raise TopologyError(f"{where}: position = {shown(pair)}: allowed are two finite numbers, in metres")


def _bound(nodes: int, edges: int) -> None:
    if nodes > NODES or edges > EDGES:
        raise TopologyError(f"{nodes:,} nodes, {edges:,} edges so far: allowed are {NODES:,} and {EDGES:,}")


_READERS: dict[str, tuple[Callable[[str], Loaded], int]] = {
    ".graphml": (_graphml, OBJECT_BYTES),
    ".edges": (_edge_list, PLAIN_BYTES),
    ".txt": (_edge_list, PLAIN_BYTES),
    ".csv": (_matrix, PLAIN_BYTES),
    ".json": (_json, OBJECT_BYTES),
}
