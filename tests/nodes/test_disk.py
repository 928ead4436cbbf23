"""Daemons and their disks: who is killed goes on from its model, and a disk that is full or read-only stops nobody."""

from __future__ import annotations

import contextlib
import os
import random
import struct
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gossipfl.protocol.events import Received
from gossipfl.protocol.recording.records import Happened
from gossipfl.protocol.recording.stream import Reader
from gossipfl.protocol.settings import Settings
from gossipfl.tasks.digits import digits
from gossipfl.tasks.task import Node
from gossipfl.wire import messages as msg
from gossipfl_nodes.commands import client
from gossipfl_nodes.disk.store import MAGIC, SLOTS, Store
from tests.nodes.support import Daemon, gossipfl, wait_for

KEYS = {"gossip__interval": "0.2", "disk__every": "0.5"}
GOING_ON = "going on from what was saved"


# --- coming back


def test_a_daemon_that_is_killed_goes_on_from_its_model_and_asks_nobody_for_one(
    make_daemon: Callable[..., Daemon], capfd: pytest.CaptureFixture[str]
) -> None:
    # Intervals long enough for a start on a busy machine to take fewer than the eight that are too many.
    keys = {"gossip__interval": "2", "gossip__steps": "100", "disk__every": "1", "task__count": "3"}
    daemons: list[Daemon] = []
    for index in range(3):
        bootstrap = daemons[0].address() if daemons else ""
        daemon = make_daemon(**keys, task__index=str(index), network__bootstrap=bootstrap)
        daemon.start(*(["--record", str(daemon.home.path / "recording")] if index < 2 else []))
        daemons.append(daemon)
    victim = daemons[2]
    for daemon in daemons:
        daemon.wait_until(lambda status: status["metrics"].get("accuracy", 0) > 0.8, "an accuracy over .8")
    before, served = just_saved(victim)
    victim.kill()
    saved = Store(victim.home.state, Settings().mesh, "digits", digits(Node()).schema).load()
    assert saved is not None
    assert sha256(saved.model.served.data).hexdigest() == served

    begun = time.monotonic()
    victim.start()
    trained = victim.wait_until(lambda status: status["steps"] > 0, "it trains again")
    seconds = time.monotonic() - begun
    after = victim.wait_until(lambda status: "accuracy" in status["metrics"], "it knows how good it is")
    accuracies = before["metrics"]["accuracy"], after["metrics"]["accuracy"]
    with capfd.disabled():
        print(
            f"\ntrains {seconds:.1f} s after its start; accuracy {accuracies[0]:.3f} before, {accuracies[1]:.3f} after"
        )
    assert seconds <= 10
    # That it goes on from this model is said exactly, by hash and age. A hundred steps alone on a third of the classes,
    # which it has made by now, move its accuracy by up to .05; whoever begins anew has .3 after them.
    assert accuracies[1] >= accuracies[0] - 0.1
    assert trained["age"] > before["age"] / 2
    assert after["incarnation"] > before["incarnation"]
    victim.wait_until(lambda status: status["merges"] > 0 and status["peers"] == 2, "it merges again")
    assert victim.status()["rebases"] == 0
    (line,) = victim.events(GOING_ON)
    assert (line["peers"], line["age"]) == (2, saved.model.age)
    for daemon in daemons[:2]:
        daemon.wait_until(lambda status: status["merges"] > 0, "the others go on")
        assert daemon.stop() == 0
        said = [message for peer, message in heard(daemon.home.path / "recording") if peer == victim.id]
        assert sum(isinstance(message, msg.Update) for message in said) > 2
        assert sum(isinstance(message, msg.Hello) for message in said) > 1, "of both lives"
        hellos = [message for message in said if isinstance(message, msg.Hello)]
        back = said.index(next(hello for hello in hellos if hello.incarnation == after["incarnation"]))
        assert not [message for message in said[back:] if isinstance(message, msg.NeedSnapshot)]


