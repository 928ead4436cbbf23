"""What a person reads: values, times and sizes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gossipfl.output.terminal import ago, duration, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), ("", "–"), ([], "–"), ({}, "–"), (True, "yes"), (0.25, "0.25"), ({"accuracy": None}, "accuracy –")],
)
def test_a_value_is_shown_as_a_person_reads_it(value: Any, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "12.3 ms"), (1.0, "1.0 s"), (119.9, "119.9 s"), (120, "2.0 min"), (7200, "2.0 h"), (172_800, "2.0 d")],
)
def test_a_time_has_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_moment_is_told_by_how_long_it_is_past_and_one_to_come_is_now() -> None:
    assert ago(None) == "–"
    assert ago(time.time() - 600.01) == "10.0 min ago"
    assert ago(time.time() + 600) == "0.0 ms ago"
