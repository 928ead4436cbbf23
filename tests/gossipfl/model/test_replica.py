"""Replica: every way in which a model may change, and that nothing else changes with it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import LocalError
from gossipfl.model.replica import FLOOR_RMS, REFUSE_RADII, Replica
from gossipfl.model.schema import Schema, Tensor, Vector
from tests.gossipfl.builders import flat, full_of, noise, told_model, vector

WITH_HEAD = Schema([Tensor("body", (3,)), Tensor("head", (2,), personal=True), Tensor("tail", (1,))])


def replica(x: Vector) -> Replica:
    return Replica(flat(x.size), x)


def merge(r: Replica, other: Vector, weight: float, age: float = 0.0) -> tuple[float, float, float]:
    """Merge `other` whole: as a base, with a delta of nothing."""
    return r.merge(slice(0, other.size, 1), other, np.zeros(1, np.float32), np.zeros(other.size, np.int8), weight, age)


def bytes_of(r: Replica) -> tuple[bytes, bytes, bytes, float]:
    return r.x.tobytes(), r._personal.tobytes(), r.served.x.tobytes(), r.age


@pytest.mark.parametrize(
    ("initial", "reason"),
    [
        (np.zeros(3), "expected float32"),
        (np.zeros(2, np.float32), "expected float32"),
        (vector(0, math.nan, 0), "not within"),
        (vector(0, 0, math.inf), "not within"),
    ],
)
def test_an_initial_vector_must_fit(initial: Vector, reason: str) -> None:
    with pytest.raises(LocalError, match=reason):
        Replica(flat(3), initial)


def test_it_begins_as_it_was_told() -> None:
    initial = noise(6)
    r = Replica(WITH_HEAD, initial)
    assert (r.full() == initial).all()
    assert (r.full_served() == initial).all()
    assert (r.x.size, r.age) == (4, 0.0)
    initial += 1
    assert (r.full() == noise(6)).all()


def test_training_is_added_to_merges_that_happened_meanwhile() -> None:
    r = replica(vector(1, 2))
    start = r.full().copy()
    merge(r, vector(2, 3), 0.5)
    r.add_training(vector(11, 12) - start, 20)
    assert (r.x == vector(11.5, 12.5)).all()
    assert r.age == 20


def test_training_moves_personal_values_too() -> None:
    r = Replica(WITH_HEAD, np.zeros(6, np.float32))
    delta = np.arange(6, dtype=np.float32)
    r.add_training(delta, 1)
    assert (r.full() == delta).all()
    assert (r.x == vector(0, 1, 2, 5)).all()


@pytest.mark.parametrize("schema", [flat(6), WITH_HEAD], ids=["all shared", "with personal values"])
def test_what_is_handed_out_can_only_be_read(schema: Schema) -> None:
    r = Replica(schema, noise(6))
    for out in (r.full(), r.full_served()):
        assert not out.flags.writeable
        assert (out == noise(6)).all()
    assert np.shares_memory(r.full(), r.x) == (schema.shared_size == 6), "a large model is not copied"


@pytest.mark.parametrize(
    "delta",
    [
        np.zeros(6),
        np.zeros(5, np.float32),
        np.zeros((6, 1), np.float32),
        vector(0, 0, 0, 0, 0, math.nan),
        vector(0, 0, 0, math.inf, 0, 0),
        full_of(1e8, 6),
    ],
    ids=["float64", "short", "two-dimensional", "nan", "infinite in a personal tensor", "overflow"],
)
def test_a_training_result_that_does_not_fit_changes_not_a_byte(delta: Vector) -> None:
    r = Replica(WITH_HEAD, full_of(1e9, 6))
    before = bytes_of(r)
    given_delta = delta.copy()
    with pytest.raises(LocalError):
        r.add_training(delta, 20)
    assert bytes_of(r) == before
    assert np.array_equal(delta, given_delta, equal_nan=True)


@given(st.integers(0, 99), st.floats(0, 0.5), st.floats(0, 1e6), st.floats(0, 1e6))
def test_mixing_is_linear_in_model_and_age(seed: int, weight: float, own_age: float, age: float) -> None:
    x, other = noise(10, seed), noise(10, seed + 1)
    r = replica(x)
    r.age = own_age
    distance, limit, moved = merge(r, other, weight, age)
    assert distance == pytest.approx(float(np.linalg.norm(other - x)), rel=1e-5)
    assert limit == pytest.approx(REFUSE_RADII * replica(x).radius())
    assert moved == pytest.approx(weight * min(1.0, limit / REFUSE_RADII / distance))
    merged = (1 - moved) * x + moved * other
    assert np.allclose(r.x, merged, atol=1e-5)
    assert r.age == pytest.approx((1 - moved) * own_age + moved * age)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_difference_to_nonsense_has_a_norm_that_is_not_finite(bad: float) -> None:
    assert not math.isfinite(replica(noise(4)).distance(vector(0, 0, bad, 0)))


@given(st.integers(1, 500), st.floats(0, 100))
def test_the_radius_is_that_of_the_model_and_a_floor(size: int, scale: float) -> None:
    x = noise(size, 1, scale)
    expected = float(np.linalg.norm(x.astype(np.float64))) + FLOOR_RMS * math.sqrt(size)
    assert replica(x).radius() == pytest.approx(expected, rel=1e-4)


def test_a_restart_forgets_all_but_personal_values() -> None:
    r = Replica(WITH_HEAD, full_of(1, 6))
    r.add_training(full_of(1, 6), 20)
    r.end_interval("quasi-global", 1.0)
    y = full_of(5, 4)
    r.restart(y)
    assert (r.full() == vector(5, 5, 5, 2, 2, 5)).all()
    assert (r.full_served() == r.full()).all()
    assert r.age == 0
    r.end_interval("quasi-global", 1.0)
    r.add_training(full_of(1, 6), 20)
    assert (y == 5).all()


def test_a_rebase_keeps_personal_values_and_restarts_the_served_model() -> None:
    r = Replica(WITH_HEAD, full_of(1, 6))
    r.rebase([told_model(full_of(3, 4))] * 3, 500.0)
    assert (r.full() == vector(3, 3, 3, 1, 1, 3)).all()
    assert (r.full_served() == r.full()).all()
    assert r.age == 500