def just_saved(daemon: Daemon) -> tuple[dict[str, Any], str]:
    """The status of a daemon that has just saved, and the hash of the model that it served and saved."""
    last = daemon.wait_until(lambda status: status["saved_at"], "it has saved")["saved_at"]
    while True:
        saved = daemon.wait_until(lambda status: status["saved_at"] > last, "it saves again")  # noqa: B023
        served = client.get(daemon.home, "/v1/model")["sha256"]
        before = daemon.status()
        last = before["saved_at"]
        if last == saved["saved_at"]:
            return before, served


def test_two_that_were_switched_off_find_each_other_without_being_told_where(
    make_daemon: Callable[..., Daemon],
) -> None:
    """The first one to leave said goodbye, and the other one moves meanwhile: all there is, is what that one saved."""
    first = make_daemon(**KEYS)
    first.start()
    second = make_daemon(**KEYS, network__bootstrap=first.address())
    second.start()
    where = first.address().partition("/p2p/")[0]
    for daemon in (first, second):
        daemon.wait_until(lambda status: status["merges"] > 0, "they learn from each other")
    assert first.stop() == 0
    second.wait_until(lambda status: status["peers"] == 0, "it is alone")
    assert second.stop() == 0

    first.start("--network.listen", where)
    second.start("--network.bootstrap", "")
    for daemon in (first, second):
        daemon.wait_until(lambda status: status["peers"] == 1 and status["merges"] > 0, "they do so again")
        assert len(daemon.events(GOING_ON)) == 1


def heard(recording: Path) -> Iterator[tuple[str, msg.Message]]:
    """What a recorded node received, and from whom."""
    reader = Reader()
    reader.feed(recording.read_bytes())
    while (record := reader.next()) is not None:
        if isinstance(record, Happened) and isinstance(record.event, Received):
            yield record.event.peer, msg.decode(record.event.body)


