"""What is odd in a graph file, mended by fixed rules, with a sentence about each: the rules of `files.load`'s table.

Knows no file and no format: it gets what was read, and gives a simple graph.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gossipfl_topology.graph import FloatArray, Graph, IntArray


def mend(listed: Graph, *, matrix: bool) -> tuple[Graph, tuple[str, ...]]:
    """The simple graph of what a file lists, and what was mended, a sentence each.

    Args:
        listed: edges as they were read: maybe loops, repeated, in both directions, with any weights.
        matrix: does each undirected edge stand there twice, as in an adjacency matrix?

    >>> mend(Graph(2, np.array([[0, 1], [1, 1]])), matrix=False)[1]
    ('1 self-loop left out, at node 1',)
    """
    notes: list[str] = []
    n, labels, ends = listed.n, listed.labels, listed.edges
    weights = np.ones(len(ends)) if listed.weights is None else listed.weights

    def at(node: int) -> str:
        return f"node {shown(labels[node])}"

    def edge(k: int) -> str:
        return f"{at(ends[k, 0])} – {at(ends[k, 1])}"

    def tell(chosen: npt.NDArray[np.bool_], noun: str, told: str, example: Callable[[int], str]) -> None:
        if chosen.any():
            notes.append(note(int(chosen.sum()), noun, told, example(int(np.argmax(chosen)))))

    loops = ends[:, 0] == ends[:, 1]
    tell(loops, "self-loop", "left out", lambda k: f"at {at(ends[k, 0])}")
    unfit = ~loops & ~(np.isfinite(weights) & (weights > 0))
    told = "left out for a weight that is not a positive number"
    tell(unfit, "edge", told, lambda k: f"{edge(k)} ({weights[k]:g})")
    ends, weights = ends[~loops & ~unfit], weights[~loops & ~unfit]

    ends, largest, _, counts = _grouped(ends, weights, n)
    tell(counts > 1, "edge", "given more than once, the larger weight kept", edge)
    weights = largest
    if not listed.directed:
        ends, weights, smallest, counts = _grouped(np.sort(ends, axis=1), largest, n)
        back = np.where(counts > 1, smallest, 0.0)
        differ = (weights > back) & (matrix | (counts > 1))
        told = "whose weight differs in the two directions, the larger kept"
        tell(differ, "edge", told, lambda k: f"{edge(k)} ({weights[k]:g} and {back[k]:g})")
    tell(np.bincount(ends.ravel(), minlength=n) == 0, "isolated node", "kept", at)
    mended = replace(
        listed,
        edges=ends,
        weights=None if (weights == 1).all() else weights,
        names=None if all(label == str(k) for k, label in enumerate(labels)) else labels,
    )
    return mended, tuple(notes)


def _grouped(ends: IntArray, weights: FloatArray, n: int) -> tuple[IntArray, FloatArray, FloatArray, IntArray]:
    """Each pair of ends once, ascending; the largest and smallest of its weights; how many there are."""
    codes = ends @ [n, 1]
    order = np.argsort(codes)
    codes, weights = codes[order], weights[order]
    firsts = np.flatnonzero(np.diff(codes, prepend=-1))
    largest, smallest = np.maximum.reduceat(weights, firsts), np.minimum.reduceat(weights, firsts)
    return ends[order[firsts]], largest, smallest, np.diff(firsts, append=len(codes))


def note(count: int, noun: str, told: str, example: str) -> str:
    """A sentence about so many of something.

    >>> note(3, "self-loop", "left out", "at node 17")
    '3 self-loops left out, the first at node 17'
    """
    return f"{count:,} {noun}{'s' * (count > 1)} {told}, {'the first ' * (count > 1)}{example}"


def shown(value: object) -> str:
    """A value from a file as a message can bear it: short, and nothing in it that steers a terminal.

    >>> shown("street 7")
    'street 7'
    """
    text = value if isinstance(value, str) else reprlib.repr(value)
    return text if text.isprintable() and 0 < len(text) <= 80 else reprlib.repr(text)
