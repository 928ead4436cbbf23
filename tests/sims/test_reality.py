"""Replay of reality: what a peer did is done again, and where it is not, the first such event is found."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from gossipfl.errors import LocalError
from gossipfl.mixing.metropolis import alpha
from gossipfl.protocol import events as ev
from gossipfl.protocol.peer import Peer
from gossipfl.protocol.recording.records import Followed, Happened, Origin, Record, State, effect_of, encode
from gossipfl.protocol.recording.stream import MAGIC, pack
from gossipfl.protocol.settings import Settings
from gossipfl_sims.engine.network import Link
from gossipfl_sims.reality import CHUNK, Replayed, replay
from gossipfl_topology.live import Fixed, KOut, Ring, named
from tests.gossipfl.builders import flat, noise
from tests.sims.worlds import World, blobs, boot

SETTINGS = Settings(interval=0.5, momentum="none")
LOSSY = Link(loss=0.1, duplication=0.1, corruption=0.05)


class Recorded(Peer):
    """A peer that keeps records of what it goes through; its state every `every` events."""

    def __init__(self, origin: Origin, every: int = 10) -> None:
        super().__init__(
            origin.me, origin.schema, origin.initial, origin.settings, random.Random(origin.seed),
            incarnation=origin.incarnation, addresses=origin.addresses, bootstrap=dict(origin.bootstrap),
            topology=origin.topology,
        )  # fmt: skip
        self.records: list[Record] = [origin]
        self.every = every

    def handle(self, event: ev.Event, now: float) -> list[ev.Effect]:
        self.records.append(Happened(now, event))
        effects = super().handle(event, now)
        self.records.append(Followed.of(effects))
        if len(self.events()) % self.every == 0:
            self.records.append(State.of(self))
        return effects

    def events(self) -> list[Happened]:
        return [record for record in self.records if isinstance(record, Happened)]


def write(path: Path, records: Iterable[Record]) -> Path:
    path.write_bytes(MAGIC + b"".join(pack(encode(record)) for record in records))
    return path


def lived(seed: int = 0, every: int = 10) -> Recorded:
    """The second of five nodes, after fifteen seconds with faults, one crash, and two changes of topology."""
    world = World(blobs(5), SETTINGS, link=LOSSY, seed=seed)
    boot(world)
    second = world.machines["n001"]
    initial, schema = second.task.initial(), second.task.schema
    bootstrap = {"n000": ("n000",)}
    origin = Origin(second.name, schema, initial, SETTINGS, 99 + seed, 1, (second.name,), bootstrap, KOut())
    second.peer = recorded = Recorded(origin, every)
    world.run(6.0)
    neighbour = max(second.links)
    world.crash(neighbour)
    world.run(9.0)
    recorded.handle(ev.Rewired(named("ring")), world.now)
    world.start(neighbour)
    world.run(12.0)
    recorded.handle(ev.Rewired(Fixed("drawn.graphml", {"n001": ("n000", "n004"), "n000": ("n001",)})), world.now)
    world.run(15.0)
    recorded.handle(ev.Stopping(), world.now)
    if not isinstance(recorded.records[-1], State):
        recorded.records.append(State.of(recorded))
    return recorded


@pytest.fixture(scope="module")
def life() -> Recorded:
    return lived()


@pytest.fixture
def recording(life: Recorded, tmp_path: Path) -> Path:
    return write(tmp_path / "recording", life.records)


def first_with(life: Recorded, effect: str) -> int:
    """The number of the first event from which such an effect followed."""
    number = 0
    for record in life.records:
        number += isinstance(record, Happened)
        if isinstance(record, Followed) and effect in map(effect_of, record.outlines):
            return number
    raise AssertionError(effect)


def test_the_life_that_is_replayed_here_has_seen_much(life: Recorded) -> None:
    kinds = {type(record.event) for record in life.events()}
    assert kinds >= set(ev.Event.__args__) - {ev.TrainingFailed, ev.DialFailed, ev.Found, ev.Readdressed, ev.Revoke}
    followed = {effect_of(one) for record in life.records if isinstance(record, Followed) for one in record.outlines}
    assert followed >= {"Send", "SetTimer", "Train", "Joined", "Published", "Merged", "Refused", "Dial"}


@pytest.mark.parametrize("seed", range(3))
def test_a_life_is_relived_to_the_same_state(seed: int, tmp_path: Path) -> None:
    life = lived(seed)
    found = replay(write(tmp_path / "recording", life.records))
    assert found.same
    assert found.difference is None
    assert found.events == found.compared_at == len(life.events()) > 100
    assert found.recorded_state == found.replayed_state == State.of(life).hash
    assert found.node == "n001"
    assert found.seconds == life.events()[-1].now - life.events()[0].now > 14
    assert (found.cut, found.unfinished) == (0, "")


# --- a changed protocol


def test_another_mixing_weight_is_found_at_the_first_merge(
    life: Recorded, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gossipfl.protocol.parts.merging.alpha", lambda theirs, ours: alpha(theirs, ours) * (1 - 1e-12))
    found = replay(recording)
    assert found.difference is not None
    assert found.difference.event == first_with(life, "Merged") > 5
    assert found.difference.happened.startswith("Received from n0")
    assert "Merged, differs; replayed: Merged(peer n0" in found.difference.what
    assert not found.same
    assert found.events == found.difference.event


def test_a_random_draw_more_is_found_at_the_next_timer(
    life: Recorded, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Peer._publish

    def and_draw(peer: Peer, now: float) -> None:
        publish(peer, now)
        peer.rng.random()

    monkeypatch.setattr(Peer, "_publish", and_draw)
    found = replay(recording)
    assert found.difference is not None
    before = [record.event for record in life.events()[: found.difference.event]]
    assert any(isinstance(event, ev.Trained) for event in before)
    assert isinstance(before[-1], ev.TimerFired)
    assert "SetTimer, differs; replayed: SetTimer(timer " in found.difference.what


def test_a_change_that_no_effect_shows_is_found_in_the_next_state(
    life: Recorded, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gossipfl.model.served.GAMMA", 4.0)
    found = replay(recording)
    assert found.difference is not None
    assert found.difference.what == "the effects are the same, the state is not: served"
    assert found.difference.event % life.every == 0
    assert found.recorded_state != found.replayed_state
    assert found.compared_at == found.difference.event


def test_a_peer_that_breaks_now_is_found(life: Recorded, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossipfl.protocol.parts.merging.alpha", lambda theirs, ours: theirs / 0 * ours)
    found = replay(recording)
    assert found.difference is not None
    assert found.difference.event == first_with(life, "Merged")
    assert "raises ZeroDivisionError" in found.difference.what
    assert found.difference.what.endswith("when recorded, Merged followed")


def test_a_peer_that_broke_then_and_breaks_again_is_the_same(life: Recorded, tmp_path: Path) -> None:
    records = [*life.records[:21], Happened(life.events()[-1].now, ev.TimerFired("never handed out"))]
    assert isinstance(records[-2], Followed | State)
    found = replay(write(tmp_path / "recording", records))
    assert found.same
    assert "TimerFired never handed out: handling it raises LocalError" in found.unfinished
    assert any("ends     within" in line for line in found.lines())


# --- what was cut, and what is none


def test_a_torn_recording_is_replayed_as_far_as_it_is_whole(recording: Path, tmp_path: Path) -> None:
    content = recording.read_bytes()
    whole = replay(recording)
    seen = []
    for length in range(len(content) - 100, len(content), 7):
        (tmp_path / "torn").write_bytes(content[:length])
        found = replay(tmp_path / "torn")
        assert found.same
        seen.append((found.events, found.cut, bool(found.unfinished)))
    assert {events for events, _, _ in seen} <= {whole.events, whole.events - 1}
    assert any(cut for _, cut, _ in seen)
    assert any(unfinished for _, _, unfinished in seen)


def test_what_was_cut_is_told(recording: Path) -> None:
    with open(recording, "ab") as file:
        file.write(pack(encode(Followed(())))[:-1])
    found = replay(recording)
    assert found.same
    assert found.cut == 16
    assert "cut      the last 16 bytes are an unfinished record; the node did not stop by itself" in found.lines()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "ends before it says what was recorded"),
        (MAGIC, "ends before it says what was recorded"),
        (MAGIC[:5], "ends before it says what was recorded"),
        (b"PK\3\4 a zip file", "byte 0: this is not a recording"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(LocalError, match=f"other: .*{says}"):
        replay(tmp_path / "other")


def test_damage_is_told_with_its_place(recording: Path) -> None:
    content = bytearray(recording.read_bytes())
    content[len(content) // 2] ^= 1
    recording.write_bytes(content)
    with pytest.raises(LocalError, match=r"recording: byte \d+: .*damaged"):
        replay(recording)


def test_what_can_t_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="gone: can't be read: No such file"):
        replay(tmp_path / "gone")
    with pytest.raises(LocalError, match="can't be read: Is a directory"):
        replay(tmp_path)


def test_an_initial_vector_that_is_no_model_is_refused_by_name(tmp_path: Path) -> None:
    origin = Origin("me", flat(2), np.full(2, np.nan, np.float32), SETTINGS, 1, 1, (), {}, Ring())
    with pytest.raises(LocalError, match=r"bad: .*not within"):
        replay(write(tmp_path / "bad", [origin]))


# --- how it is told


def test_lines_are_for_people_and_the_dict_for_json(
    recording: Path, life: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = replay(recording)
    assert same.lines()[0] == "node     n001, life 1"
    assert same.lines()[-1] == "result   the same: every effect of every event, and the state"
    assert f"state    {State.of(life).hash} recorded after event {same.events:,}" in same.lines()
    monkeypatch.setattr("gossipfl.protocol.parts.merging.alpha", lambda theirs, ours: 0.125 * (theirs < ours + 1e9))
    found = replay(recording)
    assert any(line.startswith(f"differs  at event {first_with(life, 'Merged'):,}, Received") for line in found.lines())
    assert "note     recorded with numpy unknown, replayed with" in "\n".join(found.lines())
    for result in (same, found):
        told = json.loads(json.dumps(result.as_dict(), allow_nan=False))
        assert set(told) == {"same", *Replayed.__struct_fields__}
        assert told["same"] == (told["difference"] is None) == result.same


def test_a_recording_can_t_command_the_terminal(tmp_path: Path) -> None:
    origin = Origin("\x1b[2Jme", flat(2), noise(2), SETTINGS, 1, 1, (), {}, Ring())
    found = replay(write(tmp_path / "recording", [origin, Happened(1.0, ev.Connected("\x1b]0;\x07"))]))
    assert found.unfinished
    assert all(line.isprintable() for line in found.lines())
    assert found.lines()[-1] == "result   the same: every effect of every event", "there is no state to compare"


@pytest.mark.parametrize(("begun", "told"), [(3.0, ""), (1.7e9, " from 2023-11-14 22:13:20 UTC"), (1e11, "")])
def test_a_time_of_day_is_told_where_there_is_one(tmp_path: Path, begun: float, told: str) -> None:
    origin = Origin("me", flat(2), noise(2), SETTINGS, 1, 1, (), {}, Ring())
    found = replay(write(tmp_path / "recording", [origin, Happened(begun, ev.Started())]))
    assert found.lines()[1] == f"replayed 1 events, 0.0 s{told}"


def a_long_one(path: Path, megabytes: int) -> Path:
    """Of training results that came too late."""
    origin = Origin("me", flat(2500), noise(2500), SETTINGS, 1, 1, (), {}, Ring())
    late = pack(encode(Happened(2.0, ev.Trained(99, noise(2500), 20)))) + pack(encode(Followed(())))
    with open(path, "wb") as file:
        file.write(MAGIC + pack(encode(origin)))
        while file.tell() < megabytes << 20:
            file.write(late)
    return path


def test_a_long_recording_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    def peak(path: Path) -> int:
        tracemalloc.start()
        try:
            assert replay(path).same
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    short, long = peak(a_long_one(tmp_path / "short", 1)), peak(a_long_one(tmp_path / "long", 16))
    assert short < 8 * CHUNK
    assert long < short + CHUNK


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    path = a_long_one(tmp_path / "recording", 2)
    told: list[tuple[int, int]] = []
    note: Callable[[int, int], None] = lambda read, total: told.append((read, total))  # noqa: E731
    replay(path, note)
    size = path.stat().st_size
    assert told == [(min(size, CHUNK * i), size) for i in range(1, len(told) + 1)]
    assert told[-1] == (size, size)


def test_a_replay_leaves_nothing_behind_that_changes_the_next(recording: Path) -> None:
    content = recording.read_bytes()
    assert replay(recording) == replay(recording)
    assert recording.read_bytes() == content
