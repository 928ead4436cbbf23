"""Traces: each event counts once, in the hash and in the file, and two files differ where their runs parted."""

from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import LocalError
from gossipfl.protocol import events as ev
from gossipfl.protocol.settings import Settings
from gossipfl.wire import frames
from gossipfl_sims.engine.network import Link
from gossipfl_sims.engine.trace import CHUNK, KINDS, Divergence, Trace, compare
from tests.sims.worlds import World, blobs, boot

ENTRY = 13 + frames.OVERHEAD
EVENTS: list[ev.Event] = [
    ev.Started(), ev.Connected("n001"), ev.Disconnected("n001"), ev.DialFailed("n001"), ev.Received("n001", bytes(99)),
    ev.Trained(3, np.zeros(2, np.float32), 20), ev.TrainingFailed(3, "no data"), ev.TimerFired("publish"),
    ev.Stopping(),
]  # fmt: skip


def test_every_event_has_a_number_of_its_own() -> None:
    assert set(KINDS) == set(ev.Event.__args__)
    assert len(set(KINDS.values())) == len(KINDS)


@pytest.mark.parametrize("count", [0, 1, CHUNK // ENTRY, CHUNK // ENTRY + 1, CHUNK // ENTRY + 2, 3 * CHUNK // ENTRY])
def test_the_hash_is_that_of_all_entries_wherever_chunks_end(count: int) -> None:
    trace = Trace()
    told = b""
    for number in range(count):
        body = number.to_bytes(frames.OVERHEAD + 5, "little")
        trace.note(number / 7, number % 5, "n", ev.Received("x", body))
        told += struct.pack("<dIB", number / 7, number % 5, KINDS[ev.Received]) + body[: frames.OVERHEAD]
    assert trace.events == count
    assert trace.digest == hashlib.blake2b(told, digest_size=16).hexdigest()


@given(st.sets(st.integers(0, 300)))
def test_looking_at_the_hash_does_not_change_it(looks: set[int]) -> None:
    seen, unseen = Trace(), Trace()
    for number in range(300):
        event = EVENTS[number % len(EVENTS)]
        seen.note(number, 1, "n", event)
        unseen.note(number, 1, "n", event)
        if number in looks:
            assert seen.digest == seen.digest
    assert seen.digest == unseen.digest


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("change", ["time", "machine", "kind"])
def test_time_machine_and_kind_are_hashed(event: ev.Event, change: str) -> None:
    one, other = Trace(), Trace()
    one.note(1.0, 2, "n", event)
    kind = ev.Rewired(None) if change == "kind" else event  # type: ignore[arg-type]
    other.note(1.0 + 2**-50 * (change == "time"), 2 + (change == "machine"), "n", kind)
    assert one.digest != other.digest


def test_the_header_of_a_frame_is_hashed_and_short_garbage_does_not_break_it() -> None:
    made = set()
    for body in (b"", b"\x01", b"\x02", bytes(frames.OVERHEAD - 1) + b"\x03", bytes(frames.OVERHEAD - 1) + b"\x04"):
        trace = Trace()
        trace.note(0.0, 0, "n", ev.Received("x", body))
        made.add(trace.digest)
    assert len(made) == 5


def test_each_event_is_a_line_and_each_line_says_which() -> None:
    file = io.StringIO()
    trace = Trace(file)
    for number, event in enumerate(EVENTS):
        trace.note(number + 0.1, 7, "n007", event)
    lines = file.getvalue().splitlines()
    assert len(lines) == trace.events == len(EVENTS)
    for number, (line, event) in enumerate(zip(lines, EVENTS, strict=True)):
        time, name, told, *_ = line.split(" ")
        assert (float(time), name) == (number + 0.1, "n007")
        assert type(event).__name__ == told


def traced(seed: int, path: Path, until: float = 5.0) -> tuple[str, int]:
    with path.open("w", encoding="utf-8") as file:
        world = World(blobs(4), Settings(interval=0.5), link=Link(loss=0.1, corruption=0.1), seed=seed, trace=file)
        boot(world)
        world.run(until)
    return world.trace_hash, world.trace.events


def test_a_run_that_writes_its_trace_has_the_hash_of_one_that_does_not(tmp_path: Path) -> None:
    world = World(blobs(4), Settings(interval=0.5), link=Link(loss=0.1, corruption=0.1), seed=3)
    boot(world)
    world.run(5.0)
    digest, events = traced(3, tmp_path / "trace")
    assert (world.trace_hash, world.trace.events) == (digest, events)
    assert len((tmp_path / "trace").read_text().splitlines()) == events


def test_equal_runs_have_equal_files_and_others_part_somewhere(tmp_path: Path) -> None:
    same, again, other = tmp_path / "same", tmp_path / "again", tmp_path / "other"
    traced(3, same), traced(3, again), traced(4, other)
    assert compare(same, again) is None
    found = compare(same, other)
    assert found is not None
    one, two = same.read_text().splitlines(), other.read_text().splitlines()
    assert one[: found.line - 1] == two[: found.line - 1]
    assert (found.one, found.other) == (one[found.line - 1], two[found.line - 1])
    assert found.one != found.other


def test_a_shorter_run_is_the_beginning_of_a_longer_one(tmp_path: Path) -> None:
    short, long = tmp_path / "short", tmp_path / "long"
    _, events = traced(3, short, 4.0)
    traced(3, long, 5.0)
    found = compare(short, long)
    assert found is not None
    assert found.line == events + 1
    assert found.one == "(the trace ends here)"
    assert compare(long, short) == Divergence(found.line, found.other, found.one)


LINES = st.lists(st.sampled_from(["a", "b", "c"]), max_size=8)


@given(LINES, LINES)
def test_the_first_difference_is_found(one: list[str], other: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "one"), Path(folder, "other")
        for path, lines in zip(paths, (one, other), strict=True):
            path.write_text("".join(f"{line}\n" for line in lines))
        found = compare(*paths)
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    end = "(the trace ends here)"
    expected = Divergence(same + 1, [*one, end][same], [*other, end][same])
    assert found == (None if one == other else expected)


def test_files_that_cannot_be_read_are_told_about(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("1\n")
    for missing in (tmp_path / "missing", tmp_path):
        for pair in ((there, missing), (missing, there)):
            with pytest.raises(LocalError, match=str(missing)):
                compare(*pair)


def test_files_that_are_no_traces_differ_without_a_traceback(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"1\n\xff\xfe\n")
    other.write_bytes(b"1\n2\n")
    found = compare(one, other)
    assert found is not None
    assert found.line == 2
