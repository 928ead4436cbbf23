"""The home of a daemon: one daemon at a time, incarnations that only grow, and private sockets."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gossipfl.errors import LocalError
from gossipfl.wire.messages import Hello, decode, encode
from gossipfl_nodes.disk.home import MAX_SOCKET_PATH, Home
from tests.nodes.support import end

HOLD = """
import sys
from pathlib import Path
from gossipfl_nodes.disk.home import Home
with Home(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(home: Path) -> subprocess.Popen[str]:
    """Another process that has the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_lock_names_the_process_that_holds_it_and_the_way_out(home: Path) -> None:
    holder = hold(home)
    try:
        with pytest.raises(LocalError, match="gossipfl stop") as caught, Home(home).lock():
            pass
        assert f"process {holder.pid} " in str(caught.value)
        assert str(home) in str(caught.value)
    finally:
        end([holder])


def test_the_lock_of_a_killed_process_is_free_at_once(home: Path) -> None:
    end([hold(home)])
    with Home(home).lock():
        assert (home / "run" / "lock").read_text() == str(os.getpid())


def test_the_lock_is_given_back(home: Path) -> None:
    for _ in range(2):
        with Home(home).lock():
            pass


def test_what_belongs_to_a_running_daemon_is_for_this_user_only(home: Path) -> None:
    Home(home).create()
    assert {stat.S_IMODE((home / name).stat().st_mode) for name in ("run", "state")} == {0o700}


def test_a_home_that_can_t_be_made_is_named_with_a_way_out(home: Path) -> None:
    (home / "file").write_text("in the way")
    with pytest.raises(LocalError, match="--home") as caught:
        Home(home / "file" / "below").create()
    assert str(home / "file" / "below") in str(caught.value)


def test_the_home_is_taken_from_the_argument_then_from_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOSSIPFL_HOME", str(home / "of-the-environment"))
    assert Home(None).path == home / "of-the-environment"
    assert Home(home).path == home
    monkeypatch.setenv("GOSSIPFL_HOME", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    assert Home(None).path == home / "gossipfl"


def test_a_relative_home_stays_where_it_is_when_the_working_folder_changes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    made = Home(Path("device"))
    monkeypatch.chdir("/")
    assert made.path == home / "device"


def test_each_life_has_a_larger_number_even_when_lives_are_short(home: Path) -> None:
    device = Home(home)
    lives = [device.next_incarnation(1_000_000_000) for _ in range(5)]
    assert lives == sorted(set(lives))
    assert (home / "incarnation").read_text().strip() == str(lives[-1])


def test_a_lost_file_and_a_clock_that_runs_on_give_a_larger_number(home: Path) -> None:
    device = Home(home)
    before = device.next_incarnation(int(time.time()))
    (home / "incarnation").unlink()
    assert device.next_incarnation(int(time.time()) + 1) > before


def test_a_clock_that_was_set_back_does_not_set_the_number_back(home: Path) -> None:
    device = Home(home)
    before = device.next_incarnation(2_000_000_000)
    assert device.next_incarnation(1_000_000_000) > before
    assert device.next_incarnation(0) > before + 1


@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda file: file.write_bytes(b"\0\0\0"), lambda file: file.write_text("7")]
)
@pytest.mark.parametrize("victim", ["incarnation", "state/incarnation"])
def test_one_file_that_is_lost_or_damaged_and_a_clock_that_was_set_back_do_not_set_the_number_back(
    home: Path, harm: Callable[[Path], None], victim: str
) -> None:
    device = Home(home)
    before = device.next_incarnation(2_000_000_000)
    harm(home / victim)
    assert device.next_incarnation(1_000_000_000) == before + 1
    assert {(home / name).read_text() for name in ("incarnation", "state/incarnation")} == {f"{before + 1}\n"}


def test_where_both_files_are_lost_a_saved_state_still_knows(home: Path) -> None:
    device = Home(home)
    device.next_incarnation(2_000_000_000)
    for name in ("incarnation", "state/incarnation"):
        (home / name).write_bytes(b"garbage")
    assert device.next_incarnation(1_000_000_000, seen=2_000_000_000) == 2_000_000_001


def test_a_number_that_could_not_be_kept_twice_is_not_given_out_and_not_lost(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Home(home)
    first = device.next_incarnation(1_000_000_000)
    honest = os.replace

    def fail(source: str, target: Path) -> None:
        if target.parent.name == "state":
            raise OSError(28, "No space left on device")
        honest(source, target)

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", fail)
        with pytest.raises(LocalError, match="No space left"):
            device.next_incarnation(1_000_000_000)
    assert device.next_incarnation(1_000_000_000) > first


def test_a_number_that_could_not_be_kept_is_not_given_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Home(home)
    first = device.next_incarnation(1_000_000_000)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", fail)
        with pytest.raises(LocalError, match="No space left"):
            device.next_incarnation(1_000_000_000)
    assert device.next_incarnation(1_000_000_000) == first + 1


@pytest.mark.parametrize(
    "content", [b"garbage", b"", b"-1", b"1.5", b"\xff\xfe\x00", "²".encode(), b"9" * 5000, b"12 34"]
)
def test_garbage_in_the_incarnation_s_file_is_named_and_kept(home: Path, content: bytes) -> None:
    (home / "incarnation").write_bytes(content)
    with pytest.raises(LocalError) as caught:
        Home(home).next_incarnation(1_000_000_000)
    assert str(home / "incarnation") in str(caught.value)
    assert len(str(caught.value)) < 400
    assert (home / "incarnation").read_bytes() == content


@pytest.mark.parametrize("kept", [2**53, 2**64, 10**20])
def test_a_number_that_peers_would_refuse_is_not_given_out(home: Path, kept: int) -> None:
    hello = Hello("mesh", bytes(16), bytes(16), 2**53, 0, 0.0, (), "", "int8", heard=False)
    assert decode(encode(hello)) == hello, "peers take no more"
    (home / "incarnation").write_text(str(kept))
    with pytest.raises(LocalError) as caught:
        Home(home).next_incarnation(1_000_000_000)
    assert str(home / "incarnation") in str(caught.value)


def test_a_path_too_long_for_a_socket_is_named_with_a_way_out(home: Path) -> None:
    device = Home(home / ("x" * 120))
    with pytest.raises(LocalError, match="--home") as caught:
        _ = device.socket
    assert str(device.path) in str(caught.value)
    assert str(MAX_SOCKET_PATH) in str(caught.value)


def test_the_longest_allowed_path_really_is_a_socket_s(home: Path) -> None:
    import socket

    fixed = len(os.fsencode(Home(home / "y").socket)) - 1
    device = Home(home / ("y" * (MAX_SOCKET_PATH - fixed)))
    device.create()
    assert len(os.fsencode(device.socket)) == MAX_SOCKET_PATH
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(device.socket))
    with pytest.raises(LocalError):
        _ = Home(home / ("y" * (MAX_SOCKET_PATH - fixed + 1))).socket
