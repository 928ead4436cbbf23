"""From a live view to neighbours: never me, nobody twice, and agreement where the topology needs it."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl_topology import TOPOLOGIES, chance, neighbours

ids = st.text("abcdef", min_size=1, max_size=3)
views = st.sets(ids, max_size=12)


def recipients(topology: str, me: str, live: list[str], k: int = 2, seed: int = 0) -> tuple[str, ...]:
    return neighbours(topology, me, live, k, random.Random(seed))


@pytest.mark.parametrize(
    ("topology", "me", "live", "expected"),
    [
        ("ring", "b", [], ()),
        ("ring", "b", ["b"], ()),
        ("ring", "b", ["a"], ("a",)),
        ("ring", "a", ["b"], ("b",)),
        ("ring", "a", ["c", "b"], ("c", "b")),
        ("ring", "b", ["d", "c", "a"], ("a", "c")),
        ("ring", "a", ["b", "c", "d"], ("d", "b")),
        ("ring", "d", ["a", "b", "c"], ("c", "a")),
        ("ring", "b", ["a", "b", "c"], ("a", "c")),
        ("complete", "b", [], ()),
        ("complete", "b", ["c", "a", "b"], ("a", "c")),
        ("random", "b", [], ()),
        ("random", "b", ["b"], ()),
        ("random", "b", ["a"], ("a",)),
    ],
)
def test_recipients_are_as_drawn(topology: str, me: str, live: list[str], expected: tuple[str, ...]) -> None:
    assert recipients(topology, me, live) == expected


@given(st.sampled_from(TOPOLOGIES), ids, views, st.integers(1, 15), st.integers(0, 9))
def test_recipients_are_live_others_without_repetition(
    topology: str, me: str, live: set[str], k: int, seed: int
) -> None:
    to = neighbours(topology, me, live, k, random.Random(seed))
    others = live - {me}
    assert me not in to
    assert len(set(to)) == len(to)
    assert set(to) <= others
    if topology == "complete":
        assert set(to) == others
    if topology == "random":
        assert len(to) == min(k, len(others))
    if topology == "ring":
        assert len(to) == min(2, len(others))


@given(views.filter(lambda view: len(view) > 0))
def test_with_equal_views_a_ring_is_symmetric_and_connected(view: set[str]) -> None:
    ring = {me: recipients("ring", me, sorted(view - {me})) for me in view}
    assert all(me in ring[other] for me in view for other in ring[me])
    reached, todo = set[str](), [min(view)]
    while todo:
        here = todo.pop()
        if here not in reached:
            reached.add(here)
            todo += ring[here]
    assert reached == view


@given(st.sampled_from(TOPOLOGIES), ids, views, st.integers(1, 9), st.integers(0, 9))
def test_the_order_in_which_peers_were_met_does_not_matter(
    topology: str, me: str, live: set[str], k: int, seed: int
) -> None:
    assert recipients(topology, me, sorted(live), k, seed) == recipients(topology, me, sorted(live)[::-1], k, seed)


def test_random_recipients_are_fresh_and_fair() -> None:
    rng, live, draws = random.Random(0), list("abcdefgh"), 4000
    counts = Counter(peer for _ in range(draws) for peer in neighbours("random", "me", live, 2, rng))
    # Each is drawn with probability ¼; 5 standard deviations of 4000 draws are 137.
    assert all(abs(counts[peer] - draws / 4) < 137 for peer in live)


@pytest.mark.parametrize(
    ("topology", "live", "k", "expected"),
    [
        ("random", 8, 2, 0.25),
        ("random", 2, 2, 1.0),
        ("random", 1, 3, 1.0),
        ("random", 0, 3, 1.0),
        ("ring", 8, 2, 1.0),
        ("ring", 0, 2, 1.0),
        ("complete", 8, 2, 1.0),
    ],
)
def test_chances_are_as_computed(topology: str, live: int, k: int, expected: float) -> None:
    assert chance(topology, live, k) == expected


@given(st.sampled_from(TOPOLOGIES), st.integers(0, 300), st.integers(1, 32))
def test_a_chance_is_a_probability(topology: str, live: int, k: int) -> None:
    assert 0 < chance(topology, live, k) <= 1


def test_an_unknown_topology_is_named() -> None:
    with pytest.raises(ValueError, match="no topology 'rings'; one of random, ring, complete"):
        recipients("rings", "a", ["b"])
