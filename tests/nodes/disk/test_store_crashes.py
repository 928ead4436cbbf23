"""Every crash that a save can meet: below the store's own calls, a disk that keeps what POSIX must keep and no more.

What was not synced may be lost, kept, or torn at any byte; entries of a folder that was not synced are there or not,
each for itself. From what is left, the store must load the last save that had ended, or the one that was being written.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gossipfl.model.schema import Schema, Tensor
from gossipfl.output import files
from gossipfl_nodes.disk import store as module
from tests.nodes.disk.states import a_state, a_store, same, save

SAVES, MANY = 6, 28
"""The first give a thousand states of the disk, the others a thousand moments of a crash."""
SMALL = Schema([Tensor("body", (2,)), Tensor("head", (1,), personal=True)])
"""So that a file can be torn at each of its bytes."""
Disk = dict[str, bytes]
"""What is in the folder after a crash."""


class Inode:
    """The bytes of one file: as they are, and as they certainly are on the disk."""

    def __init__(self) -> None:
        self.content = b""
        self.synced = b""

    def after_crash(self) -> Iterator[bytes]:
        """All that may be left of it."""
        yield self.synced
        if self.content != self.synced:
            yield self.content
            for torn in range(len(self.content)):
                yield self.content[:torn]
                if torn % 8 == 0:  # the length was written, and these blocks were not
                    yield self.content[:torn] + bytes(len(self.content) - torn)


class Recorder:
    """Stands for `os` below the store: does what it is asked to, and knows what a crash at any time would leave.

    `moments` has, for each operation: how many saves had ended before, and the folder as it may be found afterwards.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[str, Inode] = {}
        """As the folder certainly is on the disk."""
        self._pending: list[Callable[[dict[str, Inode]], object]] = []
        """What was done to it since."""
        self._live: dict[str, Inode] = {}
        self._open: dict[int, Inode | None] = {}
        self.ended = 0
        self.moments: list[tuple[int, Disk]] = []
        self._seen: set[tuple[int, tuple[tuple[str, bytes], ...]]] = set()
        self.points = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = os.open(path, flags, mode)
        if path == self._folder:
            self._open[descriptor] = None
            return descriptor
        assert flags & os.O_TRUNC
        if (inode := self._live.get(path.name)) is None:
            inode = self._live[path.name] = Inode()
            self._pending.append(lambda names, made=inode, name=path.name: names.update({name: made}))  # type: ignore[misc]
        inode.content = b""
        self._open[descriptor] = inode
        self._look()
        return descriptor

    def write(self, descriptor: int, content: bytes) -> int:
        inode = self._open[descriptor]
        assert inode is not None
        # In two, so that a crash between them is one that is looked at.
        written = os.write(descriptor, bytes(content)[: max(1, len(content) // 2)])
        inode.content += bytes(content)[:written]
        self._look()
        return written

    def fsync(self, descriptor: int) -> None:
        inode = self._open[descriptor]
        self._look()
        if inode is not None:
            inode.synced = inode.content
        else:
            self._names, self._pending = dict(self._live), []
        self._look()

    def close(self, descriptor: int) -> None:
        os.close(descriptor)
        del self._open[descriptor]
        self._look()

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)
        moved = self._live[target.name] = self._live.pop(source.name)

        def rename(names: dict[str, Inode]) -> None:
            names.pop(source.name, None)
            names[target.name] = moved

        self._pending.append(rename)
        self._look()

    def unlink(self, path: Path) -> None:
        os.unlink(path)
        del self._live[path.name]
        self._pending.append(lambda names: names.pop(path.name, None))
        self._look()

    def _look(self) -> None:
        """Note all that a crash at this moment may leave."""
        self.points += 1
        for kept in itertools.product((False, True), repeat=len(self._pending)):
            names = dict(self._names)
            for change, happened in zip(self._pending, kept, strict=True):
                if happened:
                    change(names)
            for contents in itertools.product(*(list(inode.after_crash()) for inode in names.values())):
                disk = dict(zip(names, contents, strict=True))
                key = (self.ended, tuple(sorted(disk.items())))
                if key not in self._seen:
                    self._seen.add(key)
                    self.moments.append((self.ended, disk))


def saved(recorder: Recorder, folder: Path, patch: pytest.MonkeyPatch, saves: int) -> Recorder:
    """The same after so many saves, by lives of two each."""
    with patch.context() as patched:
        patched.setattr(files, "os", recorder)
        for number in range(1, saves + 1):
            if number % 2:
                store = a_store(folder, schema=SMALL)
                store.load()
            save(store, a_state(number, schema=SMALL, peers={}))
            recorder.ended = number
            recorder._look()
    return recorder


class After:
    """Judges disks, in a folder of the memory's, where syncing is free."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._judged = 0

    def lost(self, ended: int, disk: Disk) -> str:
        """What is wrong with what a crash has left, after so many saves; nothing if it is as it should be."""
        for old in self._folder.iterdir():
            old.unlink()
        for name, content in disk.items():
            (self._folder / name).write_bytes(content)
        store = a_store(self._folder, schema=SMALL)
        found = store.load()
        if found is None:
            return "nothing can be loaded" if ended else ""
        number = found.notes.number
        if number not in (ended, ended + 1) or not same(found, a_state(number, schema=SMALL, peers={})):
            return f"save {number} is loaded"
        self._judged += 1
        if self._judged % 10 == 0:
            save(store, a_state(99, schema=SMALL, peers={}))
            if not same(a_store(self._folder, schema=SMALL).load(), a_state(99, schema=SMALL, peers={})):
                return "the next save is not loaded"
        return ""


@pytest.fixture
def after() -> Iterator[After]:
    in_memory = Path("/dev/shm")
    where = in_memory if os.access(in_memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="gfl-", dir=where) as folder, capture_logs():
        yield After(Path(folder))


@pytest.mark.parametrize("saves", [SAVES, pytest.param(MANY, marks=pytest.mark.soak)])
def test_after_any_crash_the_last_save_is_there_or_the_one_under_way(
    home: Path, after: After, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], saves: int
) -> None:
    recorder = saved(Recorder(home), home, monkeypatch, saves)
    with capfd.disabled():
        print(f"\n{len(recorder.moments):,} states of the disk, at {recorder.points} moments of {saves} saves")
    wrong = [(ended, what) for ended, disk in recorder.moments if (what := after.lost(ended, disk))]
    assert not wrong
    assert recorder.ended == saves
    assert len(recorder.moments) >= 1000
    assert recorder.points >= (1000 if saves == MANY else 200)


# --- bugs planted, each of which must be found


class FileUnsynced(Recorder):
    def fsync(self, descriptor: int) -> None:
        if self._open[descriptor] is None:
            super().fsync(descriptor)


class FolderUnsynced(Recorder):
    def fsync(self, descriptor: int) -> None:
        if self._open[descriptor] is not None:
            super().fsync(descriptor)


@pytest.mark.parametrize("broken", [FileUnsynced, FolderUnsynced])
def test_a_store_that_forgets_to_sync_is_found(
    home: Path, after: After, monkeypatch: pytest.MonkeyPatch, broken: type[Recorder]
) -> None:
    recorder = saved(broken(home), home, monkeypatch, 1)
    assert any(after.lost(ended, disk) for ended, disk in recorder.moments)


def test_a_store_that_writes_in_place_is_found(home: Path, after: After, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(module, "TEMPORARY", "a")
        patched.setattr(module, "_other", lambda _: "a")
        recorder = saved(Recorder(home), home, monkeypatch, 2)
    assert any(after.lost(ended, disk) for ended, disk in recorder.moments)
