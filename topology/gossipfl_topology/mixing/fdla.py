"""Fastest distributed linear averaging: the best weights that a graph has, from a semidefinite program.

Needs the whole graph and the optional cvxpy, so it is for study and for fleets that never change; no daemon runs it.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import FloatArray, Graph
from gossipfl_topology.parameters import check

MOST_NODES = 200
"""The time grows with the fifth power: these take half an hour."""


def fdla(graph: Graph) -> FloatArray:
    """Edge weights w, shape (m,), that minimize ‖W − J‖₂ over all symmetric W on the graph that keep the mean.

    Minimizes t subject to −t I ⪯ W − J ⪯ t I with W = I − Σ wₑ bₑ bₑᵀ, bₑ = eᵢ − eⱼ (Xiao, Boyd, "Fast linear
    iterations for distributed averaging", Systems & Control Letters, 2004). Weights may be negative. The
    gain over `metropolis` is in irregular graphs. 25 nodes take a tenth of a second, 50 two seconds, 100 a minute.

    Raises:
        TopologyError: a directed graph, more than 200 nodes, cvxpy isn't installed, or its solver fails.

    >>> fdla(Graph(3, np.empty((0, 2), dtype=int)))  # nobody to average with
    array([], dtype=float64)
    """
    if graph.directed:
        raise TopologyError("fdla: the graph is directed: must be undirected; metropolis or max-degree may work")
    check("fdla", "n", graph.n, graph.n <= MOST_NODES, f"must be at most {MOST_NODES}; best-constant takes more")
    if len(graph.edges) == 0:
        return np.empty(0)
    try:
        cp = import_module("cvxpy")
    except ImportError as error:
        raise TopologyError("fdla needs cvxpy: pip install 'gossipfl[fdla]'; best-constant works without") from error
    from scipy import sparse

    m, n = len(graph.edges), graph.n
    ends = (np.repeat([1.0, -1.0], m), (graph.edges.T.ravel(), np.tile(np.arange(m), 2)))
    incidence = sparse.csc_array(ends, shape=(n, m))
    w, t = cp.Variable(m), cp.Variable()
    rest = np.eye(n) - 1 / n - incidence @ cp.diag(w) @ incidence.T
    problem = cp.Problem(cp.Minimize(t), [rest << t * np.eye(n), -t * np.eye(n) << rest])
    try:
        problem.solve(solver=cp.CLARABEL)
    except cp.SolverError as error:
        raise TopologyError(f"fdla: the solver failed on {n} nodes and {m} edges; best-constant would work") from error
    if w.value is None:
        raise TopologyError(f"fdla: the solver ended as {problem.status}; best-constant would work")
    weights: FloatArray = np.asarray(w.value, dtype=float)
    return weights
