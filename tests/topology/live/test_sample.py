"""The peers to keep links with: few, wanted by both ends, renewed slowly, and everybody as often as everybody else."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gossipfl_topology.live import Regular
from gossipfl_topology.live.sample import SIZE, TURN, sample

RINGS = SIZE // 2
ids = st.text("abcdefgh", min_size=1, max_size=3)


def fleet(n: int) -> list[str]:
    return [f"id {i}" for i in range(n)]


def views(n: int, epoch: int, size: int = SIZE) -> dict[str, frozenset[str]]:
    """Everybody's links, where everybody knows everybody."""
    everybody = fleet(n)
    return {me: sample(me, everybody, epoch, size) for me in everybody}


@pytest.mark.parametrize("n", [1, 2, 3, SIZE, SIZE + 1])
def test_while_they_are_few_everybody_is_linked_with_everybody(n: int) -> None:
    everybody = fleet(n)
    for epoch in (0, 1, TURN, 10**9):
        assert all(view == set(everybody) - {me} for me, view in views(n, epoch).items())


def test_one_more_than_that_and_not_everybody_is() -> None:
    sizes = [len(view) for view in views(SIZE + 2, epoch=0).values()]
    assert max(sizes) <= SIZE


def test_i_need_not_be_known_to_myself_and_am_never_in_my_view() -> None:
    others = fleet(100)
    assert sample("me", others, 7) == sample("me", [*others, "me"], 7)
    assert "me" not in sample("me", [*others, "me"], 7)
    assert sample("me", [], 0) == sample("me", ["me"], 0) == frozenset()


@given(st.sets(ids, max_size=120), st.integers(0, 10**10), st.sampled_from([2, 4, 8, SIZE]))
def test_a_view_has_a_fitting_size_and_only_others_that_are_known(known: set[str], epoch: int, size: int) -> None:
    view = sample("me", known, epoch, size)
    assert view <= known
    assert min(2, len(known)) <= len(view) <= size
    if len(known) <= size:
        assert view == known


@given(st.sets(ids, min_size=40, max_size=80), st.integers(0, 10**10), st.randoms(use_true_random=False))
def test_only_who_is_known_matters_not_in_which_order_they_were_met(
    known: set[str], epoch: int, rng: random.Random
) -> None:
    order = sorted(known)
    rng.shuffle(order)
    assert sample("me", order, epoch) == sample("me", known, epoch)


@pytest.mark.parametrize(("n", "size"), [(34, SIZE), (100, SIZE), (256, SIZE), (100, 4), (9, 2)])
@pytest.mark.parametrize("epoch", [0, 17, 12345, 10**9])
def test_with_equal_knowledge_both_ends_want_the_link_and_nobody_is_cut_off(n: int, size: int, epoch: int) -> None:
    found = views(n, epoch, size)
    assert all(me in found[other] for me, view in found.items() for other in view)
    assert nx.is_connected(nx.Graph((me, other) for me, view in found.items() for other in view))


@pytest.mark.parametrize(
    ("n", "least", "mean"),
    # Sixteen draws of two out of n − 1, of which some coincide: (n − 1)(1 − (1 − 2/(n − 1))¹⁶) on average.
    [(100, 20, 27.4), (150, 22, 28.9), (256, 24, 30.2)],
)
def test_views_are_nearly_as_large_as_asked_for(n: int, least: int, mean: float) -> None:
    sizes = [len(view) for epoch in range(0, 4 * TURN, TURN) for view in views(n, epoch).values()]
    assert max(sizes) <= SIZE
    assert min(sizes) >= least
    assert np.mean(sizes) == pytest.approx(mean, rel=0.02)


def test_everybody_is_in_as_many_views_as_everybody_else_at_any_time() -> None:
    """Not only on average: nobody has to keep more links than the rest, and nobody is out of sight."""
    for epoch in (0, 16, 999, 10**9):
        found = views(200, epoch)
        counts = Counter(other for view in found.values() for other in view)
        assert set(counts) == set(found)
        assert {other: len(view) for other, view in found.items()} == counts
        assert 24 <= min(counts.values()) <= max(counts.values()) <= SIZE


