"""The table of limits: places, token buckets, and that an honest peer fits under what depends on its model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.wire.messages import max_body
from gossipfl_nodes.network import limits
from gossipfl_nodes.network.limits import Bucket, Limits, Rate, place_of


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_place_is_what_one_subscriber_has(host: str, place: str) -> None:
    assert place_of(host) == place


def test_a_bucket_gives_its_burst_at_once_and_its_rate_for_ever() -> None:
    bucket = Bucket(Rate(2.0, 10.0), now=0.0)
    assert bucket.full(0.0)
    bucket.take(10.0, 0.0)
    assert not bucket.full(0.0)
    assert bucket.wait(1.0, 0.0) == 0.5
    assert bucket.room(0.5) == 1.0
    assert bucket.room(1000.0) == 10.0


def test_what_is_taken_beyond_the_burst_is_paid_off_first() -> None:
    bucket = Bucket(Rate(1.0, 4.0), now=0.0)
    bucket.take(9.0, 0.0)
    assert bucket.wait(1.0, 0.0) == 6.0
    assert bucket.wait(100.0, 0.0) == 9.0, "of more than it holds, until it is full"


def test_a_wider_bucket_gives_the_larger_burst_at_once_and_forgives_no_debt() -> None:
    bucket = Bucket(Rate(1.0, 4.0), now=0.0)
    bucket.take(6.0, 0.0)
    bucket.widen(Rate(3.0, 10.0), 0.0)
    assert bucket.room(0.0) == 4.0
    assert bucket.room(1.0) == 7.0


@given(
    st.floats(0.1, 1e6),
    st.floats(1, 1e6),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1e6)), max_size=20),
)
def test_whoever_waits_never_gets_more_than_the_rate_and_one_burst_and_one_overdraft(
    per_second: float, burst: float, wishes: list[tuple[float, float]]
) -> None:
    bucket, now, taken, largest = Bucket(Rate(per_second, burst), 0.0), 0.0, 0.0, 0.0
    for pause, amount in wishes:
        now += pause
        now += bucket.wait(1, now) * (1 + 1e-9)
        bucket.take(amount, now)
        taken, largest = taken + amount, max(largest, amount)
    assert taken <= (per_second * now + burst + largest) * (1 + 1e-6)


@pytest.mark.parametrize("parameters", [0, 650, 100_000, 25_000_000])
@pytest.mark.parametrize("interval", [0.05, 1.0, 60.0])
def test_two_whole_models_an_interval_and_a_base_at_once_make_no_honest_peer_wait(
    parameters: int, interval: float
) -> None:
    largest = max_body(parameters)
    allowed = Limits.of(largest, interval)
    sent = 2 * (4 * parameters + limits.WEIGHT) / interval
    assert allowed.link.per_second > sent
    assert allowed.link.burst > 4 * largest
    assert allowed.frames.per_second > 2 / interval
    assert allowed.pool >= 8 * largest


def test_the_table_is_of_a_piece() -> None:
    assert limits.PENDING < limits.ALL_PENDING
    assert limits.PER_PLACE < limits.ALL
    assert limits.PENDING / limits.HANDSHAKES.per_second < limits.HANDSHAKE, "the last in the queue is served in time"
    assert limits.STRANGER.burst > 10_000 + 12 * limits.WEIGHT, "a greeting fits into it"
