"""Personal trust: each node decides whom it believes how much, and the consensus becomes a weighted mean.

Unlike the rules of a common average, these weights don't keep the mean: who is trusted by many has more say.
"""

# ruff: noqa: N803, N806 (a mixing matrix is W, as in the papers)

from __future__ import annotations

import numpy as np

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import FloatArray, Graph
from gossipfl_topology.parameters import check


def trust_matrix(graph: Graph, trust: FloatArray, own: float = 0.5) -> FloatArray:
    """Node i keeps `own` of its value, and divides the rest over the neighbours it hears in proportion to trust[i, j].

    DeGroot, "Reaching a consensus", Journal of the American Statistical Association, 1974. The mean is not preserved:
    `influence` says what the nodes agree on instead.

    Args:
        graph: the graph; on a directed edge the second node hears the first. Its edge weights are ignored.
        trust: how much node i trusts node j, shape (n, n), ≥ 0; only the entries of neighbours count.
        own: weight of the own value, 0 ≤ own ≤ 1.

    Returns:
        W, shape (n, n), rows sum to 1; a node that trusts none of its neighbours keeps its value, Wᵢᵢ = 1.

    Raises:
        TopologyError: trust has another shape, or a negative or infinite entry; or own out of range.

    >>> path = Graph(3, np.array([[0, 1], [1, 2]]))
    >>> trust_matrix(path, np.array([[0, 1, 0], [4, 0, 1], [0, 1, 0]]), own=0.5)
    array([[0.5, 0.5, 0. ],
           [0.4, 0.5, 0.1],
           [0. , 0.5, 0.5]])
    """
    trust = np.asarray(trust, dtype=float)
    check("trust_matrix", "shape of trust", trust.shape, trust.shape == (graph.n, graph.n), f"must be {(graph.n,) * 2}")
    check("trust_matrix", "trust", "has negative or infinite entries", _nonnegative(trust), "must be finite and ≥ 0")
    check("trust_matrix", "own", own, 0 <= own <= 1, "must be 0 to 1")
    i, j = graph.edges.T
    heard = np.zeros((graph.n, graph.n))
    heard[j, i] = trust[j, i]
    if not graph.directed:
        heard[i, j] = trust[i, j]
    most = heard.max(axis=1, initial=0)
    trusting = most > 0
    shares = heard[trusting] / most[trusting, None]  # so that their sum can't overflow
    W = np.eye(graph.n)
    W[trusting] *= own
    W[trusting] += (1 - own) * shares / shares.sum(axis=1, keepdims=True)
    return W


def influence(W: FloatArray) -> FloatArray:
    """π with π W = π and Σ π = 1, shape (n,): the share of each node's first value in what all agree on, Σ πᵢ xᵢ.

    The left Perron vector (DeGroot 1974). It is 1/n for all if the columns of W sum to 1 as well.

    Args:
        W: shape (n, n), ≥ 0, rows sum to 1.

    Raises:
        TopologyError: W isn't such a matrix; or nodes don't agree in the end, since some hear nothing of the others, or
            since values go round for ever as in [[0, 1], [1, 0]].

    >>> influence(np.array([[0.5, 0.5], [0.25, 0.75]])).round(6)
    array([0.333333, 0.666667])
    """
    W = np.asarray(W, dtype=float)
    check("influence", "shape of W", W.shape, W.ndim == 2 and W.shape[0] == W.shape[1] > 0, "must be (n, n), n ≥ 1")
    check("influence", "W", "has negative or infinite entries", _nonnegative(W), "must be finite and ≥ 0")
    check("influence", "rows of W", "don't sum to 1", np.allclose(W.sum(axis=1), 1, rtol=0, atol=1e-9), "must")
    eigenvalues, vectors = np.linalg.eig(W.T)
    lasting = abs(eigenvalues) > 1 - 1e-10
    if lasting.sum() != 1:
        raise TopologyError(
            "influence: the nodes don't come to agree: each must keep some of its own value, and at least one must be "
            "heard by all, over others maybe"
        )
    perron: FloatArray = abs(vectors[:, lasting][:, 0])
    perron /= perron.sum()
    return perron


def _nonnegative(values: FloatArray) -> bool:
    return bool((np.isfinite(values) & (values >= 0)).all())