def test_within_a_turn_nothing_changes_and_from_turn_to_turn_a_few_links() -> None:
    known = fleet(150)
    for turn in range(3 * RINGS):
        during = {sample("id 3", known, epoch) for epoch in (turn * TURN, turn * TURN + 1, turn * TURN + TURN - 1)}
        assert len(during) == 1
    turns = [sample("id 3", known, turn * TURN) for turn in range(6 * RINGS)]
    for before, after in pairwise(turns):
        assert len(after - before) <= 2
        assert len(before - after) <= 2
    assert np.mean([len(after - before) for before, after in pairwise(turns)]) > 1, "but they do change"


def test_after_as_many_turns_as_there_are_rings_the_view_is_another() -> None:
    """Kept are those who happen to be drawn again: 28 of 99 for each link, so 8 of 28 on average."""
    known = fleet(100)
    kept = [
        len(sample(me, known, start * TURN) & sample(me, known, (start + RINGS) * TURN))
        for me in known[:20]
        for start in range(0, 5 * RINGS, RINGS)
    ]
    assert np.mean(kept) == pytest.approx(27.4**2 / 99, abs=1.5)
    assert max(kept) < 20


def test_over_many_turns_everybody_meets_everybody() -> None:
    known = fleet(100)
    for me in known[:5]:
        met: set[str] = set()
        for turn in range(500):
            met |= sample(me, known, turn * TURN)
        assert met == set(known) - {me}


def test_over_many_turns_all_are_in_a_view_equally_often() -> None:
    """Counted each time that all rings have been shuffled: these views are independent of each other."""
    known = fleet(80)
    for me in ("id 0", "id 41"):
        renewals = 400
        counts = Counter(other for i in range(renewals) for other in sample(me, known, i * RINGS * TURN, 4))
        assert set(counts) == set(known) - {me}
        # A draw without replacement of m out of N varies less than the Poisson of the test, by 1 − m/N: 5 % here.
        assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_who_is_known_to_few_is_in_as_many_of_their_views_as_anybody_else() -> None:
    """However often an id is spoken of: to be known counts, and it counts once."""
    everybody, rng = fleet(100), random.Random(1)
    famous, obscure = set(everybody[:10]), set(everybody[-10:])
    chances: dict[str, list[float]] = {"famous": [], "obscure": [], "others": []}
    for _ in range(6):
        epoch = rng.randrange(10**9)
        for me in everybody[10:-10]:
            known = {
                other
                for other in everybody
                if other in famous or rng.random() < (0.2 if other in obscure else 0.8)
            }  # fmt: skip
            view = sample(me, known, epoch)
            for kind, members in (("famous", famous), ("obscure", obscure & known)):
                chances[kind] += [other in view for other in members]
            chances["others"] += [other in view for other in known - famous - obscure - {me}]
    usual = np.mean(chances["others"])
    assert np.mean(chances["famous"]) == pytest.approx(usual, rel=0.1)
    assert np.mean(chances["obscure"]) == pytest.approx(usual, rel=0.1)


def test_one_more_that_is_known_changes_a_few_links() -> None:
    """At most one on either side on each ring, and less than one ring in six of a hundred has it next to me."""
    known = fleet(100)
    changes = []
    for i in range(40):
        before, after = sample("me", known, i), sample("me", [*known, f"new {i}"], i)
        gone, come = before - after, after - before
        assert come <= {f"new {i}"}
        assert len(gone) <= RINGS
        changes.append(len(gone))
    assert np.mean(changes) < 1


def test_the_rings_are_none_that_a_topology_uses() -> None:
    """Else the links that are kept would favour some recipients of a publish."""
    known = fleet(200)
    shared = [
        len(sample(me, known, 0) & set(Regular(k=32).neighbours(me, dict.fromkeys(known, ""), 0))) for me in known
    ]
    assert np.mean(shared) == pytest.approx(29.7**2 / 199, rel=0.15)


def test_epochs_as_they_are_today_and_far_later_are_no_different() -> None:
    """Seconds since 1970 over the shortest interval, and a million times that."""
    for epoch in (1_800_000_000 * 20, 1_800_000_000 * 20 * 10**6):
        view = sample("me", fleet(100), epoch)
        assert 20 <= len(view) <= SIZE
