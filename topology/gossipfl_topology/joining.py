"""Links that a map lacks: a road graph whose parts don't reach each other becomes a connected one.

Who is alone learns alone, so every part gets links to others, two of them, so that no single device is what a part
depends on. Where nodes have positions the nearest are linked, otherwise those with most links, who hear most. Gateways
are linked with each other, and are whom parts without one turn to. Knows no file and no builder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gossipfl_topology.graph import Graph, IntArray
from gossipfl_topology.mending import note, shown

LINKS = 2
"""From a part to others: with one, a dead device would cut it off again."""
FEW = 5
"""Gateways up to which each is linked with each other; more stand in a ring, as districts do."""


@dataclass(frozen=True)
class Joined:
    """A connected graph.

    Attributes:
        graph: with all that it had.
        added: the links that were not there before, shape (k, 2), smaller node first; in a directed graph, both ways.
        notes: why they were added, a sentence each; empty where the graph was connected.
    """

    graph: Graph
    added: IntArray
    notes: tuple[str, ...]


def join(graph: Graph, gateways: Sequence[int] = ()) -> Joined:
    """The graph, with the links that make it connected.

    Args:
        graph: of a few thousand nodes. A link one way is one: its nodes have heard of each other.
        gateways: numbers of nodes that are linked with each other, and that parts without one are linked to.

    >>> join(Graph(4, np.array([[0, 1], [1, 2]]))).added.tolist()
    [[0, 3], [1, 3]]
    """
    edges = [(int(a), int(b)) for a, b in np.sort(graph.edges, axis=1)]
    notes = []
    before = set(edges)
    if among := [pair for pair in _together(gateways) if pair not in before]:
        notes.append(note(len(among), "link", "added between gateways", _edge(graph, among[0])))
    edges += among
    while len(parts := _parts(graph.n, edges)) > 1:
        now = replace(graph, edges=np.array(edges, dtype=np.int64).reshape(-1, 2), directed=False, weights=None)
        for part in parts[:-1]:
            links = _links(now, part, gateways)
            what = (
                f"node {shown(graph.labels[part[0]])}, which had none" if len(part) == 1 else f"a part of {len(part)}"
            )
            notes.append(note(len(links), "link", f"added for {what}", _edge(graph, links[0])))
            edges += [(min(pair), max(pair)) for pair in links]
    added = np.array(sorted(set(edges) - before), dtype=np.int64).reshape(-1, 2)
    return Joined(_with(graph, added), added, tuple(notes))


def _with(graph: Graph, added: IntArray) -> Graph:
    """The graph with links more, of weight 1; its edges stay in ascending order."""
    both = np.concatenate([added, added[:, ::-1]]) if graph.directed else added
    edges = np.concatenate([graph.edges, both])
    order = np.lexsort(edges.T[::-1])
    weights = None if graph.weights is None else np.concatenate([graph.weights, np.ones(len(both))])[order]
    return replace(graph, edges=edges[order], weights=weights)


def _edge(graph: Graph, pair: tuple[int, int]) -> str:
    return " – ".join(shown(graph.labels[node]) for node in pair)


def _together(gateways: Sequence[int]) -> list[tuple[int, int]]:
    """Each gateway with each other while they are few, otherwise a ring of them."""
    ordered = sorted(set(gateways))
    if len(ordered) <= FEW:
        return [(a, b) for k, a in enumerate(ordered) for b in ordered[k + 1 :]]
    return [(min(a, b), max(a, b)) for a, b in zip(ordered, ordered[1:] + ordered[:1], strict=True)]


def _parts(n: int, edges: list[tuple[int, int]]) -> list[list[int]]:
    """The connected parts, the smallest first."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    ends = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    count, labels = connected_components(sparse.coo_array((np.ones(ends.shape[1]), ends), shape=(n, n)), directed=False)
    return sorted((np.flatnonzero(labels == part).tolist() for part in range(count)), key=len)


def _links(graph: Graph, part: list[int], gateways: Sequence[int]) -> list[tuple[int, int]]:
    """Links from `part` to others, to different ones."""
    inside = set(part)
    others = [node for node in range(graph.n) if node not in inside]
    outer = sorted(set(gateways) - inside)
    # Who is alone has its nearest beside it; a part has a gateway for that, if anybody has.
    candidates = outer if outer and (len(part) > 1 or graph.positions is None) else others
    if graph.positions is None:
        degrees = graph.degrees
        hub = max(part, key=lambda node: (degrees[node], -node))
        best = sorted(candidates, key=lambda node: (-degrees[node], node))[:LINKS]
        return [(hub, node) for node in best]
    places = graph.positions
    apart = np.linalg.norm(places[part][:, None] - places[candidates][None], axis=2)
    nearest = np.argsort(apart.min(axis=0), kind="stable")[:LINKS]
    return [(part[int(apart[:, k].argmin())], candidates[k]) for k in nearest.tolist()]
