"""What is kept of the log, and at which level."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import structlog

from gossipfl_nodes.daemon.config import LEVELS
from gossipfl_nodes.observing.logs import KEPT, MAX_TEXT, Logs


@pytest.fixture(autouse=True)
def reset() -> Iterator[None]:
    """What a daemon configures is for its process; other tests share this one."""
    yield
    structlog.reset_defaults()


def kept(logs: Logs) -> list[dict[str, Any]]:
    return [json.loads(line) for _, line in logs.ring.after(0)[1]]


def test_a_line_is_written_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    logs = Logs("info")
    structlog.get_logger("x").info("listening", port=9444)
    (line,) = kept(logs)
    assert line == json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["port"]) == ("listening", "info", 9444)


@pytest.mark.parametrize("level", LEVELS)
def test_the_level_can_be_changed_for_loggers_that_are_there(level: str) -> None:
    logs = Logs("info")
    log = structlog.get_logger("x")
    log.info("before")
    logs.show(level)
    for each in LEVELS:
        getattr(log, each)(each)
    assert [line["event"] for line in kept(logs)] == ["before", *LEVELS[LEVELS.index(level) :]]


def test_no_line_holds_a_tensor_or_bytes_or_a_long_text() -> None:
    logs = Logs("info")
    values = {"vector": np.ones(3, np.float32), "body": b"secret", "rows": [[1, 2]], "text": "y" * 10_000}
    structlog.get_logger("x").info("odd", **values, nan=float("nan"), big=1 << 70, ok=True, none=None)
    (line,) = kept(logs)
    assert (line["vector"], line["body"], line["rows"]) == ("<ndarray>", "<bytes>", "<list>")
    assert line["text"] == "y" * MAX_TEXT
    assert (line["nan"], line["big"], line["ok"], line["none"]) == ("nan", str(1 << 70), True, None)


def test_a_line_with_a_hundred_values_keeps_some() -> None:
    logs = Logs("info")
    structlog.get_logger("x").info("many", **{f"value{number}": number for number in range(100)})
    (line,) = kept(logs)
    assert (line["event"], line["level"]) == ("many", "info")
    assert "timestamp" in line
    assert len(line) == 16


def test_a_flood_of_lines_is_cut_off_and_told_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = Logs("info")
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now)
    log = structlog.get_logger("x")
    for number in range(1000):
        log.info("flood", number=number)
    assert len(kept(logs)) == KEPT.burst
    now += 1
    log.info("after")
    assert kept(logs)[-1]["left_out"] == 1000 - KEPT.burst
    assert len(capsys.readouterr().err.splitlines()) == 1001, "all of it is on stderr"
