"""kill -9 at any moment of a real process that saves without a pause: nothing is lost, and no number is used twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from gossipfl_nodes.disk.home import Home
from gossipfl_nodes.network import identity
from tests.nodes.support import GENEROUS, clean_environment, end

KILLS, MANY = 120, 5000
LINES, THEN = 12, 0.01
"""A life is killed after up to so many lines of its diary, which has three for each save, and up to so many seconds."""


@contextmanager
def node(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.nodes.disk.saving_node", str(home)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment(),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        end([process])


def kill_one(process: subprocess.Popen[str], now: int, diary: BinaryIO, lines: int, seconds: float) -> None:
    """Let a life begin, at that time of day, and kill it so many seconds after it has written so many lines."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{now}\n")
    process.stdin.flush()
    pid = int(process.stdout.readline())
    deadline = time.monotonic() + GENEROUS
    while lines > 0:
        time.sleep(0.0005)
        lines -= diary.read().count(b"\n")
        assert time.monotonic() < deadline, "it writes nothing"
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    assert process.stdout.readline() == "dead\n"
    diary.read()


def harm(home: Path, rng: random.Random) -> None:
    """Between two lives, a file with the incarnation gets lost, or damaged; never both, and never all that is known."""
    victim = rng.choice([home / "incarnation", home / "state" / "incarnation"])
    if rng.random() < 0.5:
        victim.unlink(missing_ok=True)
    else:
        victim.write_bytes(rng.randbytes(8))


class Judge:
    """Reads the diary of all lives, and knows what the next one must find."""

    def __init__(self) -> None:
        self.ended: tuple[str, ...] = ("0", "0", "0")
        self.under_way: tuple[str, ...] | None = None
        self.incarnation = 0
        self.ids: set[str] = set()
        self.published: set[tuple[str, str]] = set()
        self.torn = self.saves = self.lives = 0

    def read(self, line: str) -> None:
        kind, *words = line.split()
        match kind:
            case "back":
                assert tuple(words) in (self.ended, self.under_way), "neither the last save nor the one under way"
                self.torn += self.under_way is not None
                self.ended, self.under_way = tuple(words), None
            case "life":
                assert int(words[0]) > self.incarnation
                self.incarnation = int(words[0])
                self.ids.add(words[1])
                self.lives += 1
            case "published":
                version = (words[0], words[1])
                assert version not in self.published, "a version number is used twice"
                self.published.add(version)
            case "saving":
                self.under_way = tuple(words)
            case "saved":
                self.saves += 1
                self.ended, self.under_way = tuple(words), None


def kill(home: Path, kills: int) -> None:
    device = Home(home)
    device.create()
    me, key = identity.create(device.key), device.key.read_bytes()
    rng, judge, now = random.Random(kills), Judge(), 2_000_000_000
    (home / "diary").touch()
    with node(home) as process, open(home / "diary", "rb") as diary:
        for number in range(kills):
            kill_one(process, now, diary, rng.randint(0, LINES), rng.uniform(0, THEN))
            now -= 3600  # a clock without a battery
            if number % 10 == 9:
                harm(home, rng)
    for line in (home / "diary").read_text().splitlines():
        judge.read(line)
    assert device.key.read_bytes() == key
    assert judge.ids == {me}
    print(
        f"\n{kills} kills: {judge.lives} lives got as far as to have a number, {judge.saves} saves ended,"
        f" {judge.torn} were cut off, {len(judge.published)} versions"
    )
    assert judge.lives > kills / 3
    assert judge.saves > kills / 2
    assert judge.torn > kills / 10
    left = {path.name for path in device.state.iterdir() if not path.name.startswith(".incarnation.")}
    assert left <= {"a", "b", "new", "incarnation"}


def test_a_hundred_kills_lose_no_save_no_identity_and_no_number(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with capfd.disabled():
        kill(home, KILLS)


@pytest.mark.soak
def test_thousands_of_kills(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with capfd.disabled():
        kill(home, MANY)
