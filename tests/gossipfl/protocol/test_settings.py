"""Settings: every value out of its range is named, with what is allowed."""

import math
from typing import Any

import pytest

from gossipfl.errors import LocalError
from gossipfl.protocol.settings import Settings


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("mesh", "", "1 to 64 characters"),
        ("mesh", "m" * 65, "1 to 64 characters"),
        ("interval", 0.0, "0.05 to 86400 seconds"),
        ("interval", -1.0, "0.05 to 86400 seconds"),
        ("interval", 86_401.0, "0.05 to 86400 seconds"),
        ("interval", math.nan, "0.05 to 86400 seconds"),
        ("interval", math.inf, "0.05 to 86400 seconds"),
        ("role", "boss", "nothing, or one of sensor, gateway, district"),
        ("steps", 0, "1 to 100000"),
        ("steps", 100_001, "1 to 100000"),
        ("staleness", "", "one of hinge, const, poly, drop"),
    ],
)
def test_a_value_out_of_range_is_refused(key: str, value: Any, allowed: str) -> None:
    with pytest.raises(LocalError) as caught:
        Settings(**{key: value})
    assert str(caught.value) == f"{key} = {value!r}: allowed is {allowed}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mesh", "m" * 64), ("interval", 0.05), ("interval", 86_400.0), ("topology", "ring"),
        ("topology", "k-out:k=32"), ("topology", "./city.json"), ("role", "gateway"), ("steps", 1), ("steps", 100_000),
        ("staleness", "drop"),
    ],
)  # fmt: skip
def test_a_value_at_its_limit_is_allowed(key: str, value: Any) -> None:
    assert getattr(Settings(**{key: value}), key) == value


@pytest.mark.parametrize(
    ("topology", "said"),
    [
        ("rings", "no topology 'rings'; did you mean ring?"),
        ("k-out:k=0", "k-out: k = 0: 1 to 32"),
        ("regular:k=3", "k must be even"),
        ("ring:k=2", "ring has no parameter 'k'; it takes no parameters"),
        ("k-out:k", "NAME:KEY=VALUE"),
        ("", "no topology ''"),
    ],
)
def test_a_topology_that_is_none_is_refused_with_what_would_be(topology: str, said: str) -> None:
    with pytest.raises(LocalError) as caught:
        Settings(topology=topology)
    assert str(caught.value).startswith(f"topology = {topology!r}: ")
    assert said in str(caught.value)
