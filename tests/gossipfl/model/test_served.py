"""Served: the first model counts in full, later ones less, the newest never less than a tenth."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.model.served import GAMMA, SLOWEST, Served
from tests.gossipfl.builders import full_of, noise, vector


def weights(count: int) -> list[float]:
    """How much of the newest model is in the average, for the first `count` models."""
    served, found = Served(vector(0.0)), []
    for _ in range(count):
        before = float(served.x[0])
        served.add(vector(before + 1.0), "none", 1.0)
        found.append(float(served.x[0]) - before)
    return found


def test_the_first_model_is_taken_whole() -> None:
    served = Served(noise(5, 0))
    served.add(noise(5, 1), "none", 1.0)
    assert (served.x == noise(5, 1)).all()


def test_weights_fall_to_a_tenth_and_stay_there() -> None:
    found = weights(100)
    assert found[:3] == pytest.approx([1.0, (GAMMA + 1) / (2 + GAMMA), (GAMMA + 1) / (3 + GAMMA)], abs=1e-5)
    assert all(later <= earlier + 1e-5 for earlier, later in pairwise(found))
    assert found[-1] == pytest.approx(SLOWEST, abs=1e-4)


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50))
def test_the_average_is_among_its_models(models: list[float]) -> None:
    served = Served(vector(0.0))
    for model in models:
        served.add(vector(model), "none", 1.0)
    assert min(models) - 1e-3 <= served.x[0] <= max(models) + 1e-3


def test_equal_models_are_a_fixed_point() -> None:
    served = Served(full_of(0.3))
    for _ in range(20):
        served.add(full_of(0.3), "none", 1.0)
    assert (served.x == full_of(0.3)).all()


def test_it_follows_a_model_that_moved_for_good() -> None:
    served = Served(vector(0.0))
    for _ in range(50):
        served.add(vector(0.0), "none", 1.0)
    for _ in range(50):
        served.add(vector(1.0), "none", 1.0)
    assert served.x[0] > 0.99


def test_a_restart_forgets_and_the_next_model_counts_whole() -> None:
    served = Served(vector(0.0))
    for _ in range(50):
        served.add(vector(9.0), "none", 1.0)
    served.restart(vector(1.0))
    assert served.x[0] == 1.0
    served.add(vector(2.0), "none", 1.0)
    assert served.x[0] == 2.0


def test_the_average_is_its_own_array() -> None:
    x = noise(3)
    served = Served(x)
    x += 1
    served.add(noise(3, 5), "none", 1.0)
    assert (x == noise(3) + 1).all()
    assert not np.shares_memory(served.x, x)
