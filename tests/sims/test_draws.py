"""Streams of chance: each cause has its own, whoever else draws, and blocks are what one would draw one by one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl_sims.engine.draws import BLOCK, CAUSES, Draws

SEEDS = st.integers(0, 2**63)
MANY = 2 * BLOCK + 3
"""More than two blocks: what happens at their edges is seen."""


def first(draws: Draws, cause: str, count: int = 5) -> list[float]:
    return [float(one) for one in draws.generator(cause).random(count)]


@given(SEEDS, st.sampled_from(CAUSES), st.lists(st.tuples(st.sampled_from(CAUSES), st.integers(1, 50)), max_size=9))
def test_what_others_draw_changes_nothing(seed: int, cause: str, others: list[tuple[str, int]]) -> None:
    draws = Draws(seed)
    for other, count in others:
        if other != cause:
            draws.generator(other).standard_normal(count)
    assert first(draws, cause) == first(Draws(seed), cause)


@given(SEEDS)
def test_no_two_causes_share_a_stream(seed: int) -> None:
    draws = Draws(seed)
    assert len({tuple(first(draws, cause)) for cause in CAUSES}) == len(CAUSES)


@given(SEEDS, SEEDS)
def test_a_seed_is_its_numbers(one: int, other: int) -> None:
    same = [first(Draws(one), cause) == first(Draws(other), cause) for cause in CAUSES]
    assert all(same) if one == other else not any(same)


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_blocks_are_what_one_would_draw_one_by_one(seed: int) -> None:
    draws, alone = Draws(seed), Draws(seed)
    uniform, normal = draws.uniform("loss"), draws.normal("latency")
    one, other = alone.generator("loss"), alone.generator("latency")
    assert [uniform() for _ in range(MANY)] == [float(one.random()) for _ in range(MANY)]
    assert [normal() for _ in range(MANY)] == [float(other.standard_normal()) for _ in range(MANY)]


@settings(max_examples=10)
@given(SEEDS)
def test_numbers_follow_their_laws(seed: int) -> None:
    """Five standard errors: one seed in a million is refused without a reason."""
    draws = Draws(seed)
    uniform, normal = draws.uniform("loss"), draws.normal("latency")
    u = np.array([uniform() for _ in range(MANY)])
    z = np.array([normal() for _ in range(MANY)])
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 5 / math.sqrt(12 * MANY)
    assert abs(z.mean()) < 5 / math.sqrt(MANY)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / MANY)


def test_the_order_of_causes_is_that_of_recorded_seeds() -> None:
    """Append only: a cause that moves makes every replay line tell another story."""
    assert CAUSES[:10] == (
        "latency", "loss", "duplication", "reordering", "corruption", "peers", "training", "devices", "faults", "lies",
    )  # fmt: skip
    assert Draws(7).generator("lies").random() == np.random.default_rng(np.random.SeedSequence(7).spawn(10)[9]).random()


def test_an_unknown_cause_has_no_stream() -> None:
    with pytest.raises(KeyError):
        Draws(0).generator("weather")
