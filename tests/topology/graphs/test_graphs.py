"""The builders: degrees, sizes and distributions as defined, seeds that replay, and errors that say what would work."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gossipfl_topology import GRAPHS, Graph, TopologyError, arrays, build
from gossipfl_topology.graphs.d_cliques import d_cliques
from gossipfl_topology.graphs.geometric import within_range

RANDOM = ("regular", "erdos-renyi", "watts-strogatz", "barabasi-albert", "geometric", "d-cliques")


@pytest.mark.parametrize(
    ("name", "n", "params", "same_as"),
    [
        ("ring", 7, {}, nx.cycle_graph(7)),
        ("ring", 2, {}, nx.path_graph(2)),
        ("ring", 1, {}, nx.empty_graph(1)),
        ("path", 6, {}, nx.path_graph(6)),
        ("complete", 6, {}, nx.complete_graph(6)),
        ("star", 6, {}, nx.star_graph(5)),
        ("torus", 12, {}, nx.grid_2d_graph(3, 4, periodic=True)),
        ("torus", 12, {"rows": 2}, nx.grid_2d_graph(2, 6, periodic=True)),
        ("grid", 12, {}, nx.grid_2d_graph(3, 4)),
        ("grid", 7, {}, nx.path_graph(7)),
        ("grid", 12, {"rows": 6}, nx.grid_2d_graph(6, 2)),
        ("hypercube", 16, {}, nx.hypercube_graph(4)),
        ("hypercube", 1, {}, nx.empty_graph(1)),
        ("dumbbell", 10, {}, nx.barbell_graph(5, 0)),
        ("watts-strogatz", 12, {"k": 4, "p": 0.0}, nx.watts_strogatz_graph(12, 4, 0.0)),
        ("erdos-renyi", 9, {"p": 1.0}, nx.complete_graph(9)),
        ("erdos-renyi", 9, {"p": 0.0}, nx.empty_graph(9)),
        ("regular", 6, {"k": 5}, nx.complete_graph(6)),
        ("regular", 5, {"k": 0}, nx.empty_graph(5)),
        ("barabasi-albert", 4, {"m": 3}, nx.star_graph(3)),
    ],
)
def test_a_graph_is_the_one_that_its_name_means(name: str, n: int, params: dict[str, Any], same_as: nx.Graph) -> None:
    made = build(name, n, **params)
    assert sorted(made) == list(range(n))
    assert nx.is_isomorphic(made, same_as)


@pytest.mark.parametrize("n", [1, 2, 6, 16, 25])
def test_the_exponential_graph_sends_one_two_four_places_on(n: int) -> None:
    made = build("exponential", n)
    hops = [2**j for j in range((n - 1).bit_length())]
    assert set(made.edges) == {(i, (i + hop) % n) for i in range(n) for hop in hops}


@pytest.mark.parametrize(
    ("name", "n", "params", "said"),
    [
        ("ring", 0, {}, "ring: n = 0: at least 1"),
        ("rnig", 5, {}, "no topology 'rnig'; did you mean ring?"),
        ("ring", 5, {"k": 2}, "ring has no parameter 'k'; it takes no parameters"),
        ("regular", 5, {"q": 2}, "regular has no parameter 'q'; allowed: k"),
        ("regular", 5, {"k": 5}, "k must be < n = 5, as 4"),
        ("regular", 5, {"k": 3}, "n·k must be even: with n = 5, k = 2, 4 would work"),
        ("regular", 5, {"k": -2}, "k must be < n"),
        ("regular", 6, {"k": "two"}, "k = 'two': allowed is a whole number"),
        ("regular", 6, {"k": 2.0}, "k = 2.0: allowed is a whole number"),
        ("geometric", 6, {"side": "far"}, "allowed is a number"),
        ("geometric", 6, {"side": float("inf")}, "allowed is a number"),
        ("torus", 7, {}, "must be a product of two numbers ≥ 2, as 6 or 8"),
        ("torus", 12, {"rows": 5}, "must divide n = 12 into sides ≥ 2, as 2, 3, 4, 6"),
        ("torus", 12, {"rows": 12}, "must divide"),
        ("grid", 12, {"rows": 0}, "must divide"),
        ("hypercube", 12, {}, "a power of two, as 8 or 16"),
        ("dumbbell", 7, {}, "even, 4 to 10000, as 8"),
        ("dumbbell", 2, {}, "as 4"),
        ("complete", 20_000, {}, "1 to 10000"),
        ("erdos-renyi", 9, {"p": 1.5}, "0 to 1"),
        ("erdos-renyi", 9, {"p": "nan"}, "allowed is a number"),
        ("erdos-renyi", 1_000_000, {"p": 0.5}, "at most 50000000 edges"),
        ("watts-strogatz", 9, {"k": 3}, "k must be even, ≥ 2 and < n = 9, as 4"),
        ("watts-strogatz", 9, {"k": 10}, "as 8"),
        ("watts-strogatz", 9, {"p": -0.1}, "0 to 1"),
        ("barabasi-albert", 5, {"m": 5}, "m must be ≥ 1 and < n = 5, as 2"),
        ("geometric", 5, {"range": 0.0}, "more than 0 metres"),
        ("geometric", 5, {"side": -1.0}, "more than 0 metres"),
        ("geometric", 100_000, {"range": 900.0}, "metres for 100000 nodes"),
        ("hierarchical", 5, {"districts": 6}, "1 to n = 5"),
        ("hierarchical", 5, {"gateways": 0}, "at least 1 where there are sensors"),
        ("d-cliques", 1, {}, "at least 2"),
        ("d-cliques", 9, {"size": 1}, "at least 2"),
        ("d-cliques", 9, {"histograms": "1,2"}, "can't be given as text"),
        ("d-cliques", 9, {"histograms": np.ones((8, 2))}, "one row of 9 nodes"),
        ("d-cliques", 2, {"histograms": np.array([[1.0, 0.0], [0.0, 0.0]])}, "at least one label for every node"),
    ],
)
def test_what_no_such_graph_has_is_refused_with_what_would_work(
    name: str, n: int, params: dict[str, Any], said: str
) -> None:
    with pytest.raises(TopologyError) as caught:
        arrays(name, n, **params)
    assert said in str(caught.value)


@given(st.sampled_from(sorted(GRAPHS)), st.integers(-2, 70), st.integers(0, 3))
def test_any_graph_of_any_size_is_simple_or_refused(name: str, n: int, seed: int) -> None:
    try:
        graph = arrays(name, n, seed)
    except TopologyError:
        return
    assert graph.n == n
    assert graph.edges.dtype == np.int64
    assert graph.edges.shape == (len(graph.edges), 2)
    assert ((graph.edges >= 0) & (graph.edges < n)).all()
    assert (graph.edges[:, 0] != graph.edges[:, 1]).all()
    assert len({*map(tuple, graph.edges.tolist())}) == len(graph.edges)
    if not graph.directed:
        assert (graph.edges[:, 0] < graph.edges[:, 1]).all()


@pytest.mark.parametrize("name", RANDOM)
def test_the_same_seed_gives_the_same_graph_and_another_one_another(name: str) -> None:
    one, same, other = (arrays(name, 60, seed).edges.tolist() for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize(
    ("n", "k"), [(10, 3), (31, 4), (9, 8), (100, 7), (100, 98), (301, 200), (5000, 3), (20_001, 4)]
)
def test_in_a_regular_graph_everybody_has_k(n: int, k: int) -> None:
    assert (arrays("regular", n, 3, k=k).degrees == k).all()


def test_a_big_regular_graph_has_triangles_as_often_as_theory_says() -> None:
    """Triangles of a uniform random k-regular graph are Poisson with mean (k−1)³/6 (Bollobás 1980)."""
    counts = []
    for seed in range(12):
        adjacency = arrays("regular", 6000, seed, k=4).adjacency()
        counts.append(round((adjacency @ adjacency * adjacency).sum() / 6))
    assert stats.poisson.sf(sum(counts) - 1, 12 * 4.5) > 1e-3
    assert stats.poisson.cdf(sum(counts), 12 * 4.5) > 1e-3


def test_the_edges_of_an_erdos_renyi_graph_are_as_many_as_expected_and_anywhere() -> None:
    n, p = 2000, 0.01
    graph = arrays("erdos-renyi", n, 1, p=p)
    pairs = n * (n - 1) / 2
    assert abs(len(graph.edges) - p * pairs) < 5 * np.sqrt(p * (1 - p) * pairs)
    shares = np.cumsum(np.bincount(graph.degrees, minlength=60)) / n
    assert np.abs(shares - stats.binom(n - 1, p).cdf(np.arange(len(shares)))).max() < 0.04
    first, second = graph.edges.T
    blocks = np.bincount(first * 4 // n * 4 + second * 4 // n, minlength=16).reshape(4, 4)
    diagonal = n / 4 * (n / 4 - 1) / 2
    expected = np.where(np.eye(4), p * diagonal, p * (n / 4) ** 2)
    upper = np.triu_indices(4)
    assert stats.chi2.sf((((blocks - expected) ** 2 / expected)[upper]).sum(), 10) > 1e-3


def test_a_small_world_keeps_its_edges_and_rewires_the_share_that_was_asked_for() -> None:
    n, k, p = 4000, 6, 0.2
    graph = arrays("watts-strogatz", n, 2, k=k, p=p)
    assert len(graph.edges) == n * k // 2
    apart = (graph.edges[:, 1] - graph.edges[:, 0]) % n
    far = (np.minimum(apart, n - apart) > k // 2).mean()
    assert abs(far - p) < 0.02
    assert arrays("watts-strogatz", 6, 2, k=4, p=1.0).edges.shape == (12, 2)
    assert arrays("watts-strogatz", 5, 2, k=4, p=1.0).edges.shape == (10, 2)


def test_a_scale_free_graph_grows_hubs_with_the_known_exponent() -> None:
    n, m = 30_000, 2
    degrees = arrays("barabasi-albert", n, 4, m=m).degrees
    assert degrees.sum() == 2 * (m + m * (n - m - 1))
    assert degrees.min() >= 1
    # P(degree = d) = 2m(m+1) / (d(d+1)(d+2)) (Bollobás et al. 2001).
    for d in (2, 3, 4, 6, 10):
        expected = n * 2 * m * (m + 1) / (d * (d + 1) * (d + 2))
        assert abs((degrees == d).sum() - expected) < 6 * np.sqrt(expected)
    assert degrees.max() > 200


@pytest.mark.parametrize("m", [1, 2, 5])
def test_each_newcomer_to_a_scale_free_graph_brings_m_edges_to_elders(m: int) -> None:
    graph = arrays("barabasi-albert", 300, 1, m=m)
    brought = np.bincount(graph.edges[:, 1], minlength=300)
    assert (brought[m + 1 :] == m).all()
    assert nx.is_connected(graph.to_networkx())


@given(st.integers(1, 60), st.floats(1.0, 800.0), st.integers(0, 5))
def test_a_radio_network_joins_exactly_those_within_range(n: int, reach: float, seed: int) -> None:
    graph = arrays("geometric", n, seed, range=reach)
    assert graph.positions is not None
    assert graph.positions.shape == (n, 2)
    assert ((graph.positions >= 0) & (graph.positions <= 1000)).all()
    apart = np.linalg.norm(graph.positions[:, None] - graph.positions[None], axis=2)
    near = {(i, j) for i in range(n) for j in range(i + 1, n) if apart[i, j] <= reach}
    assert {*map(tuple, graph.edges.tolist())} == near
    assert within_range(graph.positions, reach).edges.tolist() == graph.edges.tolist()


def test_the_default_range_of_a_radio_network_connects_nearly_all() -> None:
    sizes = [max(map(len, nx.connected_components(build("geometric", 300, seed)))) for seed in range(5)]
    assert min(sizes) > 0.97 * 300


@pytest.mark.parametrize("n", [1, 2, 3, 5, 13, 60, 500])
def test_a_hierarchy_is_connected_and_everybody_has_one_above(n: int) -> None:
    graph = arrays("hierarchical", n)
    assert graph.roles is not None
    made = graph.to_networkx()
    assert nx.is_connected(made)
    above = {"sensor": "gateway", "gateway": "district"}
    for node, role in enumerate(graph.roles):
        higher = [other for other in made[node] if graph.roles[other] == above.get(role)]
        assert len(higher) == (role in above)


def test_the_children_of_a_hierarchy_are_shared_out_evenly() -> None:
    graph = arrays("hierarchical", 113, gateways=10, districts=3)
    assert graph.roles is not None
    assert [graph.roles.count(role) for role in ("district", "gateway", "sensor")] == [3, 10, 100]
    assert set(graph.degrees[3:13]) == {11}


def test_cliques_have_seen_all_labels_together_and_few_edges_join_them() -> None:
    n, rng = 60, np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(10), 6))
    graph = d_cliques(n, size=10, histograms=np.eye(10)[labels], rng=rng)
    made = graph.to_networkx()
    assert nx.is_connected(made)
    cliques = [clique for clique in nx.find_cliques(made) if len(clique) == 10]
    assert sorted(node for clique in cliques for node in clique) == list(range(n))
    assert all(len(set(labels[clique])) >= 9 for clique in cliques)
    assert len(graph.edges) == 6 * 45 + 6


def test_one_label_per_node_is_what_cliques_assume_by_default() -> None:
    made = build("d-cliques", 20)
    assert all(
        sorted(node % 10 for node in clique) == list(range(10)) for clique in nx.find_cliques(made) if len(clique) > 2
    )


def test_arrays_and_networkx_hold_the_same_graph() -> None:
    for name, n in (("torus", 12), ("exponential", 9), ("geometric", 20), ("hierarchical", 20)):
        graph = arrays(name, n, 1)
        again = Graph.from_networkx(graph.to_networkx())
        assert sorted(again.edges.tolist()) == sorted(graph.edges.tolist())
        assert (again.n, again.directed, again.roles, again.names) == (n, graph.directed, graph.roles, None)
        assert (again.positions is None) == (graph.positions is None)
        if again.positions is not None and graph.positions is not None:
            assert np.array_equal(again.positions, graph.positions)


def test_a_networkx_graph_keeps_names_and_weights_and_loses_loops() -> None:
    given_graph = nx.Graph([("b", "a", {"weight": 2.0}), ("b", "c"), ("c", "c")])
    graph = Graph.from_networkx(given_graph)
    assert graph.names == ("b", "a", "c")
    assert graph.edges.tolist() == [[0, 1], [0, 2]]
    assert graph.weights is not None
    assert graph.weights.tolist() == [2.0, 1.0]
    assert graph.adjacency().toarray().tolist() == [[0, 2, 1], [2, 0, 0], [1, 0, 0]]
    assert graph.neighbours() == [[1, 2], [0], [0]]
    with pytest.raises(TopologyError, match="multigraph"):
        Graph.from_networkx(nx.MultiGraph([(0, 1), (0, 1)]))
    with pytest.raises(TopologyError, match="positive"):
        Graph.from_networkx(nx.Graph([(0, 1, {"weight": -1.0})]))
