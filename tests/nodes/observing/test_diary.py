"""The diary: every event and report has its line, and no kind of them crowds the others out."""

from __future__ import annotations

import json
import typing
from typing import Any

import numpy as np
import pytest
import trio
import trio.testing

from gossipfl.membership.charter import Revocation
from gossipfl.protocol import events as ev
from gossipfl_nodes.daemon.telemetry import Telemetry
from gossipfl_nodes.observing.diary import MAX_TEXT, SELDOM, Diary
from gossipfl_topology.live import Ring as RingTopology

REVOCATION = Revocation("a", "b", (), bytes(64))
EVENTS = [
    ev.Connected("a"), ev.Disconnected("a"), ev.Rewired(RingTopology()), ev.Readdressed(("/ip4/192.0.2.1/tcp/1",)),
    ev.Paused(), ev.Resumed(), ev.Stopping(),
]  # fmt: skip
SILENT = [
    ev.Started(), ev.DialFailed("a"), ev.Found("a", ()), ev.Received("a", b"secret"), ev.TimerFired("publish"),
    ev.Trained(1, np.full(4, 7.5, np.float32), 3), ev.TrainingFailed(1, "x"),
    ev.Hurried(), ev.Revoke(REVOCATION),
]  # fmt: skip
REPORTS = [
    ev.Joined(("a",)), ev.Published(1, ("a", "b"), 100), ev.Merged("a", 0.5, 0.25), ev.Refused("a", "why"),
    ev.Failed("why"), ev.Suspected("a"), ev.Died("a"), ev.Partitioned(3, 1), ev.Healed(0, 4),
    ev.Admitted("a"), ev.Revoked(REVOCATION),
]  # fmt: skip


def lines(diary: Diary) -> list[dict[str, Any]]:
    return [json.loads(line) for _, line in diary.ring.after(0)[1]]


def clocked(check: typing.Callable[[], typing.Awaitable[None]]) -> None:
    trio.run(check, clock=trio.testing.MockClock(autojump_threshold=0))


def test_every_event_and_report_that_there_is_is_in_this_test() -> None:
    assert {type(event) for event in EVENTS + SILENT} == set(typing.get_args(ev.Event))
    assert {type(report) for report in REPORTS} == set(typing.get_args(ev.Report))


@pytest.mark.parametrize("event", EVENTS + SILENT, ids=lambda event: type(event).__name__)
def test_an_event_has_one_line_or_none(event: ev.Event) -> None:
    async def check() -> None:
        diary = Diary()
        diary.happened(event)
        assert len(lines(diary)) == (event in EVENTS)

    clocked(check)


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_report_has_one_line_with_its_time_and_name(report: ev.Report) -> None:
    async def check() -> None:
        telemetry = Telemetry(Diary())
        telemetry.note(report)
        (line,) = lines(telemetry.diary)
        assert line["event"] == type(report).__name__.lower()
        assert line["time"] > 1e9

    clocked(check)


def test_what_happens_all_the_time_is_told_once_a_second_with_how_many_were_left_out() -> None:
    async def check() -> None:
        diary = Diary()
        for _ in range(5):
            for _ in range(100):
                diary.reported(ev.Merged("a", 0.0, 0.5))
            await trio.sleep(1)
        found = lines(diary)
        assert len(found) == 5
        assert [line.get("left_out", 0) for line in found] == [0, 99, 99, 99, 99]

    clocked(check)


def test_peers_that_come_and_go_do_not_crowd_out_a_partition() -> None:
    async def check() -> None:
        diary = Diary()
        diary.reported(ev.Partitioned(3, 1))
        for _ in range(10_000):
            diary.happened(ev.Connected("a"))
        assert [line["event"] for line in lines(diary)] == ["partitioned"] + ["connected"] * int(SELDOM.burst)

    clocked(check)


def test_a_text_is_cut() -> None:
    async def check() -> None:
        diary = Diary()
        diary.reported(ev.Failed("x" * 10_000))
        assert lines(diary)[0]["reason"] == "x" * MAX_TEXT

    clocked(check)