def test_a_daemon_that_is_alone_goes_on_alone_whether_it_was_stopped_or_killed(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon(**KEYS)
    age = 0.0
    for graceful in (True, False, True):
        daemon.start()
        daemon.wait_until(lambda status: status["saved_at"] and status["age"] > age + 100, "it learns on, and saves")  # noqa: B023
        if graceful:
            age = daemon.status()["age"]
            assert daemon.stop() == 0
        else:
            daemon.kill()
        assert {path.name for path in daemon.home.state.iterdir()} - {"new"} == {"a", "b", "incarnation"}
    resumed = [line["age"] for line in daemon.events(GOING_ON)]
    assert len(resumed) == 2
    assert 100 < resumed[0] <= resumed[1] < age


@pytest.mark.soak
def test_a_daemon_that_is_killed_again_and_again_has_its_last_save_each_time(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon, rng, least = make_daemon(**KEYS), random.Random(0), [0.0]
    for _ in range(20):
        daemon.start()
        least.append(daemon.wait_until(lambda status: status["saved_at"], "it saves")["age"])
        for _ in range(2):  # a save may have begun before that age was told
            last = daemon.status()["saved_at"]
            daemon.wait_until(lambda status: status["saved_at"] > last, "it saves again")  # noqa: B023
        time.sleep(rng.uniform(0, 0.6))
        daemon.kill()
    daemon.start()
    daemon.wait_until(lambda status: status["steps"] > 0, "it goes on")
    found = [line["age"] for line in daemon.events(GOING_ON)]
    assert len(found) == 20
    assert all(age >= before for age, before in zip(found, least[1:], strict=True))


def test_another_task_begins_anew_and_the_first_one_goes_on_afterwards(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(**KEYS, network__open="true")

    def live(*flags: str) -> None:
        daemon.start(*flags)
        daemon.wait_until(lambda status: status["age"] > 100 and status["saved_at"], "it learns, and saves")
        assert daemon.stop() == 0

    live()
    live("--gossip.mesh", "another")
    (aside, _) = daemon.events("saved state of something else is set aside")
    assert "'gossipfl'" in aside["reason"]
    assert Path(aside["kept"]).exists()
    assert not daemon.events(GOING_ON)
    live()
    assert len(daemon.events(GOING_ON)) == 1


def test_a_daemon_refuses_what_a_newer_version_saved(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(**KEYS)
    head = struct.pack(f"<{len(MAGIC)}sHI", MAGIC, 2, 5)
    newer = daemon.home.state / "a"
    newer.write_bytes(head + struct.pack("<I", zlib.crc32(head + b"hello")) + b"hello and more")
    refused = gossipfl("run", "--home", daemon.home.path)
    assert refused.returncode == 65
    assert str(newer) in refused.stderr
    assert "upgrade gossipfl" in refused.stderr
    assert newer.exists()
    newer.unlink()
    daemon.start()
    daemon.wait_until(lambda status: status["steps"] > 0, "it learns")


# --- disks that fail


@pytest.fixture
def tiny_disk(make_daemon: Callable[..., Daemon]) -> Iterator[tuple[Daemon, Path]]:
    """A daemon whose state lies on a disk of its own of a quarter megabyte: room for eight saves of the digits."""
    daemon = make_daemon(**KEYS)
    where = daemon.home.state
    if os.geteuid() != 0:
        pytest.skip("a disk of its own can be mounted by root only")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(where)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield daemon, where
    finally:
        daemon.kill()
        subprocess.run(["umount", "-l", str(where)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler


def test_on_a_full_disk_learning_goes_on_and_saving_again_once_there_is_room(tiny_disk: tuple[Daemon, Path]) -> None:
    daemon, where = tiny_disk
    daemon.start()
    daemon.wait_until(lambda status: status["saved_at"] and not status["save_error"], "it saves")
    filler = fill(where)
    full = daemon.wait_until(lambda status: status["save_error"], "it says that it can't")
    assert full["save_error"] in [f"{where / slot}: can't be written: No space left on device" for slot in SLOTS]
    told = gossipfl("status", "--home", daemon.home.path)
    assert told.returncode == 0
    assert full["save_error"] in told.stderr
    later = daemon.wait_until(lambda status: status["steps"] > full["steps"] + 100, "it learns on")
    assert later["save_error"] == full["save_error"]
    assert later["saved_at"] == full["saved_at"]
    assert not (where / "new").exists(), "what could not be written takes no room"
    warnings = daemon.events("can't be saved; a crash would cost more than usual")
    assert [line["reason"] for line in warnings] == [full["save_error"]]

    filler.unlink()
    again = daemon.wait_until(lambda status: not status["save_error"], "it saves again")
    assert again["saved_at"] > full["saved_at"]
    assert daemon.events("saved again")

    filler = fill(where)
    daemon.wait_until(lambda status: status["save_error"], "it can't any more, and is killed then")
    daemon.kill()
    filler.unlink()
    daemon.start()
    daemon.wait_until(lambda status: status["steps"] > 0, "it goes on")
    assert len(daemon.events(GOING_ON)) == 1


def test_on_a_disk_that_has_become_read_only_learning_goes_on(tiny_disk: tuple[Daemon, Path]) -> None:
    daemon, where = tiny_disk

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(where)], check=True)

    daemon.start()
    daemon.wait_until(lambda status: status["saved_at"], "it saves")
    wait_for(
        lambda: subprocess.run(["mount", "-o", "remount,ro", str(where)], check=False).returncode == 0, "read-only"
    )
    stuck = daemon.wait_until(lambda status: status["save_error"], "it says that it can't")
    assert stuck["save_error"] in [f"{where / slot}: can't be written: Read-only file system" for slot in SLOTS]
    daemon.wait_until(lambda status: status["steps"] > stuck["steps"] + 100, "it learns on")
    remount("rw")
    daemon.wait_until(lambda status: not status["save_error"], "it saves again")
    assert daemon.stop() == 0
