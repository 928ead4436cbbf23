"""Rules that give each edge a weight, such that averaging with the neighbours keeps the mean of all nodes.

Every rule is a function from a graph to one weight per edge; a node keeps what its edges leave of 1. The `weights` of a
`Graph` say what its edges cost or carry, not how to average: they are ignored here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import FloatArray, Graph
from gossipfl_topology.measures.spectrum import DENSE, spectral_gap
from gossipfl_topology.mixing.fdla import fdla

if TYPE_CHECKING:
    import networkx as nx
    from scipy import sparse


def metropolis(graph: Graph) -> FloatArray:
    """1 / (1 + max(dᵢ, dⱼ)) for each edge, shape (m,): a node needs to know the degrees of its neighbours only.

    Xiao, Boyd, Lall, "A scheme for robust distributed sensor fusion based on average consensus", IPSN 2005; after
    Metropolis et al. 1953, Hastings 1970. It suits every graph.

    >>> metropolis(Graph(3, np.array([[0, 1], [1, 2]])))
    array([0.33333333, 0.33333333])
    """
    weights: FloatArray = 1 / (1 + graph.degrees[graph.edges].max(axis=1, initial=0))
    return weights


def max_degree(graph: Graph) -> FloatArray:
    """1 / (1 + d_max) for every edge, shape (m,): one weight, known to all (Xiao, Boyd 2004).

    >>> max_degree(Graph(3, np.array([[0, 1], [1, 2]])))
    array([0.33333333, 0.33333333])
    """
    return np.full(len(graph.edges), 1 / (1 + graph.degrees.max(initial=0)))


def lazy(graph: Graph) -> FloatArray:
    """Half of `metropolis`, shape (m,): W = (I + W_metropolis) / 2, so no eigenvalue of an undirected graph is below 0.

    >>> lazy(Graph(3, np.array([[0, 1], [1, 2]])))
    array([0.16666667, 0.16666667])
    """
    return metropolis(graph) / 2


def best_constant(graph: Graph) -> FloatArray:
    """2 / (λ_max + λ₂) of the Laplacian L for every edge, shape (m,): of all W = I − a L the one that averages fastest.

    Xiao, Boyd 2004. Nodes may get a negative own weight, as the centre of a star does. Above 1000 nodes λ_max is up to
    10⁻⁴ too large, and the averaging that much slower.

    Raises:
        TopologyError: a directed graph.

    >>> best_constant(Graph(3, np.array([[0, 1], [1, 2]])))
    array([0.5, 0.5])
    """
    from scipy import sparse
    from scipy.sparse.linalg import eigsh

    if graph.directed:
        raise TopologyError(
            "best-constant: the graph is directed: must be undirected; metropolis or max-degree may work"
        )
    if len(graph.edges) == 0:
        return np.empty(0)
    laplacian = sparse.csgraph.laplacian(Graph(graph.n, graph.edges).adjacency())
    if graph.n <= DENSE:
        eigenvalues = np.linalg.eigvalsh(laplacian.toarray())
        return np.full(len(graph.edges), 2 / (eigenvalues[1] + eigenvalues[-1]))
    # λ_max too small would amplify a disagreement, too large only averages a little slower: hence plus the residual.
    start = np.random.default_rng(0).standard_normal(graph.n)
    (top,), vectors = eigsh(laplacian, k=1, which="LA", v0=start, tol=1e-4)
    top += np.linalg.norm(laplacian @ vectors[:, 0] - top * vectors[:, 0])
    bound = 2 * graph.degrees.max()  # ≥ λ_max (Gershgorin), so I − L/bound has no negative eigenvalue
    second = bound * spectral_gap(sparse.eye_array(graph.n) - laplacian / bound)
    return np.full(len(graph.edges), 2 / (second + top))


RULES: Mapping[str, Callable[[Graph], FloatArray]] = {
    "metropolis": metropolis,
    "max-degree": max_degree,
    "lazy": lazy,
    "best-constant": best_constant,
    "fdla": fdla,
}


def mixing_weights(graph: Graph, rule: str = "metropolis") -> sparse.csr_array:
    """The mixing matrix W of a graph, sparse: row i is how node i weighs itself and those that it hears.

    Args:
        graph: the graph; on a directed edge the second node hears the first.
        rule: one of RULES; `fdla` takes undirected graphs of up to 200 nodes.

    Returns:
        Shape (n, n); rows and columns sum to 1, symmetric if the graph is undirected; Wᵢᵢ = 1 for a node without edges.

    Raises:
        TopologyError: an unknown rule; or a directed graph on which the columns would not sum to 1, so that the mean
            would move, since nodes hear more or fewer than they send to.

    >>> mixing_weights(Graph(3, np.array([[0, 1]])), "lazy").toarray()
    array([[0.75, 0.25, 0.  ],
           [0.25, 0.75, 0.  ],
           [0.  , 0.  , 1.  ]])
    """
    from scipy import sparse

    if rule not in RULES:
        near = get_close_matches(rule, RULES, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise TopologyError(f"no mixing rule {rule!r}; {hint}allowed: {', '.join(RULES)}")
    i, j = graph.edges.T
    heard = sparse.csr_array((RULES[rule](graph), (j, i)), shape=(graph.n, graph.n))
    if not graph.directed:
        heard = heard + heard.T
    rows, columns = heard.sum(axis=1), heard.sum(axis=0)
    if not np.allclose(rows, columns, rtol=0, atol=1e-9):
        node = int(abs(rows - columns).argmax())
        raise TopologyError(
            f"{rule}: the directed graph would not keep the mean (node {node} hears {rows[node]:.3g} and is heard with "
            f"{columns[node]:.3g}): must be undirected, or with d senders and d receivers at every node; "
            "max-degree allows d to differ between nodes"
        )
    return (heard + sparse.diags_array(1 - rows)).tocsr()


def mixing_matrix(graph: Graph | nx.Graph, rule: str = "metropolis") -> FloatArray:
    """The mixing matrix W as `mixing_weights` gives it, dense, of a `Graph` or a `networkx.Graph` or `DiGraph`.

    Args:
        graph: the graph; nodes of a networkx graph are numbered in its order.
        rule: one of RULES.

    Returns:
        Shape (n, n), rows and columns sum to 1.

    Raises:
        TopologyError: as `mixing_weights`, or a networkx multigraph.

    >>> mixing_matrix(Graph(2, np.array([[0, 1]])))
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    made: FloatArray = mixing_weights(graph if isinstance(graph, Graph) else Graph.from_networkx(graph), rule).toarray()
    return made
