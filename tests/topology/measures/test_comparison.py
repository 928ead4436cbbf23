"""What agreement costs: the same table for the same seed, dearer with absent nodes, and never where there is no way."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from gossipfl_topology.catalogue import GRAPHS, SCHEDULES
from gossipfl_topology.errors import TopologyError
from gossipfl_topology.graph import Graph
from gossipfl_topology.measures.comparison import ABSENT, Row, compare
from gossipfl_topology.measures.subject import Subject, named_subject

SIZES = {"hypercube": 8, "torus": 9, "dumbbell": 8, "geometric": 40}
SPLIT = Subject("split", 4, graph=Graph(4, np.array([[0, 1], [2, 3]])))


def rows(*names: str, n: int = 16, runs: int = 8, seed: int = 0) -> list[Row]:
    return list(compare([named_subject(name, n, seed) for name in names], runs=runs, seed=seed))


def rounds(row: Row) -> list[float]:
    found = [cost.rounds for cost in row.costs]
    assert None not in found
    return [value for value in found if value is not None]


def test_there_is_a_row_for_each_in_their_order_with_a_cost_for_each_share_of_absent_nodes() -> None:
    found = rows("star", "ring", "k-out:k=1", runs=2)
    assert [row.name for row in found] == ["star", "ring", "k-out:k=1"]
    assert all(tuple(cost.absent for cost in row.costs) == ABSENT for row in found)
    assert [row.summary["degree_mean"] for row in found] == [30 / 16, 2, 1]


def test_the_same_seed_gives_the_same_table_and_another_seed_another() -> None:
    names = ("k-out:k=2", "matching", "ring", "el-local", "base")
    assert rows(*names, seed=5) == rows(*names, seed=5)
    for one, other in zip(rows(*names, seed=5), rows(*names, seed=6), strict=True):
        assert one.costs != other.costs


def test_what_a_row_says_depends_on_nobody_beside_it() -> None:
    (alone,) = rows("matching", runs=3)
    assert rows("ring", "matching", "star", runs=3)[1] == alone


@pytest.mark.parametrize("name", ["ring", "star", "regular:k=4", "exponential", "base:k=1", "matching", "k-out:k=3"])
def test_the_more_are_absent_the_more_rounds_it_takes(name: str) -> None:
    (row,) = rows(name)
    none, some, many = rounds(row)
    assert none < some < many


def test_what_is_exact_with_everybody_there_pays_most_for_absence() -> None:
    """The reason why daemons draw recipients at random."""
    base, drawn = rows("base:k=1", "k-out:k=1", n=25)
    assert base.costs[0].rounds == 9
    assert base.costs[0].messages == pytest.approx(7.84)
    assert rounds(base)[2] / rounds(base)[0] > 4
    assert rounds(drawn)[2] / rounds(drawn)[0] < 2
    assert rounds(drawn)[1] < rounds(base)[1]


def test_a_complete_graph_agrees_in_one_round_and_all_its_messages() -> None:
    (row,) = rows("complete", n=9, runs=4)
    assert (row.costs[0].rounds, row.costs[0].messages) == (1, 8)
    assert row.costs[0].drift == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["ring", "star", "torus", "regular:k=4", "exponential", "hypercube"])
def test_with_everybody_there_a_graph_costs_what_its_summary_bounds(name: str) -> None:
    """The slowest direction alone decides about the bound; start values have a part of it."""
    (row,) = rows(name)
    cost = row.costs[0]
    assert cost.rounds is not None
    assert row.summary["rounds"] / 3 < cost.rounds <= row.summary["rounds"]
    assert cost.messages == pytest.approx(cost.rounds * row.summary["degree_mean"])


def test_random_recipients_cost_what_their_gap_says() -> None:
    """ρ²ᵗ = 10⁻⁶ for the mean of the error; that of each run is above or below."""
    for row in rows("k-out:k=1", "k-out:k=3", "matching", "el-oracle:s=2", n=24, runs=32):
        expected = math.log(1e-3) / math.log(row.summary["slem"])
        assert row.costs[0].rounds == pytest.approx(expected, rel=0.15)


def test_the_mean_stays_but_where_everybody_sends_as_it_likes() -> None:
    kept, moved = rows("k-out:k=2", "el-local:s=2", runs=16)
    for absent in range(len(ABSENT)):
        drift = kept.costs[absent].drift
        assert drift is not None
        assert drift < 1e-9
    assert moved.costs[0].drift is not None
    assert moved.costs[0].drift > 0.01


@pytest.mark.parametrize("subject", [SPLIT, Subject("alone", 3, graph=Graph(3, np.empty((0, 2), dtype=np.int64)))])
def test_a_split_mesh_never_agrees(subject: Subject) -> None:
    (row,) = compare([subject], runs=2, limit=200)
    assert row.summary["connected"] is False
    assert [(cost.rounds, cost.messages, cost.drift) for cost in row.costs] == [(None, None, None)] * 3


def test_what_takes_longer_than_the_limit_counts_as_never() -> None:
    ring = named_subject("ring", 25)
    (short,) = compare([ring], runs=2, limit=50, absent=[0])
    (long,) = compare([ring], runs=2, limit=2000, absent=[0])
    assert short.costs[0].rounds is None
    assert long.costs[0].rounds is not None
    assert 50 < long.costs[0].rounds < 500


@pytest.mark.parametrize("name", [*GRAPHS, *SCHEDULES])
def test_every_topology_can_be_compared(name: str) -> None:
    (row,) = rows(name, n=SIZES.get(name, 12), runs=1)
    assert rounds(row)[0] >= 1


@pytest.mark.parametrize("name", ["k-out:k=3", "el-oracle:s=3", "el-local:s=3", "matching"])
def test_recipients_are_drawn_among_however_few_are_there(name: str) -> None:
    (row,) = compare([named_subject(name, 4)], absent=[0.6], runs=4)
    assert rounds(row)[0] > 1


@pytest.mark.parametrize("n", [1, 2])
def test_one_node_agrees_at_once_and_two_in_a_round(n: int) -> None:
    (row,) = rows("ring", n=n, runs=2)
    assert row.costs[0].rounds == n - 1
    assert row.costs[0].messages == n - 1


def test_graphs_of_different_sizes_are_compared_each_on_its_own() -> None:
    small, large = compare([named_subject("ring", 5), named_subject("ring", 20)], runs=4)
    assert (small.summary["nodes"], large.summary["nodes"]) == (5, 20)
    assert rounds(small)[0] < rounds(large)[0]


def test_a_row_comes_as_soon_as_it_is_measured() -> None:
    uneven = np.array([[0, 1], [1, 2], [2, 0], [0, 2]])
    broken = Subject("uneven", 3, graph=Graph(3, uneven, directed=True))
    found = compare([named_subject("complete", 3), broken], runs=1)
    assert next(found).name == "complete"
    with pytest.raises(TopologyError, match="would not keep the mean"):
        next(found)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"absent": [1.0]}, "absent"),
        ({"absent": [-0.1]}, "absent"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"runs": 0}, "runs"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(TopologyError, match=said):
        list(compare([named_subject("ring", 5)], **options))  # type: ignore[arg-type]


def test_rows_become_json_with_all_that_they_have() -> None:
    (row,) = compare([SPLIT], runs=1, limit=5, absent=[0.1])
    found = json.loads(json.dumps(row.as_dict()))
    assert found["name"] == "split"
    assert found["summary"]["spectral_gap"] == 0
    assert found["costs"] == [{"absent": 0.1, "rounds": None, "messages": None, "drift": None}]
