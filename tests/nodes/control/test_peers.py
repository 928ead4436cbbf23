"""What a daemon tells of its peers."""

from __future__ import annotations

import math

import pytest

from gossipfl.cli import Exit
from gossipfl_nodes.commands import inspection
from tests.nodes.support import Daemon, wait_for


def test_a_peer_s_row_tells_how_far_it_is_in_time_and_in_training(pair: tuple[Daemon, Daemon]) -> None:
    here, there = pair
    row = here.peers()[there.id]
    assert row["live"]
    assert 0 < row["latency"] < 1, "loopback"
    assert 0 <= row["merged"] < 20
    assert row["strikes"] == row["refused"] == 0
    assert math.isfinite(row["staleness"])
    assert row["bytes_sent"] > 1000
    assert row["bytes_received"] > 1000
    wait_for(lambda: here.peers()[there.id]["merges"] > row["merges"], "it is merged again")
    assert here.peers()[there.id]["seq"] > row["seq"]


def test_the_command_shows_all_of_it(pair: tuple[Daemon, Daemon], capsys: pytest.CaptureFixture[str]) -> None:
    here, there = pair
    assert inspection.peers(["--home", str(here.home.path)]) == Exit.OK
    head, row = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0].strip() == "id"
    for column in ("latency", "behind", "merges", "last merge", "strikes", "sent", "received"):
        assert column in head
    assert there.id in row
    assert " ms " in row
    assert " ago " in row


def test_a_peer_that_was_only_heard_of_has_no_latency_and_no_staleness(pair: tuple[Daemon, Daemon]) -> None:
    here, there = pair
    silent = "12D3KooWEwasxsUcPzd93Ydiwgxm7V3Th8RUVJ52twC38MKm1YmZ"
    lonely = Daemon(here.home.path.parent / "c", network__bootstrap=f"/ip4/127.0.0.1/tcp/9/p2p/{silent}")
    try:
        lonely.start()
        lonely.wait_until(lambda status: status["steps"] > 0, "it learns alone")
        row = lonely.peers()[silent]
    finally:
        lonely.kill()
    assert not row["live"]
    assert row["latency"] is row["staleness"] is row["merged"] is None
    assert there.id not in lonely.log()
