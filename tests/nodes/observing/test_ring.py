"""A ring against a plain list of all that was ever added."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipfl_nodes.observing.ring import Ring


@given(st.lists(st.binary(max_size=12)), st.integers(1, 8), st.integers(1, 40), st.integers(0, 60), st.integers(1, 9))
def test_a_reader_gets_what_is_there_and_is_told_what_is_not(
    lines: list[bytes], most: int, room: int, number: int, batch: int
) -> None:
    ring = Ring(most, room)
    for line in lines:
        ring.add(line)
    assert ring.newest == len(lines)
    kept: list[tuple[int, bytes]] = []
    for at in range(len(lines), 0, -1):
        if len(kept) == most or sum(len(line) for _, line in kept) + len(lines[at - 1]) > room:
            break
        kept.insert(0, (at, lines[at - 1]))
    missed, here = ring.after(number, batch)
    assert here == [(at, line) for at, line in kept if at > number][:batch]
    assert missed == sum(number < at <= len(lines) - len(kept) for at in range(1, len(lines) + 1))


def test_a_line_larger_than_the_room_is_not_kept() -> None:
    ring = Ring(10, 10)
    ring.add(b"x" * 11)
    assert ring.after(0) == (1, [])
    ring.add(b"y")
    assert ring.after(0) == (1, [(2, b"y")])
