"""What all schedules share: the sizes that they allow, and the round in which groups of nodes average.

Knows no schedule.
"""

from __future__ import annotations

from numbers import Integral

from gossipfl_topology.graph import FloatArray, IntArray
from gossipfl_topology.parameters import check

MOST_NODES = 10_000
"""A mixing matrix of so many nodes takes 800 MB."""


def check_sizes(name: str, n: int, *, least: int = 1, **numbers: int) -> None:
    """Refuse sizes that no schedule has.

    Args:
        name: of the schedule.
        n: number of nodes, a whole number from `least` to MOST_NODES.
        least: nodes that the schedule needs.
        numbers: the other parameters of the schedule, whole numbers ≥ 1.

    Raises:
        TopologyError: for the first that isn't so.

    >>> check_sizes("matching", 5, rounds=0)
    Traceback (most recent call last):
    gossipfl_topology.errors.TopologyError: matching: rounds = 0: must be a whole number, at least 1
    """
    fits = isinstance(n, Integral) and least <= n <= MOST_NODES
    check(name, "n", n, fits, f"must be a whole number, {least} to {MOST_NODES}; larger matrices don't fit into memory")
    for key, number in numbers.items():
        fits = isinstance(number, Integral) and number >= 1
        check(name, key, number, fits, "must be a whole number, at least 1")


def average_groups(matrix: FloatArray, groups: IntArray) -> None:
    """Let the nodes of each group average with equal weights.

    Args:
        matrix: of the round, shape (n, n), changed in place.
        groups: disjoint groups of one size, shape (number of groups, size).

    >>> import numpy as np
    >>> matrix = np.eye(3)
    >>> average_groups(matrix, np.array([[0, 2]]))
    >>> matrix
    array([[0.5, 0. , 0.5],
           [0. , 1. , 0. ],
           [0.5, 0. , 0.5]])
    """
    matrix[groups[:, :, None], groups[:, None, :]] = 1 / groups.shape[1]
