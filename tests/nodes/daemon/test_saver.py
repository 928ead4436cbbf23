"""The saver: one save at a time, of one moment, while the peer goes on; and what is told of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from gossipfl.errors import LocalError
from gossipfl.protocol import events as ev
from gossipfl.protocol.peer import PUBLISH, Peer
from gossipfl_nodes.daemon import saver as saver_module
from gossipfl_nodes.daemon.saver import HOLD, LAST, Saver
from gossipfl_nodes.daemon.telemetry import SAVE_LOG_EVERY, Telemetry
from gossipfl_nodes.disk.store import Store
from gossipfl_nodes.observing.diary import Diary
from tests.gossipfl.builders import a_learning_peer, flat, full_of, noise, trained

SCHEMA = flat(8)


class SlowStore(Store):
    """Its disk waits until it may."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "mesh", "task", SCHEMA)
        self.begun = threading.Semaphore(0)
        self.may = threading.Semaphore(0)
        self.error: LocalError | None = None

    def write(self, chunks: Iterator[bytes | memoryview]) -> None:
        self.begun.release()
        assert self.may.acquire(timeout=30)
        if self.error is not None:
            raise self.error
        super().write(chunks)


def learn(peer: Peer, turn: int) -> None:
    trained(peer, noise(8, turn), now=10.0 + turn)
    peer.handle(ev.TimerFired(PUBLISH), 10.5 + turn)


async def until(semaphore: threading.Semaphore) -> None:
    """Wait in the event loop, which therefore must go on."""
    with trio.fail_after(30):
        while not semaphore.acquire(blocking=False):
            await trio.sleep(0.001)


def test_one_moment_is_saved_however_the_peer_goes_on_meanwhile(home: Path) -> None:
    peer, store = a_learning_peer(), SlowStore(home)
    learn(peer, 0)
    was = peer.replica.x.tobytes(), peer.replica.served.x.tobytes(), peer.replica.age

    async def main() -> None:
        saver = Saver(peer, store, Telemetry(Diary()), every=0.1)
        async with trio.open_nursery() as nursery:
            await saver.begin_interval(nursery)
            await until(store.begun)
            for turn in range(1, 5):
                await trio.sleep(0.1)
                learn(peer, turn)
                await saver.begin_interval(nursery)  # due, but there is one under way
            store.may.release()
        assert not store.begun.acquire(blocking=False)

    trio.run(main)
    found = Store(home, "mesh", "task", SCHEMA).load()
    assert found is not None
    assert (found.model.x.tobytes(), found.model.served.tobytes(), found.model.age) == was
    assert peer.replica.age > found.model.age


def test_a_large_model_is_left_alone_until_it_is_written_so_that_nothing_is_copied(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saver_module, "BIG_MODEL", SCHEMA.size)
    peer = a_learning_peer()
    learn(peer, 0)

    async def main() -> None:
        saver = Saver(peer, Store(home, "mesh", "task", SCHEMA), Telemetry(Diary()), every=0.1)
        async with trio.open_nursery() as nursery:
            where = peer.replica.x, peer.replica.served.x
            await saver.begin_interval(nursery)
            learn(peer, 1)
            assert peer.replica.x is where[0]
            assert peer.replica.served.x is where[1]

    trio.run(main)
    assert (home / "a").exists()


def test_a_large_model_is_not_left_alone_for_ever(
    home: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(saver_module, "BIG_MODEL", SCHEMA.size)
    peer, store = a_learning_peer(), SlowStore(home)
    learn(peer, 0)
    was = peer.replica.x.tobytes()

    async def main() -> None:
        saver = Saver(peer, store, Telemetry(Diary()), every=0.1)
        async with trio.open_nursery() as nursery:
            await saver.begin_interval(nursery)
            assert trio.current_time() == pytest.approx(HOLD)
            learn(peer, 1)
            store.may.release()

    trio.run(main, clock=autojump_clock)
    found = Store(home, "mesh", "task", SCHEMA).load()
    assert found is not None
    assert found.model.x.tobytes() == was


def test_the_last_save_waits_for_the_one_before_and_has_the_last_word(home: Path) -> None:
    peer, store = a_learning_peer(), SlowStore(home)

    async def main() -> None:
        saver = Saver(peer, store, Telemetry(Diary()), every=0.1)
        async with trio.open_nursery() as nursery:
            await saver.begin_interval(nursery)
            await until(store.begun)
            learn(peer, 1)
            nursery.start_soon(saver.finish)
            await trio.sleep(0.05)
            assert not store.begun.acquire(blocking=False)
            store.may.release(2)

    trio.run(main)
    found = Store(home, "mesh", "task", SCHEMA).load()
    assert found is not None
    assert (found.model.x == peer.replica.x).all()
    assert found.notes.number == 2
    assert {path.name for path in home.iterdir()} == {"a", "b"}


@pytest.mark.parametrize(("seconds", "written"), [(LAST, True), (LAST + 0.1, False)])
def test_a_disk_that_is_too_slow_does_not_hold_up_the_end(home: Path, seconds: float, *, written: bool) -> None:
    peer, store = a_learning_peer(), SlowStore(home)
    store.may.release()

    async def main() -> None:
        saver = Saver(peer, store, Telemetry(Diary()), every=0.1)
        saver._schedule.saved(0.0, seconds)
        with capture_logs() as lines:
            await saver.finish()
        assert bool(lines) != written

    trio.run(main)
    assert (home / "a").exists() == written


def test_trouble_is_told_of_once_and_so_is_its_end(home: Path, autojump_clock: trio.testing.MockClock) -> None:
    del home

    async def main() -> list[tuple[str, str]]:
        telemetry = Telemetry(Diary())
        with capture_logs() as lines:
            telemetry.note_save("")
            first = telemetry.saved_at
            for _ in range(10):
                telemetry.note_save("No space left on device")
                await trio.sleep(SAVE_LOG_EVERY / 8)
            assert (telemetry.saved_at, telemetry.save_error) == (first, "No space left on device")
            telemetry.note_save("")
            telemetry.note_save("")
            assert telemetry.save_error == ""
            assert first is not None
            assert telemetry.saved_at is not None
            assert telemetry.saved_at >= first
        return [(line["log_level"], line.get("reason", "")) for line in lines]

    trouble = ("warning", "No space left on device")
    assert trio.run(main, clock=autojump_clock) == [trouble, trouble, ("info", "")]


@pytest.fixture
def autojump_clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0)


def test_a_failed_save_is_tried_again(home: Path) -> None:
    peer, store, telemetries = a_learning_peer(full_of(0.5)), SlowStore(home), list[Telemetry]()
    store.error = LocalError("No space left on device")
    store.may.release(2)

    async def main() -> None:
        telemetries.append(Telemetry(Diary()))
        saver = Saver(peer, store, telemetries[0], every=0.1)
        for error in ("No space left on device", ""):
            async with trio.open_nursery() as nursery:
                await saver.begin_interval(nursery)
            assert telemetries[0].save_error == error
            store.error = None
            await trio.sleep(0.5)

    trio.run(main)
    assert (home / "a").exists()
