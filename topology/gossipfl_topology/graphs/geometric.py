"""Random geometric graphs: devices in a city, joined where their radios reach (Gilbert, "Random plane networks", 1961).

Positions and range are in metres. The gap shrinks with the square of range over extent: a city is a slow graph.
"""

from __future__ import annotations

import math

import numpy as np

from gossipfl_topology.graph import FloatArray, Graph, undirected
from gossipfl_topology.parameters import check

MAX_NEIGHBOURS = 200
"""Mean degree beyond which this is no radio network any more, and memory becomes the limit."""


def geometric(
    n: int,
    *,
    range: float | None = None,  # noqa: A002 - the radio's
    side: float = 1000.0,
    rng: np.random.Generator,
) -> Graph:
    """n devices at random places of a square, joined where they are within radio range.

    Args:
        n: number of nodes, ≥ 1.
        range: of the radios in metres, > 0; by default √(2·ln n / (π n))·side, which connects nearly all of them.
        side: of the square in metres, > 0.
        rng: the randomness.

    >>> city = geometric(50, range=300.0, rng=np.random.default_rng(0))
    >>> city.positions.shape
    (50, 2)
    """
    check("geometric", "n", n, n >= 1, "at least 1")
    check("geometric", "side", side, side > 0, "more than 0 metres")
    if range is None:
        range = max(math.sqrt(2 * math.log(max(n, 2)) / (math.pi * n)), 1e-9) * side  # noqa: A001
    check("geometric", "range", range, range > 0, "more than 0 metres")
    crowd = n * math.pi * (range / side) ** 2
    most = side * math.sqrt(MAX_NEIGHBOURS / (math.pi * n))
    check("geometric", "range", range, crowd <= MAX_NEIGHBOURS or n <= 2000, f"at most {most:.0f} metres for {n} nodes")
    return within_range(rng.random((n, 2)) * side, range)


def within_range(positions: FloatArray, range: float) -> Graph:  # noqa: A002
    """The graph of devices at `positions`, shape (n, 2) in metres, joined where at most `range` metres apart.

    >>> within_range(np.array([[0.0, 0.0], [0.0, 80.0], [0.0, 200.0]]), range=100.0).edges.tolist()
    [[0, 1]]
    """
    from scipy.spatial import cKDTree

    return undirected(len(positions), cKDTree(positions).query_pairs(range, output_type="ndarray"), positions=positions)
