"""What is measured: a graph, a periodic schedule, or a random one, by its name, ready to be run in rounds.

Knows how to make rounds of each; what they are worth is for `summary` and `comparison` to find out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gossipfl_topology.catalogue import GRAPHS, SCHEDULES, arrays, schedule
from gossipfl_topology.graph import FloatArray, Graph
from gossipfl_topology.measures.consensus import Rounds, fresh, masked
from gossipfl_topology.mixing.rules import mixing_matrix
from gossipfl_topology.parameters import find, parameters, parse


@dataclass(frozen=True, eq=False)
class Subject:
    """A topology of `n` nodes. Exactly one of `graph`, `period` and `draw` is there.

    Attributes:
        name: as it was asked for.
        n: number of nodes.
        graph: one that stays.
        period: mixing matrices that repeat.
        draw: from a number of nodes and randomness to the mixing matrix of one round.
    """

    name: str
    n: int
    graph: Graph | None = None
    period: tuple[FloatArray, ...] | None = None
    draw: Callable[[int, np.random.Generator], FloatArray] | None = None

    def rounds(self) -> Rounds:
        """How to make its rounds: random ones over the nodes present, others with absent partners masked.

        >>> ring = named_subject("ring", 4).rounds()
        >>> ring(0, np.random.default_rng(0), np.ones(4, dtype=bool))[0].round(2).tolist()
        [0.33, 0.33, 0.0, 0.33]
        """
        if self.draw is not None:
            return fresh(self.draw)
        if self.period is not None:
            return masked(self.period)
        assert self.graph is not None
        return masked([mixing_matrix(self.graph)])


def named_subject(text: str, n: int, seed: int = 0) -> Subject:
    """The topology `NAME[:KEY=VALUE,…]` of n nodes.

    Args:
        text: a name in GRAPHS or SCHEDULES, with parameters.
        n: number of nodes, ≥ 1.
        seed: of a random graph.

    Raises:
        TopologyError: an unknown name or parameter, or a value that no such topology has.

    >>> named_subject("base:k=2", 9).period[0].shape
    (9, 9)
    """
    name, params = parse(text)
    function = find(name, {**SCHEDULES, **GRAPHS})
    if name in GRAPHS:
        return Subject(text, n, graph=arrays(name, n, seed, **params))
    made = schedule(name, n, seed, **params)  # checks the parameters as well
    if "rng" not in inspect.signature(function).parameters:
        return Subject(text, n, period=tuple(made))
    return Subject(text, n, draw=_drawing(name, params, parameters(function)))


def _drawing(
    name: str, params: dict[str, str], defaults: dict[str, Any]
) -> Callable[[int, np.random.Generator], FloatArray]:
    """Draws one round; where fewer nodes are present than a node has neighbours, with as many as there are."""
    wanted = {key: int(params.get(key, value)) for key, value in defaults.items() if key != "rounds"}

    def draw(present: int, rng: np.random.Generator) -> FloatArray:
        if present == 1:
            return np.ones((1, 1))
        fitting = {key: min(value, present - 1) for key, value in wanted.items()}
        if name == "el-oracle" and present * fitting["s"] % 2:
            fitting["s"] -= 1  # a regular graph needs an even number of ends
        if 0 in fitting.values():
            return np.eye(present)
        return schedule(name, present, int(rng.integers(2**63)), **fitting)[0]

    return draw
