"""A graph as arrays: what the builders make, the loader reads, and the measures measure.

Arrays hold a million nodes in a few megabytes; `networkx` is made from them only when asked for. Knows no builder, file
or drawing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from gossipfl_topology.errors import TopologyError

if TYPE_CHECKING:
    import networkx as nx
    from scipy import sparse

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Graph:
    """A simple graph (no self-loops, no edge twice) over the nodes 0 … n−1.

    Attributes:
        n: number of nodes.
        edges: shape (m, 2). Undirected: each edge once, smaller node first. Directed: from the first to the second.
        directed: do messages on an edge go one way only?
        weights: of the edges, shape (m,), positive; None where all count the same.
        positions: of the nodes in metres, shape (n, 2); None where they are nowhere.
        names: of the nodes, as a file calls them; None where they are their numbers.
        roles: of the nodes, as "sensor" or "gateway"; None where all are alike.

    >>> path = Graph(3, np.array([[0, 1], [1, 2]]))
    >>> path.degrees
    array([1, 2, 1])
    """

    n: int
    edges: IntArray
    directed: bool = False
    weights: FloatArray | None = None
    positions: FloatArray | None = None
    names: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None

    @property
    def degrees(self) -> IntArray:
        """Neighbours that each node sends to, shape (n,)."""
        ends = self.edges[:, 0] if self.directed else self.edges
        return np.bincount(ends.ravel(), minlength=self.n)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the nodes, or their numbers.

        >>> Graph(2, np.array([[0, 1]])).labels
        ('0', '1')
        """
        return self.names if self.names is not None else tuple(map(str, range(self.n)))

    def adjacency(self) -> sparse.csr_array:
        """A, shape (n, n): A[i, j] is the weight of the edge from i to j (1 without weights), 0 where there is none.

        >>> Graph(2, np.array([[0, 1]])).adjacency().toarray()
        array([[0., 1.],
               [1., 0.]])
        """
        from scipy import sparse

        values = np.ones(len(self.edges)) if self.weights is None else self.weights
        i, j = self.edges.T
        if not self.directed:
            i, j, values = np.concatenate([i, j]), np.concatenate([j, i]), np.concatenate([values, values])
        return sparse.csr_array((values, (i, j)), shape=(self.n, self.n))

    def neighbours(self) -> list[list[int]]:
        """Whom each node sends to, ascending.

        >>> Graph(3, np.array([[0, 1], [1, 2]])).neighbours()
        [[1], [0, 2], [1]]
        """
        table = self.adjacency()
        table.sort_indices()
        return [table.indices[a:b].tolist() for a, b in zip(table.indptr, table.indptr[1:], strict=False)]

    def to_networkx(self) -> nx.Graph:
        """The same as `networkx.Graph`, or `DiGraph` if directed.

        Nodes are 0 … n−1 with the attributes `name`, `pos` and `role`, edges have a `weight`, where there are any.

        >>> sorted(Graph(3, np.array([[0, 1], [1, 2]])).to_networkx().edges)
        [(0, 1), (1, 2)]
        """
        import networkx as nx

        made = nx.DiGraph() if self.directed else nx.Graph()
        made.add_nodes_from(range(self.n))
        if self.weights is None:
            made.add_edges_from(self.edges.tolist())
        else:
            edges = zip(self.edges.tolist(), self.weights.tolist(), strict=True)
            made.add_weighted_edges_from((i, j, weight) for (i, j), weight in edges)
        for attribute, values in (("name", self.names), ("pos", self.positions), ("role", self.roles)):
            if values is not None:
                listed = map(tuple, values.tolist()) if isinstance(values, np.ndarray) else values
                nx.set_node_attributes(made, dict(enumerate(listed)), attribute)
        return made

    @classmethod
    def from_networkx(cls, graph: nx.Graph) -> Graph:
        """The arrays of a networkx graph, self-loops left out; nodes keep their order, and their names if not 0 … n−1.

        Raises:
            TopologyError: a multigraph, or an edge weight that is not a positive number.

        >>> import networkx as nx
        >>> Graph.from_networkx(nx.path_graph(3)).edges.tolist()
        [[0, 1], [1, 2]]
        """
        if graph.is_multigraph():
            raise TopologyError("a multigraph: allowed is a graph with each edge once, as networkx.Graph(multigraph)")
        number = {node: index for index, node in enumerate(graph)}
        kept = [(number[a], number[b], data.get("weight")) for a, b, data in graph.edges(data=True) if a != b]
        edges = np.array([(i, j) for i, j, _ in kept], dtype=np.int64).reshape(-1, 2)
        weights = None
        if any(weight is not None for _, _, weight in kept):
            weights = np.array([1.0 if weight is None else float(weight) for _, _, weight in kept])
            if not (np.isfinite(weights).all() and (weights > 0).all()):
                raise TopologyError("edge weights: allowed are positive numbers")
        if not graph.is_directed():
            edges.sort(axis=1)
        columns = {
            attribute: [data[attribute] for _, data in graph.nodes(data=True) if attribute in data]
            for attribute in ("name", "pos", "role")
        }
        full = {attribute: values for attribute, values in columns.items() if len(values) == len(number) > 0}
        names = full.get("name")
        if names is None and list(number) != list(range(len(number))):
            names = list(number)
        return cls(
            len(number), edges, graph.is_directed(), weights,
            np.array(full["pos"], dtype=float) if "pos" in full else None,
            tuple(map(str, names)) if names is not None else None,
            tuple(map(str, full["role"])) if "role" in full else None,
        )  # fmt: skip


def undirected(n: int, edges: npt.ArrayLike, *, positions: FloatArray | None = None) -> Graph:
    """A graph from pairs in any order, self-loops and repetitions left out.

    >>> undirected(3, [(1, 0), (0, 1), (2, 2), (1, 2)]).edges.tolist()
    [[0, 1], [1, 2]]
    """
    pairs = np.sort(np.asarray(edges, dtype=np.int64).reshape(-1, 2), axis=1)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    codes = np.sort(pairs[:, 0] * n + pairs[:, 1])
    codes = codes[np.concatenate([codes[:1] == codes[:1], codes[1:] != codes[:-1]])]
    return Graph(n, np.stack(np.divmod(codes, n), axis=1) if n else codes.reshape(-1, 2), positions=positions)
