"""Suspicion, health and rumours: the formulas, their bounds, and that a rumour reaches nearly everybody."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.membership.health import WORST, Health
from gossipfl.membership.rumours import MAX_RUMOURS, RETOLD, Rumour, Rumours, Standing
from gossipfl.membership.suspicion import CONFIRMERS, Suspicion, timeout


@pytest.mark.parametrize(
    ("confirmations", "period", "members", "expected"),
    [
        (0, 1.0, 1, 24.0), (0, 1.0, 10, 24.0), (0, 1.0, 100, 48.0), (0, 1.0, 1000, 72.0),
        (2, 1.0, 10, 4.0), (2, 1.0, 100, 8.0), (2, 1.0, 10_000, 16.0), (9, 1.0, 100, 8.0), (2, 0.5, 10, 2.0),
        (1, 1.0, 10, 24 - 20 * math.log(2) / math.log(3)), (0, 1.0, 0, 24.0),
    ],
)  # fmt: skip
def test_the_timeout_is_lifeguards(confirmations: int, period: float, members: float, expected: float) -> None:
    assert timeout(confirmations, period, members) == pytest.approx(expected)


@given(st.integers(0, 10), st.floats(0.01, 100), st.floats(0, 1e7))
def test_more_who_suspect_mean_less_time_and_more_members_mean_more(n: int, period: float, members: float) -> None:
    assert timeout(n + 1, period, members) <= timeout(n, period, members) <= timeout(n, period, 10 * members)


def test_a_suspicion_is_confirmed_once_by_each_and_by_no_more_than_count() -> None:
    suspicion = Suspicion(10.0, set())
    assert suspicion.ends(1.0, 10) == 34.0
    assert suspicion.confirm("a")
    assert not suspicion.confirm("a")
    assert suspicion.confirm("b")
    assert not suspicion.confirm("c")
    assert len(suspicion.by) == CONFIRMERS
    assert suspicion.ends(1.0, 10) == 14.0


def test_health_gets_worse_and_better_within_its_bounds() -> None:
    health = Health()
    health.better()
    assert health.patience == 1.0
    for _ in range(20):
        health.worse()
    assert health.patience == 1.0 + WORST
    for _ in range(WORST):
        health.better()
    assert health.patience == 1.0


def rumour(
    peer: str = "a", standing: Standing = Standing.SUSPECT, incarnation: int = 1, refutations: int = 0
) -> Rumour:
    return Rumour(peer, standing, incarnation, refutations)


@pytest.mark.parametrize(
    ("earlier", "later", "replaces"),
    [
        (rumour(), rumour(), False),
        (rumour(), rumour(standing=Standing.ALIVE), False),
        (rumour(), rumour(standing=Standing.ALIVE, refutations=1), True),
        (rumour(standing=Standing.ALIVE), rumour(), True),
        (rumour(), rumour(standing=Standing.DEAD), True),
        (rumour(standing=Standing.DEAD), rumour(refutations=1), True),
        (rumour(standing=Standing.DEAD, refutations=5), rumour(standing=Standing.ALIVE, incarnation=2), True),
        (rumour(standing=Standing.LEFT), rumour(standing=Standing.DEAD), False),
        (rumour(incarnation=2), rumour(standing=Standing.LEFT), False),
    ],
)
def test_of_two_rumours_about_one_peer_the_one_that_counts_more_is_told(
    earlier: Rumour,
    later: Rumour,
    replaces: bool,  # noqa: FBT001
) -> None:
    rumours = Rumours()
    rumours.add(earlier)
    rumours.add(later)
    assert rumours.some(8, 10) == (later if replaces else earlier,)


@given(st.integers(1, 300), st.integers(1, 8), st.floats(0, 1e6))
def test_each_is_told_equally_often_and_then_no_more(count: int, most: int, members: float) -> None:
    rumours = Rumours()
    for i in range(count):
        rumours.add(rumour(f"p{i}"))
    count = min(count, MAX_RUMOURS)
    assert len(rumours) == count
    often = RETOLD * math.ceil(math.log10(max(1.0, members) + 1))
    told: dict[str, int] = {}
    for _ in range(count * often + 1):
        said = rumours.some(most, members)
        assert len(said) <= most
        assert len({one.peer for one in said}) == len(said)
        for one in said:
            told[one.peer] = told.get(one.peer, 0) + 1
        if len(told) == count:
            assert max(told.values()) - min(told.values()) <= 1 or not len(rumours)
    assert not len(rumours)
    assert set(told.values()) <= {often}


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_a_rumour_reaches_nearly_everybody(n: int) -> None:
    """Each tells one other per period, as with probes."""
    rng = random.Random(n)
    nodes = [Rumours() for _ in range(n)]
    knows = {0}
    nodes[0].add(rumour())
    for _ in range(60):
        for i, node in enumerate(nodes):
            other = rng.randrange(n - 1)
            other += other >= i
            for one in node.some(8, n):
                if other not in knows:
                    knows.add(other)
                    nodes[other].add(one)
    assert len(knows) >= 0.98 * n
    assert not any(len(node) for node in nodes), "and ends"
