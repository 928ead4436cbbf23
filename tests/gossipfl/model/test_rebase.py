"""Rebase: the mesh's model, and of the own progress at most a quarter of the way to it (invariant I12)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.model.rebase import OWN_SHARE, rebase
from tests.gossipfl.builders import distance, full_of, noise, vector

seeds = st.integers(0, 1000)


@given(seeds, st.integers(1, 6))
def test_without_own_progress_the_model_is_the_peers_median(seed: int, peers: int) -> None:
    snapshots = [noise(20, seed + peer) for peer in range(peers)]
    x = noise(20, seed + 100)
    model, anchor = rebase(snapshots, x, x.copy())
    assert distance(model, np.median(np.stack(snapshots), axis=0).astype(np.float32)) == 0
    assert (model == anchor).all()
    assert not np.shares_memory(model, anchor)


@given(seeds, st.floats(0, 100), st.floats(0, 100))
def test_own_progress_counts_for_at_most_a_quarter_of_the_way(seed: int, progress: float, away: float) -> None:
    anchor = noise(20, seed)
    x = anchor + noise(20, seed + 1, progress)
    snapshots = [x + noise(20, seed + 2 + peer, away) for peer in range(3)]
    model, y = rebase(snapshots, x, anchor)
    own = distance(model, y)
    assert own <= float(OWN_SHARE) * distance(y, x) * (1 + 1e-4) + 1e-4
    assert own <= float(OWN_SHARE) * distance(x, anchor) * (1 + 1e-4) + 1e-4


def test_small_progress_survives_to_a_quarter() -> None:
    model, y = rebase([full_of(10, 2)] * 3, vector(1, 0), vector(0, 0))
    assert (y == full_of(10, 2)).all()
    assert model == pytest.approx(vector(10.25, 10))


@pytest.mark.parametrize("lie", [-1e6, 1e6, 1e30, -1e30])
def test_one_liar_among_three_chooses_nothing_outside_what_the_others_say(lie: float) -> None:
    x = noise(50)
    honest = [noise(50, 1), noise(50, 2)]
    model, _ = rebase([honest[0], full_of(lie, 50), honest[1]], x, x)
    assert (model >= np.minimum(*honest)).all()
    assert (model <= np.maximum(*honest)).all()


def test_the_arguments_stay_as_they_were() -> None:
    snapshots, x, anchor = [noise(5, 1), noise(5, 2), noise(5, 3)], noise(5, 4), noise(5, 5)
    rebase(snapshots, x, anchor)
    assert all((one == noise(5, seed)).all() for seed, one in enumerate([*snapshots, x, anchor], 1))
