"""Momentum: what its formulas say, that it settles where nothing moves, and that it stays within its bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import LocalError
from gossipfl.mixing.momentum import STRATEGIES, Momentum, NoLoCo, QuasiGlobal, momentum
from gossipfl.mixing.rate_correction import factor
from gossipfl.model.replica import Replica
from gossipfl.protocol import events as ev
from gossipfl.protocol.peer import PUBLISH
from tests.gossipfl.builders import a_learning_peer, flat, full_of, noise, trained, vector

SOME = [one for one in STRATEGIES.values() if one is not None]


@pytest.mark.parametrize("strategy", SOME, ids=lambda one: type(one).__name__)
@given(pull=st.floats(0.01, 0.9), seed=st.integers(0, 1000))
def test_a_quadratic_is_minimised_all_the_same(strategy: Momentum, pull: float, seed: int) -> None:
    """x moves by −pull·x per interval, and momentum adds its part: it must come to rest at zero."""
    x, m = noise(20, seed), np.zeros(20, np.float32)
    last = x.copy()
    for _ in range(400):
        x = x - np.float32(pull) * x
        x = x + strategy.step(m, x - last)
        last = x.copy()
    assert np.abs(x).max() < 0.05


def test_quasi_global_momentum_by_hand() -> None:
    m, strategy = vector(1.0), QuasiGlobal(mu=0.5, beta=0.25)
    assert strategy.step(m, vector(3.0)) == 0.25 * 2.0
    assert m == 2.0


def test_noloco_by_hand() -> None:
    """x = A + moved becomes A + αm + β·moved."""
    m, strategy = vector(1.0), NoLoCo(alpha=0.5, beta=0.7)
    assert strategy.step(m, vector(3.0)) == pytest.approx(0.5 + 2.1 - 3.0)
    assert m == pytest.approx(2.6)
    assert NoLoCo(0.0, 1.0).step(vector(0.0), vector(3.0)) == 0.0, "without memory and damping, it is plain averaging"


def test_an_unknown_strategy_is_refused() -> None:
    assert momentum("none") is None
    with pytest.raises(LocalError, match="no strategy 'nesterov'; one of none, quasi-global, noloco"):
        momentum("nesterov")


def test_a_replica_goes_on_in_the_direction_that_it_moved() -> None:
    replica = Replica(flat(8), full_of(0.0))
    strategy = QuasiGlobal(mu=0.5, beta=1.0)
    replica.add_momentum(strategy)
    replica.add_training(full_of(1.0), 1)
    replica.add_momentum(strategy)
    assert (replica.x == full_of(1.5)).all()
    replica.restart(full_of(0.0))
    replica.add_momentum(strategy)
    assert (replica.x == full_of(0.0)).all(), "who begins anew has no direction"


def test_a_direction_that_overflows_is_forgotten() -> None:
    replica = Replica(flat(8), full_of(0.0))
    huge = NoLoCo(alpha=0.0, beta=3e38)
    replica.add_momentum(huge)
    replica.add_training(full_of(100.0), 1)
    with np.errstate(over="ignore", invalid="ignore"):
        replica.add_momentum(huge)
    assert (replica.x == full_of(100.0)).all()


@pytest.mark.parametrize(("name", "after"), [("none", 1.5), ("noloco", 0.5 + 0.7)])
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
