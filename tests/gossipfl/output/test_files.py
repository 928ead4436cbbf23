"""Files that survive: all or nothing, with the mode that was asked for, and nothing left lying about."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossipfl.errors import LocalError
from gossipfl.output.files import write_durably


def test_a_file_is_written_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"first", b"", bytes(1 << 20)):
        write_durably(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_parts_are_asked_for_one_by_one_and_what_an_earlier_write_left_is_taken_over(tmp_path: Path) -> None:
    path, temporary = tmp_path / "file", tmp_path / "new"
    temporary.write_bytes(b"the long rest of a write that was cut off")
    asked = []

    def parts() -> Iterator[bytes]:
        for part in (b"one", b"", b"two"):
            asked.append((part, temporary.read_bytes()))
            yield part

    write_durably(path, parts(), temporary=temporary)
    assert asked == [(b"one", b""), (b"", b"one"), (b"two", b"one")]
    assert path.read_bytes() == b"onetwo"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_has_the_mode_that_was_asked_for_whatever_the_umask_and_the_old_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o666)
    before = os.umask(0o027)
    try:
        write_durably(path, b"new", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("call", ["replace", "fsync", "fchmod"])
def test_when_the_disk_fails_the_old_content_stays_and_nothing_is_left_lying_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(LocalError, match="No space left on device") as caught:
        write_durably(path, b"new")
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_is_interrupted_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="No such file or directory") as caught:
        write_durably(tmp_path / "nowhere" / "file", b"content")
    assert str(tmp_path / "nowhere" / "file") in str(caught.value)


def test_the_content_is_on_the_disk_before_the_name_points_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        calls.append("fsync")
        fsync(descriptor)

    def noted_replace(old: str, new: Path) -> None:
        calls.append("replace")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_durably(tmp_path / "file", b"content")
    assert calls == ["fsync", "replace", "fsync"], "file, name, folder"
