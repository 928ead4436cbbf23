"""From a live view to neighbours: agreement, bounded degrees, everybody reached, and few edges moved by churn."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gossipfl_topology import TopologyError
from gossipfl_topology.graph import Graph
from gossipfl_topology.live import (
    LIVE,
    Complete,
    Exponential,
    Fixed,
    Hierarchical,
    KOut,
    Regular,
    Ring,
    Topology,
    named,
)
from gossipfl_topology.parameters import parameters

NAMES = ("k-out", "k-out:k=1", "regular", "regular:k=6", "ring", "exponential", "complete", "hierarchical")
SYMMETRIC = tuple(name for name in NAMES if not name.startswith("k-out"))
ids = st.text("abcdefgh", min_size=1, max_size=4)
roles = st.sampled_from(["", "sensor", "gateway", "district", "mayor"])
views = st.dictionaries(ids, roles, min_size=1, max_size=40)


def fleet(n: int, salt: str = "") -> dict[str, str]:
    """n ids, every tenth a gateway, every fiftieth a district."""
    return {f"{salt}{i}": "district" if i % 50 == 0 else "gateway" if i % 10 == 0 else "sensor" for i in range(n)}


def drawn(topology: Topology, view: dict[str, str], epoch: int = 0) -> nx.DiGraph:
    """The graph that nodes with the same view draw."""
    made = nx.DiGraph()
    made.add_nodes_from(view)
    made.add_edges_from((me, to) for me in view for to in topology.neighbours(me, view, epoch))
    return made


def differing(one: nx.DiGraph, other: nx.DiGraph, among: Iterable[str]) -> int:
    """Edges between nodes of `among` that only one of the graphs has."""
    kept = set(among)
    return sum(1 for edge in set(one.edges) ^ set(other.edges) if kept.issuperset(edge))


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("k-out", KOut(k=3)), ("k-out:k=1", KOut(k=1)), ("regular", Regular(k=4)), ("regular:k=6", Regular(k=6)),
        ("ring", Ring()), ("exponential", Exponential()), ("complete", Complete()), ("hierarchical", Hierarchical()),
    ],
)  # fmt: skip
def test_a_name_is_what_it_says(name: str, made: Topology) -> None:
    assert named(name) == made
    assert named(made.name) == made


def test_every_live_topology_is_tested_here() -> None:
    assert {name.partition(":")[0] for name in NAMES} == set(LIVE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rnig", "no topology 'rnig'; did you mean ring?"),
        ("k-out:j=3", "k-out has no parameter 'j'; allowed: k"),
        ("ring:k=2", "it takes no parameters"),
        ("k-out:k=x", "k = 'x': allowed is a whole number"),
        ("k-out:k=0", "1 to 32"),
        ("regular:k=3", "k must be even"),
        ("regular:k=34", "k must be even, 2 to 32"),
        ("k-out:", None),
        ("k-out:k=1,k=2", "each key once"),
    ],
)
def test_a_wrong_name_is_refused_with_what_would_do(text: str, said: str | None) -> None:
    if said is None:
        assert named(text) == KOut()
        return
    with pytest.raises(TopologyError) as caught:
        named(text)
    assert said in str(caught.value)


@given(st.sampled_from(NAMES), ids, views, st.integers(0, 2**40))
def test_recipients_are_live_others_and_nobody_twice(name: str, me: str, view: dict[str, str], epoch: int) -> None:
    to = named(name).neighbours(me, view, epoch)
    assert me not in to
    assert len(set(to)) == len(to)
    assert set(to) <= set(view)
    assert bool(to) == bool(set(view) - {me})


@given(st.sampled_from(NAMES), views, st.integers(0, 99))
def test_the_order_in_which_peers_were_met_does_not_matter(name: str, view: dict[str, str], epoch: int) -> None:
    me = min(view)
    shuffled = dict(sorted(view.items(), reverse=True))
    assert named(name).neighbours(me, view, epoch) == named(name).neighbours(me, shuffled, epoch)


@given(st.sampled_from(SYMMETRIC), views)
def test_with_equal_views_whom_i_choose_chooses_me_and_everybody_is_reached(name: str, view: dict[str, str]) -> None:
    graph = drawn(named(name), view)
    assert all(graph.has_edge(b, a) for a, b in graph.edges)
    assert nx.is_strongly_connected(graph)


@given(st.integers(1, 6), views, st.integers(0, 99))
def test_in_k_out_everybody_sends_to_k_and_hears_from_k(k: int, view: dict[str, str], epoch: int) -> None:
    graph = drawn(KOut(k=k), view, epoch)
    expected = min(k, len(view) - 1)
    assert {degree for _, degree in graph.out_degree} == {degree for _, degree in graph.in_degree} == {expected}
    assert nx.is_strongly_connected(graph)


@pytest.mark.parametrize("n", [2, 10, 100, 256])
@pytest.mark.parametrize(
    ("name", "most"),
    [("ring", lambda _: 2), ("regular:k=6", lambda _: 6), ("exponential", lambda n: 2 * n.bit_length() + 6)],
)
def test_degrees_have_bounds(name: str, most: object, n: int) -> None:
    assert callable(most)
    graph = drawn(named(name), fleet(n))
    assert max(degree for _, degree in graph.in_degree) <= most(n)
    assert max(degree for _, degree in graph.out_degree) <= most(n)


def test_the_exponential_graph_is_as_wide_as_its_name_says() -> None:
    graph = drawn(Exponential(), fleet(256)).to_undirected()
    assert nx.diameter(graph) <= 9
    assert np.mean([degree for _, degree in graph.degree]) <= 2 * 8


def test_a_regular_graph_of_rings_mixes_like_a_random_one() -> None:
    adjacency = nx.to_numpy_array(drawn(Regular(k=4), fleet(256)).to_undirected())
    second = np.sort(np.linalg.eigvalsh(adjacency))[-2]
    # 2√(k−1) = 3.46 is the least possible (Alon, Boppana 1986), and what random 4-regular graphs come near to.
    assert second < 3.75


@pytest.mark.parametrize(
    ("name", "moved"), [("ring", 3), ("regular:k=4", 6), ("exponential", 3 * 13), ("k-out", 6), ("hierarchical", 3)]
)
def test_one_node_that_comes_or_goes_moves_a_few_edges(name: str, moved: int) -> None:
    topology = named(name)
    for gone in range(1, 60, 6):
        view = fleet(100)
        before = drawn(topology, view)
        if view.pop(str(gone)) != "sensor" and name == "hierarchical":
            continue
        after = drawn(topology, view)
        # An undirected edge counts twice; the edges of the node itself are not counted.
        assert differing(before, after, view) / (1 if name == "k-out" else 2) <= moved


def test_when_a_gateway_goes_only_its_own_sensors_move() -> None:
    view = fleet(100)
    before = drawn(Hierarchical(), view)
    orphans = {node for node in before["10"] if view[node] == "sensor"}
    del view["10"]
    after = drawn(Hierarchical(), view)
    moved = {node for edge in set(before.edges) ^ set(after.edges) for node in edge if node != "10"}
    assert moved - orphans <= {node for node in view if view[node] != "sensor"}
    assert all(len(after[node]) == 1 for node in orphans)


@pytest.mark.parametrize(
    ("name", "share"),
    [("ring", 0.22), ("regular:k=4", 0.22), ("exponential", 0.22), ("k-out", 0.12), ("complete", 0.12)],
)
def test_views_that_lack_a_tenth_draw_nearly_the_same_edges(name: str, share: float) -> None:
    """A peer that is missing from a view is missed as a neighbour, and its place is taken by the next one: with a share
    δ of the ids unknown, an edge of a node survives unless its end is among them: about δ of the edges of one side."""
    topology, view, rng = named(name), fleet(200), random.Random(3)
    agreed = drawn(topology, view, epoch=7)
    wrong = 0
    for me in view:
        partial = {node: role for node, role in view.items() if node == me or rng.random() > 0.1}
        wrong += len(set(topology.neighbours(me, partial, 7)) ^ set(agreed[me]))
    # Each missed edge is one that is not there and one that is there instead.
    assert wrong / 2 / agreed.number_of_edges() <= share


def test_a_hierarchy_climbs_to_the_next_level_that_somebody_lives_on() -> None:
    city = {"s1": "sensor", "s2": "", "g": "gateway", "d": "district"}
    to = {me: set(Hierarchical().neighbours(me, city, 0)) for me in city}
    assert to == {"s1": {"g"}, "s2": {"g"}, "g": {"d", "s1", "s2"}, "d": {"g"}}
    without_gateways = {node: role for node, role in city.items() if role != "gateway"}
    assert Hierarchical().neighbours("s1", without_gateways, 0) == ("d",)
    alone = {"s1": "sensor", "s2": "sensor", "s3": "sensor"}
    assert set(Hierarchical().neighbours("s1", alone, 0)) == {"s2", "s3"}


def test_k_out_draws_every_other_node_equally_often_from_epoch_to_epoch() -> None:
    view, epochs = fleet(40), 4000
    for me in ("0", "17"):
        counts = Counter(to for epoch in range(epochs) for to in KOut(k=2).neighbours(me, view, epoch))
        assert set(counts) == set(view) - {me}
        assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_k_out_joins_every_pair_equally_often_whatever_the_clocks_say() -> None:
    """Epochs that differ between nodes draw just as uniformly; what they lose is equal in-degrees."""
    view, rng = fleet(30), random.Random(5)
    counts = Counter(
        (me, to) for _ in range(1500) for me in view for to in KOut(k=1).neighbours(me, view, rng.getrandbits(30))
    )
    assert len(counts) == 30 * 29
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_a_drawn_graph_joins_those_that_live_by_their_ids() -> None:
    graph = Graph(4, np.array([[0, 1], [1, 2], [2, 3]]), names=("a", "b", "c", "d"))
    line = Fixed.of("line.edges", graph, "b")
    assert line.neighbours("b", {"a": "", "b": "", "c": ""}, 0) == ("a", "c")
    assert line.neighbours("b", {"b": "", "c": "", "x": ""}, 0) == ("c",)
    assert line.neighbours("stranger", {"a": "", "stranger": ""}, 0) == ()
    assert line.name == "line.edges"
    with pytest.raises(TopologyError, match=r"line\.edges: no node is named stranger"):
        Fixed.of("line.edges", graph, "stranger")


def test_a_directed_drawn_graph_sends_one_way() -> None:
    graph = Graph(2, np.array([[0, 1]]), directed=True, names=("a", "b"))
    view = {"a": "", "b": ""}
    assert Fixed.of("g", graph).neighbours("a", view, 0) == ("b",)
    assert Fixed.of("g", graph).neighbours("b", view, 0) == ()


@pytest.mark.parametrize(
    ("name", "others", "chance"),
    [("k-out:k=2", 8, 0.25), ("k-out:k=2", 2, 1.0), ("k-out:k=3", 1, 1.0), ("k-out", 0, 1.0)]
    + [(name, 8, 1.0) for name in SYMMETRIC],
)
def test_the_chance_that_a_publish_goes_to_a_neighbour(name: str, others: int, chance: float) -> None:
    assert named(name).chance(others) == chance


def test_parameters_are_those_of_the_signature() -> None:
    assert parameters(KOut) == {"k": 3}
    assert parameters(Regular) == {"k": 4}
    assert parameters(Ring) == {}
