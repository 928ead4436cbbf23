"""Momentum: what its formulas say, that it settles where nothing moves, and that a newcomer has none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.kernels.numpy import PIECE
from gossipfl.mixing.momentum import BETA, STRATEGIES
from gossipfl.mixing.rate_correction import factor
from gossipfl.model.replica import Replica
from gossipfl.model.served import SLOWEST, Served
from gossipfl.protocol import events as ev
from gossipfl.protocol.peer import PUBLISH
from tests.gossipfl.builders import a_learning_peer, flat, full_of, noise, trained

SIZES = (1, 20, PIECE + 3)


@given(pull=st.floats(0.01, 0.9), seed=st.integers(0, 1000))
def test_a_quadratic_is_minimised_all_the_same(pull: float, seed: int) -> None:
    """x moves by −pull·x per interval, and momentum adds its part: it must come to rest at zero."""
    x = noise(20, seed)
    served = Served(x)
    for _ in range(1000):
        x -= np.float32(pull) * x
        served.add(x, "quasi-global", 1.0)
    assert np.abs(x).max() < 0.05


@pytest.mark.parametrize("size", SIZES)
@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_it_is_what_the_paper_says(size: int, seed: int) -> None:
    """m ← (1 − c)·m + c·(x − last x) and x ← x + βm, in float64, once the average has begun."""
    x = noise(size, seed)
    served = Served(x)
    for turn in range(40):  # until c stays as it is
        x += noise(size, turn, 0.1)
        served.add(x, "none", 1.0)
    c, average, m = SLOWEST, served.x.astype(np.float64), None
    exact = last = x.astype(np.float64)
    for turn in range(10):
        moved = noise(size, seed + turn + 1, 0.1)
        x += moved
        served.add(x, "quasi-global", 1.0)
        exact = exact + moved
        m = c * (exact - average) if m is None else (1 - c) * m + c * (exact - last)
        last = exact
        exact = exact + BETA * m
    assert np.allclose(x, exact, atol=1e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_on_a_steady_way_steps_are_so_much_longer(strategy: str) -> None:
    x = full_of(0.0)
    served = Served(x)
    for _ in range(200):
        before = x.copy()
        x += np.float32(0.01)
        served.add(x, strategy, 1.0)
    longer = 1.0 if strategy == "none" else 1 / (1 - BETA)
    assert np.allclose((x - before) / 0.01, longer, rtol=1e-3)


def test_who_begins_anew_has_no_direction() -> None:
    replica = Replica(flat(8), full_of(0.0))
    for _ in range(3):
        replica.add_training(full_of(1.0), 1)
        replica.end_interval("quasi-global", 1.0)
    assert (replica.x > 3).all()
    replica.restart(full_of(0.0))
    replica.end_interval("quasi-global", 1.0)
    assert (replica.x == full_of(0.0)).all()


@pytest.mark.parametrize(("name", "after"), [("none", 1.5), ("quasi-global", 1.5 + BETA * 4 / 5)])
def test_a_peer_takes_its_step_once_per_interval_and_before_training(name: str, after: float) -> None:
    peer = a_learning_peer(momentum=name)
    trained(peer, 0.0)
    peer.handle(ev.TimerFired(PUBLISH), 11.0)
    trained(peer, 1.0, now=11.1)
    (train,) = [effect for effect in peer.handle(ev.TimerFired(PUBLISH), 12.0) if isinstance(effect, ev.Train)]
    assert np.allclose(train.start, full_of(after))
    assert train.age == peer.replica.age


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [(1.0, [], 1.0), (1.0, [1.0, 1.0], 1.0), (0.5, [1.5], 2.0), (0.1, [1.0] * 9, 4.0), (10.0, [1.0, 0.0], 0.55),
     (100.0, [1.0] * 99, 0.25), (1.0, [0.0, 0.0], 1.0)],
)  # fmt: skip
def test_slow_nodes_have_as_much_say(own: float, others: list[float], expected: float) -> None:
    assert factor(own, others) == pytest.approx(expected)


def test_what_a_corrected_peer_trained_is_scaled() -> None:
    peer = a_learning_peer(rate_correction=True)
    trained(peer, 1.0)
    assert np.allclose(peer.replica.x, 1.5), "alone there is nothing to correct"
