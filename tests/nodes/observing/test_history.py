"""A device's history: bounded, even, and over all of its life."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gossipfl_nodes.observing.history import FIRST, MOST, History


@given(st.integers(1, 5000))
def test_it_spans_the_whole_time_evenly_with_a_bounded_number_of_samples(count: int) -> None:
    history, now, asked = History(), 1e9, []
    for _ in range(count):
        history.add(now, {"loss": now})
        asked.append(now)
        now += history.every
    times = history.times
    assert times == history.columns["loss"]
    assert len(times) <= MOST
    assert times[0] == asked[0]
    assert times[-1] == asked[-1]
    assert {after - before for before, after in pairwise(times)} <= {history.every}
    assert count < MOST or len(times) > MOST // 2
    assert history.every >= FIRST


def test_what_was_not_known_at_a_time_has_a_place_there() -> None:
    history = History()
    history.add(1.0, {"loss": None})
    history.add(2.0, {"loss": 0.5, "metrics.accuracy": 0.25})
    assert history.columns == {"loss": [None, 0.5], "metrics.accuracy": [None, 0.25]}
