"""Bases: a name is its content, memory is bounded, and the own base is never lost."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.model.bases import MAX_HELD, Bases, name_of
from tests.gossipfl.builders import full_of, noise


def raw(value: float, size: int = 4) -> bytes:
    return full_of(value, size).tobytes()


def test_a_name_is_the_hash_of_the_bytes() -> None:
    assert name_of(full_of(1, 4)) == hashlib.blake2b(raw(1), digest_size=16).digest()


@given(st.lists(st.floats(-(2.0**29), 2.0**29, width=32), min_size=4, max_size=4))
def test_what_is_received_is_held_under_the_name_of_its_content(values: list[float]) -> None:
    data = np.array(values, "<f4").tobytes()
    bases = Bases(full_of(0.5, 4))
    name = bases.hold(np.frombuffer(data, "<f4"))
    assert name in bases
    assert bases[name].tobytes() == data
    assert name_of(bases[name]) == name


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=30))
def test_memory_is_bounded_and_the_own_base_stays(received: list[tuple[int, bool]]) -> None:
    bases = Bases(full_of(-1, 4))
    for value, adopt in received:
        name = bases.hold(full_of(value, 4))
        assert name in bases
        assert bases.own in bases
        assert len(bases._held) <= MAX_HELD
        if adopt:
            bases.adopt(name)
            assert bases.own == name


def test_the_oldest_makes_room() -> None:
    bases, used = Bases(full_of(0, 4)), [name_of(full_of(value, 4)) for value in (1, 2, 3)]
    for value in (1, 2, 3):
        bases.hold(full_of(value, 4), used)
    assert [name in bases for name in used] == [False, True, True]
    assert bases.own in bases


def test_what_nobody_uses_is_let_go() -> None:
    bases = Bases(full_of(0, 4))
    one, two = (bases.hold(full_of(value, 4)) for value in (1, 2))
    assert one not in bases
    assert two in bases
    assert bases.own in bases


def test_a_base_can_not_be_changed_from_outside() -> None:
    vector = noise(4)
    bases = Bases(vector)
    before = bases[bases.own].copy()
    vector += 1
    assert (bases[bases.own] == before).all()
    with pytest.raises(ValueError, match="read-only"):
        bases[bases.own][0] = 1
