"""Coordinates: every way to write down which ones are meant comes back, and lies about them are refused."""

import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.codec.coordinates import All, Bitmap, Coordinates, Gaps, Seeded, Strided, count, written
from gossipfl.errors import RemoteError
from gossipfl.kernels import gather

SIZE = 1000


@st.composite
def choices(draw: st.DrawFn) -> tuple[int, list[int]]:
    size = draw(st.integers(1, 3000))
    some = draw(st.lists(st.integers(0, size - 1), unique=True, max_size=200))
    return size, sorted(some)


@given(choices())
def test_what_is_written_down_is_what_is_read(choice: tuple[int, list[int]]) -> None:
    size, indices = choice
    where = written(np.array(indices, np.intp), size)
    assert list(np.arange(size)[where.index(size)]) == indices


@pytest.mark.parametrize(("share", "kind"), [(0.002, Gaps), (0.01, Gaps), (0.2, Bitmap), (0.5, Bitmap)])
def test_the_shorter_way_is_taken(share: float, kind: type) -> None:
    rng = np.random.default_rng(0)
    size = 50_000
    where = written(np.flatnonzero(rng.random(size) < share), size)
    assert isinstance(where, kind)
    raw = where.bits if isinstance(where, Bitmap) else where.varints
    entropy = -size * (share * np.log2(share) + (1 - share) * np.log2(1 - share)) / 8
    print(f"share {share}: {len(raw)} bytes, entropy {entropy:.0f}")
    assert len(raw) <= 1.3 * entropy


def test_runs_cost_nearly_nothing() -> None:
    where = written(np.arange(10_000, 20_000), 50_000)
    assert isinstance(where, Bitmap)
    assert len(where.bits) < 100


def leb(*numbers: int) -> bytes:
    out = bytearray()
    for number in numbers:
        rest = number
        while rest >= 0x80:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
    return bytes(out)


GOOD: dict[str, tuple[Coordinates, list[int]]] = {
    "all": (All(), list(range(SIZE))),
    "every third": (Strided(1, SIZE, 3), list(range(1, SIZE, 3))),
    "a range": (Strided(10, 20, 1), list(range(10, 20))),
    "a range that goes on after the end": (Strided(990, 2**40, 1), list(range(990, SIZE))),
    "nothing": (Strided(2**40, 2**40, 2**40), []),
    "gaps": (Gaps(leb(0, 0, 127, 128, 700)), [0, 1, 129, 258, 959]),
    "no gaps": (Gaps(b""), []),
    "the last one": (Gaps(leb(SIZE - 1)), [SIZE - 1]),
    "a bitmap": (Bitmap(packed=False, bits=b"\xa0" + bytes(124)), [0, 2]),
}


@pytest.mark.parametrize("name", GOOD)
def test_meaning(name: str) -> None:
    where, indices = GOOD[name]
    index = where.index(SIZE)
    assert list(np.arange(SIZE)[index]) == indices
    assert count(index) == len(indices)


BAD: dict[str, Coordinates] = {
    "a bitmap that is too short": Bitmap(packed=False, bits=bytes(124)),
    "a bitmap that is too long": Bitmap(packed=False, bits=bytes(126)),
    "a bitmap that is not zstd": Bitmap(packed=True, bits=bytes(125)),
    "a bitmap of zstd that ends early": Bitmap(packed=True, bits=b"\x28\xb5\x2f\xfd"),
    "a gap over the end": Gaps(leb(SIZE)),
    "gaps that add up over the end": Gaps(leb(*[1] * (SIZE // 2 + 1))),
    "more gaps than coordinates": Gaps(bytes(SIZE + 1)),
    "gaps that end in a number": Gaps(b"\x80"),
    "a number of many bytes": Gaps(b"\x80" * 9 + b"\x00"),
    "a number near the end of int64": Gaps(b"\xff" * 8 + b"\x7f"),
}


@pytest.mark.parametrize("name", BAD)
def test_lies_are_refused(name: str) -> None:
    with pytest.raises(RemoteError):
        BAD[name].index(SIZE)


def test_a_bitmap_must_not_go_on_after_the_last_coordinate() -> None:
    assert list(np.arange(9)[Bitmap(packed=False, bits=b"\xff\x80").index(9)]) == list(range(9))
    with pytest.raises(RemoteError, match="after the last"):
        Bitmap(packed=False, bits=b"\xff\xc0").index(9)


@given(st.one_of(
    st.builds(Gaps, st.binary(max_size=300)),
    st.builds(Bitmap, st.booleans(), st.binary(max_size=300)),
    st.builds(Strided, st.integers(0, 2**40), st.integers(0, 2**40), st.integers(1, 2**40)),
    st.builds(Seeded, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
), st.integers(1, 2000))  # fmt: skip
def test_any_bytes_are_ascending_coordinates_or_refused(where: Coordinates, size: int) -> None:
    try:
        index = where.index(size)
    except RemoteError:
        return
    indices = np.arange(size)[index]
    assert (np.diff(indices) > 0).all()
    assert count(index) == indices.size


def test_a_few_bytes_never_take_much_memory() -> None:
    tracemalloc.start()
    try:
        for where in (Gaps(bytes(400_000)), Strided(0, 2**40, 1), Bitmap(packed=True, bits=bytes(400_000))):
            with suppress(RemoteError):
                where.index(10_000)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.999])
def test_a_seed_names_about_as_many_as_it_says_and_others_with_the_next_one(share: float) -> None:
    size = 200_000
    one, other = (Seeded(seed, round(share * 2**32)).index(size) for seed in (1, 2))
    deviation = 5 * (size * share * (1 - share)) ** 0.5 + 1
    assert abs(count(one) - size * share) <= deviation
    numbers = np.arange(size)
    both = np.intersect1d(numbers[one], numbers[other]).size
    assert abs(both - size * share**2) <= deviation


def test_what_a_seed_names_is_for_ever() -> None:
    """Both ends must expand it alike, whatever their versions."""
    assert list(np.arange(200)[Seeded(7, 1 << 28).index(200)]) == PINNED


PINNED = [50, 59, 85, 95, 120, 163, 194]


@pytest.mark.parametrize("where", [All(), Strided(3, 900, 1), Strided(3, 900, 4), Gaps(leb(1, 2, 3))])
def test_gathered_coordinates_are_contiguous_and_a_view_where_that_is_possible(where: Coordinates) -> None:
    vector = np.arange(SIZE, dtype=np.float32)
    part = gather(vector, where.index(SIZE))
    assert part.flags.c_contiguous
    assert list(part) == list(vector[where.index(SIZE)])
    assert np.shares_memory(part, vector) == (where in (All(), Strided(3, 900, 1)))
