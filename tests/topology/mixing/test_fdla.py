"""Fastest linear averaging: the optimum on graphs whose optimum is known, and at least as good as every rule."""

# ruff: noqa: N806 (a mixing matrix is W, as in the papers)

from __future__ import annotations

import sys

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import Graph
from gossipfl_topology.measures.spectrum import slem
from gossipfl_topology.mixing.fdla import fdla
from gossipfl_topology.mixing.rules import mixing_matrix


@pytest.mark.parametrize(
    ("graph", "metropolis", "best_constant", "fastest"),
    [
        (nx.barbell_graph(5, 0), 0.95026, 0.91473, 0.89443),
        (nx.barabasi_albert_graph(25, 2, seed=1), 0.92715, 0.90141, 0.82341),
        (nx.star_graph(9), 0.9, 0.81818, 0.81818),
        (nx.hypercube_graph(3), 0.5, 0.5, 0.5),
    ],
    ids=["dumbbell 5+5", "Barabási–Albert 25", "star 10", "cube"],
)
def test_the_fastest_weights_of_known_graphs(
    graph: nx.Graph, metropolis: float, best_constant: float, fastest: float
) -> None:
    pytest.importorskip("cvxpy")
    found = {rule: slem(mixing_matrix(graph, rule)) for rule in ("metropolis", "best-constant", "fdla")}
    assert found == pytest.approx({"metropolis": metropolis, "best-constant": best_constant, "fdla": fastest}, abs=6e-6)


@settings(max_examples=8)
@given(st.integers(3, 10), st.integers(0, 2**20))
def test_no_rule_beats_the_fastest_weights(n: int, seed: int) -> None:
    pytest.importorskip("cvxpy")
    graph = nx.gnp_random_graph(n, 0.6, seed=seed)
    W = mixing_matrix(graph, "fdla")
    np.testing.assert_allclose(W, W.T, atol=0)
    np.testing.assert_allclose(W.sum(axis=0), 1, atol=1e-12)
    others = min(slem(mixing_matrix(graph, rule)) for rule in ("metropolis", "max-degree", "lazy", "best-constant"))
    assert slem(W) <= others + 1e-6


def test_weights_may_be_negative() -> None:
    pytest.importorskip("cvxpy")
    assert (fdla(Graph.from_networkx(nx.barabasi_albert_graph(25, 2, seed=1))) < -1e-3).sum() == 4


def test_without_cvxpy_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(TopologyError, match=r"pip install 'gossipfl\[fdla\]'"):
        mixing_matrix(nx.path_graph(3), "fdla")


def test_a_graph_that_would_take_hours_is_refused() -> None:
    with pytest.raises(TopologyError, match="fdla: n = 201: must be at most 200"):
        mixing_matrix(nx.path_graph(201), "fdla")
