"""`gossipfl run --record`: daemons of a real mesh write down what they go through, and a fresh peer relives it."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.protocol import events as ev
from gossipfl.protocol.recording.records import Followed, Happened, Origin, Record, State, effect_of, encode
from gossipfl.protocol.recording.stream import MAGIC, Reader, pack
from gossipfl.protocol.settings import Settings
from gossipfl_nodes.commands import client
from gossipfl_nodes.disk import recorder
from gossipfl_nodes.disk.recorder import Recorder, RecordingError
from gossipfl_sims.reality import Replayed, replay
from gossipfl_topology.live import Ring
from tests.gossipfl.builders import flat, noise
from tests.nodes.support import Daemon, gossipfl, wait_for

NODES = 4
KILLED, STOPPED, CRAMPED, REWIRED = range(NODES)
ROOM = 250_000
"""Bytes that the cramped node may still write to a file: enough for a few seconds."""


class Recorded(Daemon):
    """A daemon that records."""

    @property
    def recording(self) -> Path:
        return self.home.path / "recording"

    def cramp(self) -> None:
        """From now on, its files may grow by ROOM and no more, as if the disk were full then."""
        self.limit = self.recording.stat().st_size + ROOM
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (self.limit, self.limit))

    def start(self, *flags: str, **environment: str) -> None:
        super().start("--record", str(self.recording), *flags, **environment)


@pytest.fixture(scope="module")
def mesh() -> Iterator[list[Recorded]]:
    """Four daemons of digits that have lived: one is killed, one stopped, one without room, one changes topology."""
    keys = {"gossip__interval": "0.2", "gossip__mesh": "recorded", "task__count": str(NODES)}
    daemons: list[Recorded] = []
    with tempfile.TemporaryDirectory(prefix="gfl-", dir="/tmp") as folder:
        try:
            bootstrap = ""
            for index in range(NODES):
                home = Path(folder) / f"node-{index}"
                daemons.append(Recorded(home, **keys, task__index=str(index), network__bootstrap=bootstrap))
                daemons[-1].start()
                bootstrap = bootstrap or daemons[0].address()
            for daemon in daemons:
                daemon.wait_until(lambda status: status["merges"] > 5 and status["peers"] == NODES - 1, "the mesh")
            daemons[CRAMPED].cramp()
            client.put(daemons[REWIRED].home, "/v1/topology", {"topology": "ring"})
            wait_for(lambda: daemons[CRAMPED].events("recording ends here"), "there is no more room")
            merges = daemons[CRAMPED].status()["merges"]
            daemons[CRAMPED].wait_until(lambda status: status["merges"] > merges + 5, "it goes on without a recording")
            daemons[KILLED].kill()
            time.sleep(1)
            assert daemons[STOPPED].stop() == 0
            assert daemons[REWIRED].stop() == 0
            assert daemons[CRAMPED].stop() == 0
            yield daemons
        finally:
            for daemon in daemons:
                daemon.kill()


def records(path: Path) -> list[Record]:
    """All whole records of a recording."""
    reader, found = Reader(), list[Record]()
    reader.feed(path.read_bytes())
    while (record := reader.next()) is not None:
        found.append(record)
    return found


def write(path: Path, changed: list[Record]) -> Path:
    path.write_bytes(MAGIC + b"".join(pack(encode(record)) for record in changed))
    return path


@pytest.mark.parametrize("index", range(NODES), ids=["killed", "stopped", "cramped", "rewired"])
def test_a_fresh_peer_that_relives_a_recording_ends_in_the_same_state(mesh: list[Recorded], index: int) -> None:
    daemon = mesh[index]
    found: Replayed = replay(daemon.recording)
    assert found.difference is None, found.lines()
    assert found.node == daemon.id
    assert found.recorded_state == found.replayed_state != ""
    assert found.events >= found.compared_at > recorder.STATE_EVERY, "a state later than the first"
    assert found.made_with == found.made_here
    assert abs(found.begun + found.seconds - time.time()) < 60
    written = records(daemon.recording)
    happened = [record.event for record in written if isinstance(record, Happened)]
    assert len(happened) == found.events
    assert {type(event) for event in happened} >= {ev.Started, ev.Connected, ev.Received, ev.Trained, ev.TimerFired}
    assert sum(isinstance(record, Followed) for record in written) >= found.events - 1


def test_what_the_last_state_is_of_depends_on_how_it_ended(mesh: list[Recorded]) -> None:
    for index in (STOPPED, REWIRED):
        found = replay(mesh[index].recording)
        assert found.compared_at == found.events, "a node that stops says where it stands"
        assert found.cut == 0
        assert isinstance(records(mesh[index].recording)[-3], Happened)
        assert isinstance(records(mesh[index].recording)[-1], State)
    for index in (KILLED, CRAMPED):
        found = replay(mesh[index].recording)
        assert found.events - recorder.STATE_EVERY < found.compared_at <= found.events
    assert mesh[CRAMPED].recording.stat().st_size == mesh[CRAMPED].limit
    assert replay(mesh[CRAMPED].recording).cut > 0


def test_a_change_of_topology_is_in_the_recording(mesh: list[Recorded]) -> None:
    found = records(mesh[REWIRED].recording)
    rewired = [
        record.event for record in found if isinstance(record, Happened) and isinstance(record.event, ev.Rewired)
    ]
    assert [event.topology.name for event in rewired] == ["ring"]


def test_a_killed_node_loses_no_more_than_its_last_moment(mesh: list[Recorded]) -> None:
    found = replay(mesh[KILLED].recording)
    others = replay(mesh[STOPPED].recording)
    ended = {name: result.begun + result.seconds for name, result in (("killed", found), ("stopped", others))}
    assert -5 < ended["stopped"] - ended["killed"] < 5


def test_one_changed_byte_of_an_event_is_reported_at_that_event(mesh: list[Recorded], tmp_path: Path) -> None:
    written = records(mesh[STOPPED].recording)
    merged = [
        at
        for at, (one, then) in enumerate(pairwise(written))
        if isinstance(one, Happened) and isinstance(then, Followed) and "Merged" in map(effect_of, then.outlines)
    ]
    assert len(merged) > 10
    for at in (merged[0], merged[len(merged) // 2], merged[-1]):
        happened = written[at]
        assert isinstance(happened, Happened)
        assert isinstance(happened.event, ev.Received)
        body = bytearray(happened.event.body)
        body[len(body) // 2] ^= 1
        changed = Happened(happened.now, ev.Received(happened.event.peer, bytes(body)))
        found = replay(write(tmp_path / "changed", [*written[:at], changed, *written[at + 1 :]]))
        number = sum(isinstance(record, Happened) for record in written[: at + 1])
        assert found.difference is not None
        assert found.difference.event == number
        assert happened.event.peer in found.difference.happened
        assert found.difference.what == "recorded: Merged; replayed: Refused"


def test_a_changed_training_result_is_reported_at_its_event(mesh: list[Recorded], tmp_path: Path) -> None:
    written = records(mesh[STOPPED].recording)
    at = [i for i, one in enumerate(written) if isinstance(one, Happened) and isinstance(one.event, ev.Trained)][3]
    happened = written[at]
    assert isinstance(happened, Happened)
    assert isinstance(happened.event, ev.Trained)
    delta = happened.event.delta
    delta.view("u1")[4 * abs(delta).argmax() + 3] ^= 0x80  # the sign of the largest
    found = replay(write(tmp_path / "changed", written))
    assert found.difference is not None
    assert found.difference.event == sum(isinstance(record, Happened) for record in written[: at + 1])
    assert "Send" in found.difference.what


def test_another_seed_does_not_replay(mesh: list[Recorded], tmp_path: Path) -> None:
    origin, *rest = records(mesh[STOPPED].recording)
    assert isinstance(origin, Origin)
    found = replay(write(tmp_path / "changed", [msgspec.structs.replace(origin, seed=origin.seed ^ 1), *rest]))
    assert found.difference is not None
    assert found.difference.event < 50


def test_a_recording_is_for_its_user_only_and_says_so(mesh: list[Recorded]) -> None:
    for daemon in mesh:
        assert stat.S_IMODE(daemon.recording.stat().st_mode) == 0o600
        assert daemon.events("recording")
    told = " ".join(gossipfl("run", "--help").stdout.split())
    assert "--record FILE" in told
    assert "Private" in told


def test_digits_take_less_than_their_raw_bytes(mesh: list[Recorded]) -> None:
    written = records(mesh[STOPPED].recording)
    raw = sum(len(encode(record).body) for record in written)
    assert mesh[STOPPED].recording.stat().st_size < 0.95 * raw


# --- what goes wrong


def test_a_file_that_is_there_is_never_overwritten(home: Path, make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(task__count="4")
    file = home / "kept"
    file.write_text("dear")
    ended = gossipfl("run", "--home", daemon.home.path, "--record", file)
    assert ended.returncode == Exit.CANNOT_CREATE
    assert f"{file}: there is such a file" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert file.read_text() == "dear"


def an_origin() -> Origin:
    return Origin("me", flat(8), noise(8), Settings(), 1, 1, ("here",), {}, Ring())


def live(recording: Recorder, events: int) -> None:
    peer = an_origin().peer()
    for number in range(events):
        event = ev.Started() if number == 0 else ev.TimerFired("join")
        recording.before(event, float(number))
        recording.after(peer.handle(event, float(number)), peer)


def test_a_place_that_can_t_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no/recording: can't be made: No such file"):
        Recorder(tmp_path / "no" / "recording", an_origin())


def test_a_full_disk_at_the_start_leaves_no_file(tmp_path: Path) -> None:
    program = (
        "import resource, sys; from pathlib import Path; from tests.nodes.test_record import an_origin, Recorder;"
        " resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); Recorder(Path(sys.argv[1]), an_origin())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "recording"], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert "can't be written: File too large" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_recorder_that_falls_behind_ends_the_recording_and_not_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Recorder(tmp_path / "recording", an_origin()) as recording:
        live(recording, 10)
        monkeypatch.setattr(recorder, "MAX_BEHIND", -1)
        live(recording, 10)
    found = replay(tmp_path / "recording")
    assert found.same
    assert found.events == 10
    assert capsys.readouterr().out.count("recording ends here") == 1


def test_an_event_that_breaks_the_peer_is_in_the_recording(tmp_path: Path) -> None:
    peer = an_origin().peer()
    with Recorder(tmp_path / "recording", an_origin()) as recording:
        live(recording, 3)
        recording.before(ev.TimerFired("never"), 4.0)
        with pytest.raises(LocalError):
            peer.handle(ev.TimerFired("never"), 4.0)
    found = replay(tmp_path / "recording")
    assert found.same
    assert "event 4, TimerFired never: handling it raises LocalError" in found.unfinished
