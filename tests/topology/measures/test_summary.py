"""Everything about one topology: known values, closed forms, and None where there is no such thing."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl_topology.catalogue import GRAPHS, SCHEDULES
from gossipfl_topology.errors import TopologyError
from gossipfl_topology.files import load, map_path, maps
from gossipfl_topology.graph import Graph, undirected
from gossipfl_topology.measures.spectrum import mixing_time, spectral_gap
from gossipfl_topology.measures.subject import Subject, named_subject
from gossipfl_topology.measures.summary import summary, union
from gossipfl_topology.mixing.rules import mixing_matrix

KEYS = [
    "nodes", "edges", "directed", "connected", "degree_min", "degree_mean", "degree_max", "spectral_gap", "slem",
    "mixing_time", "rounds", "messages", "diameter", "diameter_exact", "cut_edges", "schedule_length",
]  # fmt: skip
SIZES = {"hypercube": 16, "hierarchical": 20, "dumbbell": 10, "torus": 16, "geometric": 40}
TWO_PAIRS = Graph(4, np.array([[0, 1], [2, 3]]))


def of(text: str, n: int) -> dict[str, Any]:
    return summary(named_subject(text, n))


def of_graph(graph: Graph) -> dict[str, Any]:
    return summary(Subject("mine", graph.n, graph=graph))


@pytest.mark.parametrize(
    ("name", "n", "known"),
    [
        # ρ = (d − 1)/(d + 1) = ½; ½ᵗ ≤ 10⁻³ from t = 9.97 on.
        (
            "hypercube", 8,
            {
                "edges": 12, "directed": False, "connected": True, "degree_min": 3, "degree_mean": 3, "degree_max": 3,
                "spectral_gap": 0.5, "slem": 0.5, "mixing_time": 10, "rounds": 10, "messages": 30, "diameter": 3,
                "diameter_exact": True, "cut_edges": 0, "schedule_length": 1,
            },
        ),
        # ⅔ (1 − cos 2π/25)
        (
            "ring", 25,
            {
                "edges": 25, "degree_mean": 2, "spectral_gap": 0.0209445592, "rounds": 327, "messages": 654,
                "diameter": 12,
            },
        ),
        # ρ = ⅓ + ⅔ cos(π/6); every edge is a bridge.
        ("path", 6, {"edges": 5, "slem": 0.9106836025, "degree_mean": 5 / 3, "diameter": 5, "cut_edges": 5}),
        # ρ = 1 − 1/n
        ("star", 10, {"edges": 9, "slem": 0.9, "degree_max": 9, "degree_mean": 1.8, "diameter": 2, "cut_edges": 9}),
        # ⅖ (1 − cos 2π/5)
        ("torus", 25, {"edges": 50, "spectral_gap": 0.2763932023, "degree_max": 4, "diameter": 4}),
        ("complete", 9, {"edges": 36, "spectral_gap": 1, "rounds": 1, "mixing_time": 1, "messages": 8, "diameter": 1}),
        # ρ = 1 − 2/(1 + log₂ n) (Ying et al., NeurIPS 2021)
        (
            "exponential", 16,
            {
                "edges": 64, "directed": True, "connected": True, "degree_min": 4, "degree_max": 4, "spectral_gap": 0.4,
                "cut_edges": None, "diameter": 4,
            },
        ),
        # Exact after nine rounds in which 196 messages are sent: 7.84 per node.
        (
            "base:k=1", 25,
            {
                "spectral_gap": 1, "slem": 0, "schedule_length": 9, "rounds": 9, "mixing_time": 9, "messages": 7.84,
                "degree_max": 1, "degree_min": 0, "degree_mean": 7.84 / 9, "connected": True, "directed": False,
            },
        ),
        ("base:k=4", 25, {"spectral_gap": 1, "schedule_length": 2, "rounds": 2, "messages": 8, "degree_max": 4}),
        # Exact after log₂ n rounds.
        (
            "one-peer-exponential", 16,
            {
                "spectral_gap": 1, "schedule_length": 4, "rounds": 4, "messages": 4, "degree_min": 1, "degree_max": 1,
                "edges": 64, "directed": True, "cut_edges": None,
            },
        ),
        # What a period of three rounds leaves is the modulus of Π (1 + z^(2^t))/2 over the sixth roots of 1 but 1:
        # most at z = e^(2πi/6), where it is (√3/2)(½)(½) = 0.2165.
        ("one-peer-exponential", 6, {"slem": (math.sqrt(3) / 8) ** (1 / 3), "schedule_length": 3, "messages": 14}),
        # It never repeats, and is another graph in every round: no distances.
        (
            "k-out:k=3", 25,
            {
                "schedule_length": None, "degree_min": 3, "degree_mean": 3, "degree_max": 3, "diameter": None,
                "diameter_exact": False, "connected": True, "rounds": 10, "messages": 30,
            },
        ),
        # With 25 nodes one idles in each round.
        ("matching", 25, {"degree_min": 0, "degree_mean": 0.96, "degree_max": 1, "messages": 20 * 0.96}),
    ],
)  # fmt: skip
def test_what_is_known_of_a_topology(name: str, n: int, known: dict[str, Any]) -> None:
    found = of(name, n)
    assert found["nodes"] == n
    assert {key: found[key] for key in known} == pytest.approx(known, abs=1e-9)


@pytest.mark.parametrize("name", [*GRAPHS, *SCHEDULES])
def test_every_topology_has_a_summary_of_plain_values(name: str) -> None:
    found = of(name, SIZES.get(name, 12))
    assert list(found) == KEYS
    assert json.loads(json.dumps(found)) == found, "no numpy value, no NaN"
    assert found["connected"] is True
    assert found["degree_min"] <= found["degree_mean"] <= found["degree_max"]
    assert 0 < found["spectral_gap"] <= 1
    assert found["slem"] == pytest.approx(1 - found["spectral_gap"], abs=1e-12)
    assert found["messages"] == pytest.approx(found["rounds"] * found["degree_mean"])
    if name in GRAPHS:
        assert found["schedule_length"] == 1
        assert found["diameter"] >= 1


@pytest.mark.parametrize("n", [6, 25, 64])
@pytest.mark.parametrize(
    ("name", "factor"),
    # E‖x′ − x̄‖² / ‖x − x̄‖² of one round, as the schedules' documentation derives it.
    [
        ("k-out:k=1", lambda n: (1 - 1 / (n - 1)) / 2),
        ("k-out:k=3", lambda n: (1 - 3 / (n - 1)) / 4),
        ("el-oracle:s=2", lambda n: (1 - 2 / (n - 1)) / 3),
        ("el-oracle:s=4", lambda n: (1 - 4 / (n - 1)) / 5),
        ("matching", lambda n: (1 - 1 / (n - 1)) / 2 if n % 2 == 0 else 0.5),
    ],
)
def test_the_gap_of_a_random_schedule_is_that_of_its_closed_form(name: str, factor: Any, n: int) -> None:
    """These contract every direction alike, in every draw."""
    assert of(name, n)["spectral_gap"] == pytest.approx(1 - math.sqrt(factor(n)), abs=1e-9)


@pytest.mark.parametrize("n", [8, 25, 64])
@pytest.mark.parametrize("s", [1, 2, 4])
def test_the_gap_of_epidemic_learning_is_near_its_closed_form(n: int, s: int) -> None:
    """Near, for it is averaged over draws of which no two are alike, and what the mean drifts is left out."""
    factor = (1 - (1 - s / (n - 1)) ** n) / s - 1 / (n - 1)
    assert of(f"el-local:s={s}", n)["spectral_gap"] == pytest.approx(1 - math.sqrt(factor), abs=0.02)


def test_a_schedule_mixes_at_least_as_well_as_its_rounds_say_one_by_one() -> None:
    """The gap of a period is per round: n = 10 takes four rounds and leaves 0.1918."""
    found = of("one-peer-exponential", 10)
    product = np.eye(10)
    for hop in (1, 2, 4, 8):
        product = (np.eye(10) + np.roll(np.eye(10), hop, axis=0)) / 2 @ product
    assert np.linalg.norm(product - 0.1, 2) == pytest.approx(found["slem"] ** 4)
    assert found["slem"] ** 4 == pytest.approx(0.192, abs=5e-4)


# --- small, split and directed ones


@pytest.mark.parametrize("name", ["ring", "path", "complete", "star", "hypercube", "exponential", "base", "matching"])
def test_one_node_alone_agrees_with_itself(name: str) -> None:
    found = of(name, 1)
    assert (found["nodes"], found["edges"], found["connected"]) == (1, 0, True)
    assert (found["degree_min"], found["degree_mean"], found["degree_max"]) == (0, 0, 0)
    assert (found["spectral_gap"], found["messages"]) == (1, 0)
    assert found["diameter"] in (0, None)


@pytest.mark.parametrize(
    "name", ["ring", "path", "complete", "star", "hypercube", "base", "matching", "k-out:k=1", "one-peer-exponential"]
)
def test_two_nodes_agree_in_one_round_and_one_message_each(name: str) -> None:
    found = of(name, 2)
    assert (found["edges"], found["connected"], found["degree_mean"]) == (1, True, 1)
    assert (found["rounds"], found["messages"], found["spectral_gap"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("name", "said"), [("k-out:k=1", "2 to 10000"), ("el-local", "2 to 10000"), ("regular", "k must be < n")]
)
def test_a_topology_that_takes_more_nodes_says_so(name: str, said: str) -> None:
    with pytest.raises(TopologyError, match=said):
        named_subject(name, 1)


@pytest.mark.parametrize("n", [1, 5])
def test_nodes_without_edges(n: int) -> None:
    found = of_graph(Graph(n, np.empty((0, 2), dtype=np.int64)))
    assert (found["connected"], found["spectral_gap"]) == ((True, 1) if n == 1 else (False, 0))


def test_a_split_graph_never_agrees() -> None:
    found = of_graph(TWO_PAIRS)
    assert found["connected"] is False
    assert found["spectral_gap"] == 0, "exactly"
    assert found["slem"] == 1
    assert found["cut_edges"] == 2
    for key in ("mixing_time", "rounds", "messages", "diameter"):
        assert found[key] is None
    assert found["diameter_exact"] is False


def test_a_directed_graph_that_moves_the_mean_has_no_gap_but_degrees() -> None:
    found = of_graph(Graph(3, np.array([[0, 1], [0, 2], [1, 2]]), directed=True))
    assert (found["directed"], found["connected"], found["edges"]) == (True, False, 3)
    assert (found["degree_min"], found["degree_mean"], found["degree_max"]) == (0, 1, 2)
    for key in ("spectral_gap", "slem", "mixing_time", "rounds", "messages", "diameter", "cut_edges"):
        assert found[key] is None


def test_a_directed_cycle_keeps_the_mean_and_has_a_gap() -> None:
    """W = (I + P)/2 has the singular values |cos(πk/n)|."""
    found = of_graph(Graph(5, np.array([[i, (i + 1) % 5] for i in range(5)]), directed=True))
    assert found["slem"] == pytest.approx(math.cos(math.pi / 5))
    assert (found["connected"], found["diameter"], found["cut_edges"]) == (True, 4, None)


def test_two_directed_cycles_that_share_a_node_have_a_summary_too() -> None:
    """Everybody hears as many as it sends to, and Metropolis weights move the mean all the same: no gap, no error."""
    eight = Graph(5, np.array([[0, 1], [1, 2], [2, 0], [0, 3], [3, 4], [4, 0]]), directed=True)
    found = of_graph(eight)
    assert (found["connected"], found["edges"], found["diameter"]) == (True, 6, 4)
    assert found["spectral_gap"] is None


# --- agreement with the measures, and what else a subject is


@given(st.integers(2, 12), st.integers(0, 2**20), st.floats(0.2, 0.9))
def test_of_a_graph_it_says_what_the_measures_say(n: int, seed: int, p: float) -> None:
    table = np.triu(np.random.default_rng(seed).random((n, n)) < p, 1)
    graph = undirected(n, np.argwhere(table))
    found, weights = of_graph(graph), mixing_matrix(graph)
    assert found["spectral_gap"] == pytest.approx(spectral_gap(weights), abs=1e-12)
    assert (found["mixing_time"] or math.inf) == mixing_time(weights)
    assert found["edges"] == len(graph.edges)
    assert found["degree_mean"] == pytest.approx(2 * len(graph.edges) / n)


@pytest.mark.parametrize("name", maps())
def test_the_shipped_maps_have_summaries(name: str) -> None:
    graph = load(map_path(name)).graph
    found = of_graph(graph)
    assert (found["nodes"], found["edges"], found["connected"]) == (graph.n, len(graph.edges), True)
    assert found["cut_edges"] == (1 if name == "two-towns" else 0)


def test_a_large_graph_has_a_bound_on_its_diameter() -> None:
    found = of("ring", 5002)
    assert (found["diameter"], found["diameter_exact"]) == (2501, False)
    assert of("star", 5000)["diameter_exact"] is True


def test_the_same_random_graph_comes_of_the_same_seed() -> None:
    one, other = (summary(named_subject("watts-strogatz:k=4,p=0.5", 40, seed)) for seed in (1, 2))
    assert one == summary(named_subject("watts-strogatz:k=4,p=0.5", 40, 1))
    assert one != other


def test_the_union_of_a_schedule_has_every_edge_that_occurs() -> None:
    hops = union(named_subject("one-peer-exponential", 8))
    assert hops.directed
    assert {(j - i) % 8 for i, j in hops.edges.tolist()} == {1, 2, 4}
    assert len(hops.edges) == 24
    square = union(named_subject("base:k=1", 4))
    assert not square.directed
    assert sorted(square.degrees.tolist()) == [2, 2, 2, 2]
    assert len(union(named_subject("matching", 8)).edges) == 28, "in 64 rounds every pair"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rnig", "did you mean ring?"),
        ("ring:k=2", "takes no parameters"),
        ("regular:k=x", "a whole number"),
        ("regular:j=4", "did you mean k|allowed: k"),
        ("base:k=0", "at least 1"),
        ("k-out:k=25", "k must be|must be <"),
        ("hypercube", "a power of two, as 16 or 32"),
    ],
)
def test_what_is_no_topology_is_refused_with_what_would_be_one(text: str, said: str) -> None:
    with pytest.raises(TopologyError, match=said.replace("?", r"\?")):
        named_subject(text, 25)
