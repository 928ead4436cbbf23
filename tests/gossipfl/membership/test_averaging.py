"""Flow updating: the sum is kept, whatever is lost, said twice or overtaken, and all come to the average (I5)."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.membership.averaging import FlowAverage


def exchange(nodes: list[FlowAverage], i: int, j: int, *, answered: bool = True) -> None:
    """i speaks to j, and j answers, unless that is lost."""
    nodes[j].asked(str(i), *nodes[i].tell(str(j)))
    if answered:
        nodes[i].answered(str(j), nodes[j].tell(str(i))[0])


def drained(nodes: list[FlowAverage]) -> None:
    """Everybody speaks to everybody, and nothing is lost."""
    for i in range(len(nodes)):
        for j in range(i):
            exchange(nodes, i, j)


@given(
    st.lists(st.floats(-10, 10), min_size=2, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()), max_size=60),
)
def test_the_sum_is_that_of_the_values_once_all_have_spoken(
    values: list[float], talk: list[tuple[int, int, bool]]
) -> None:
    nodes = [FlowAverage(value) for value in values]
    for i, j, answered in talk:
        if i != j and max(i, j) < len(nodes):
            exchange(nodes, i, j, answered=answered)
    drained(nodes)
    assert math.fsum(node.estimate for node in nodes) == pytest.approx(math.fsum(values), abs=1e-9)
    for i, node in enumerate(nodes):
        for j in range(i):
            assert node.tell(str(j))[0] == pytest.approx(-nodes[j].tell(str(i))[0], abs=1e-9)


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_all_come_to_the_average_though_messages_are_lost_said_twice_and_overtaken(loss: float) -> None:
    rng = random.Random(1)
    nodes = [FlowAverage(float(i == 0)) for i in range(40)]
    waiting: list[tuple[int, int, tuple[float, float]]] = []
    for _ in range(40 * 80):
        i, j = rng.sample(range(40), 2)
        waiting.append((i, j, nodes[i].tell(str(j))))
        if len(waiting) > 10:
            i, j, said = waiting.pop(rng.randrange(len(waiting)))
            if rng.random() >= loss:
                nodes[j].asked(str(i), *said)
                nodes[i].answered(str(j), nodes[j].tell(str(i))[0])
                if rng.random() < 0.1:
                    nodes[j].asked(str(i), *said)
    drained(nodes)
    assert math.fsum(node.estimate for node in nodes) == pytest.approx(1.0)
    assert max(node.estimate for node in nodes) < 2 / 40
    assert min(node.estimate for node in nodes) > 0.5 / 40


def test_nothing_stays_behind_when_a_pair_falls_silent_after_an_answer() -> None:
    """The answer comes late, when who asked has spoken to others: what it does with it, nobody would learn of."""
    nodes = [FlowAverage(float(value)) for value in (9, 1, 2)]
    nodes[1].asked("0", *nodes[0].tell("1"))
    answer, _ = nodes[1].tell("0")
    exchange(nodes, 2, 0)
    nodes[0].answered("1", answer)
    assert nodes[0].tell("1")[0] == -nodes[1].tell("0")[0]
    assert math.fsum(node.estimate for node in nodes) == pytest.approx(12)


def test_those_who_are_left_find_their_own_average() -> None:
    nodes = [FlowAverage(float(value)) for value in (9, 1, 2, 3)]
    for _ in range(30):
        drained(nodes)
    assert nodes[0].estimate == pytest.approx(3.75)
    gone, *left = nodes
    del gone
    for node in left:
        node.forget("0")
    for _ in range(30):
        for i in range(3):
            for j in range(i):
                left[j].asked(str(i + 1), *left[i].tell(str(j + 1)))
                left[i].answered(str(j + 1), left[j].tell(str(i + 1))[0])
    assert [node.estimate for node in left] == pytest.approx([2.0] * 3)


def test_a_value_that_changes_is_followed() -> None:
    nodes = [FlowAverage(0.0) for _ in range(4)]
    drained(nodes)
    nodes[2].value = 8.0
    for _ in range(30):
        drained(nodes)
    assert [node.estimate for node in nodes] == pytest.approx([2.0] * 4)
