"""Momentum: what its formulas say, that it settles where nothing moves, and that it stays within its bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipfl.kernels.numpy import PIECE
from gossipfl.mixing.momentum import BETA, MU, QuasiGlobal
from gossipfl.mixing.rate_correction import factor
from gossipfl.model.replica import Replica
from gossipfl.protocol import events as ev
from gossipfl.protocol.peer import PUBLISH
from tests.gossipfl.builders import a_learning_peer, flat, full_of, noise, trained

SIZES = (1, 20, PIECE + 3)


@given(pull=st.floats(0.01, 0.9), seed=st.integers(0, 1000))
def test_a_quadratic_is_minimised_all_the_same(pull: float, seed: int) -> None:
    """x moves by −pull·x per interval, and momentum adds its part: it must come to rest at zero."""
    x = noise(20, seed)
    momentum = QuasiGlobal(x)
    for _ in range(400):
        x -= np.float32(pull) * x
        assert momentum.step(x)
    assert np.abs(x).max() < 0.05


@pytest.mark.parametrize("size", SIZES)
@given(seed=st.integers(0, 1000), mu=st.floats(0, 0.99), beta=st.floats(0, 1))
@settings(max_examples=20)
def test_it_is_what_the_paper_says(size: int, seed: int, mu: float, beta: float) -> None:
    """m ← μm + (1 − μ)·(x − last x) and x ← x + βm, in float64 and with both vectors."""
    x = noise(size, seed)
    momentum = QuasiGlobal(x, mu, beta)
    exact, last, m = x.astype(np.float64), x.astype(np.float64), np.zeros(size)
    for turn in range(10):
        moved = noise(size, seed + turn + 1, 0.1)
        x += moved
        assert momentum.step(x)
        exact += moved
        m = mu * m + (1 - mu) * (exact - last)
        exact += beta * m
        last = exact.copy()
    assert np.allclose(x, exact, atol=1e-4)


def test_a_replica_goes_on_in_the_direction_that_it_moved() -> None:
    replica = Replica(flat(8), full_of(0.0))
    replica.add_momentum()
    replica.add_training(full_of(1.0), 1)
    replica.add_momentum()
    assert np.allclose(replica.x, 1 + BETA * (1 - MU))
    replica.restart(full_of(0.0))
    replica.add_momentum()
    assert (replica.x == full_of(0.0)).all(), "who begins anew has no direction"


def test_a_direction_that_overflows_is_forgotten() -> None:
    replica = Replica(flat(8), full_of(0.0))
    replica.add_momentum()
    most = float(np.finfo(np.float32).max)
    replica.add_training(full_of(0.99 * most), 1)
    replica.add_momentum()
    assert (replica.x == full_of(0.99 * most)).all()
    replica.add_momentum()
    assert (replica.x == full_of(0.99 * most)).all()


@pytest.mark.parametrize(("name", "after"), [("none", 1.5), ("quasi-global", 1.5 + BETA * (1 - MU))])
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
