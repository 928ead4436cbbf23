"""Rebase: the coordinate-wise median of what peers told (invariant I12)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.kernels import BLOCK
from gossipfl.kernels.numpy import PIECE
from gossipfl.model.rebase import Told, median
from tests.gossipfl.builders import full_of, noise, told_model, vector


@given(st.integers(0, 1000), st.integers(1, 6), st.sampled_from([1, 20, BLOCK + 1, PIECE + 3]))
def test_the_model_is_the_median_of_what_was_told(seed: int, peers: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    told, exact = [], []
    for peer in range(peers):
        base, scales = noise(size, seed + peer), rng.random(-(-size // BLOCK), np.float32)
        codes = rng.integers(-7, 8, size).astype(np.int8)
        told.append(Told(base, scales, codes))
        exact.append(base + np.repeat(scales, BLOCK)[:size] * codes)
        assert told[-1].is_sane()
    out = np.empty(size, np.float32)
    median(told, out)
    assert np.allclose(out, np.median(np.stack(exact), axis=0), atol=1e-5)


@pytest.mark.parametrize("lie", [-1e6, 1e6, 1e9, -1e9])
def test_one_liar_among_three_chooses_nothing_outside_what_the_others_say(lie: float) -> None:
    honest = [noise(50, 1), noise(50, 2)]
    model = np.empty(50, np.float32)
    median([told_model(x) for x in (honest[0], full_of(lie, 50), honest[1])], model)
    assert (model >= np.minimum(*honest)).all()
    assert (model <= np.maximum(*honest)).all()


@pytest.mark.parametrize("bad", [1.1e9, -1.1e9, float("inf"), float("nan")])
@pytest.mark.parametrize("at", [0, PIECE + 2])
def test_what_is_no_model_is_not_sane(bad: float, at: int) -> None:
    base = np.zeros(PIECE + 3, np.float32)
    base[at] = bad
    assert not told_model(base).is_sane()


def test_a_step_may_lead_out_of_what_is_sane() -> None:
    assert not Told(full_of(9e8), vector(1e9), np.ones(8, np.int8)).is_sane()
