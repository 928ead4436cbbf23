"""What running daemons tell of their peers, and of the model that they serve."""

from __future__ import annotations

import hashlib
import math
import time

import numpy as np
import pytest

from gossipfl.cli import Exit
from gossipfl.tasks.digits import digits
from gossipfl.tasks.task import Node
from gossipfl_nodes.commands import client, inspection
from gossipfl_nodes.disk.store import Store
from tests.nodes.support import Daemon, wait_for

# --- peers


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


# --- the model


def test_the_model_is_told_of_with_its_layout_and_moves_on(pair: tuple[Daemon, Daemon]) -> None:
    here, there = pair
    before, other = (client.get(daemon.home, "/v1/model") for daemon in (here, there))
    schema = digits(Node()).schema
    assert [(row["name"], tuple(row["shape"]), row["personal"]) for row in before["tensors"]] == [
        (tensor.name, tensor.shape, tensor.personal) for tensor in schema.tensors
    ]
    assert (before["parameters"], before["shared"]) == (schema.size, schema.shared_size)
    assert before["fingerprint"] == other["fingerprint"] == schema.fingerprint.hex()
    assert before["sha256"] != other["sha256"]
    assert 0 < before["metrics"]["accuracy"] <= 1

    def moved() -> bool:
        after = client.get(here.home, "/v1/model")
        return bool(after["sha256"] != before["sha256"] and after["version"]["seq"] > before["version"]["seq"])

    wait_for(moved, "it learns on")


def test_the_hash_is_that_of_what_is_served(pair: tuple[Daemon, Daemon]) -> None:
    """A daemon that was stopped keeps what it served last; it has not changed since it was asked."""
    lonely = Daemon(pair[0].home.path.parent / "d", gossip__interval="0.5", disk__every="0.1", network__mdns="false")
    try:
        lonely.start()
        lonely.wait_until(lambda status: status["steps"] > 0, "it learns")
        told = set()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            told.add(client.get(lonely.home, "/v1/model")["sha256"])
            saved = Store(lonely.home.state, "gossipfl", "digits", digits(Node()).schema).load()
            if saved is not None and _sha256(saved.model.served) in told:
                return
        pytest.fail("no save holds what was told")
    finally:
        lonely.kill()


def _sha256(vector: np.ndarray[tuple[int], np.dtype[np.float32]]) -> str:
    return hashlib.sha256(vector.astype("<f4").tobytes()).hexdigest()


def test_the_command_shows_version_hash_and_tensors(
    pair: tuple[Daemon, Daemon], capsys: pytest.CaptureFixture[str]
) -> None:
    here, _ = pair
    assert inspection.model(["--home", str(here.home.path)]) == Exit.OK
    shown = capsys.readouterr().out
    assert f"version      {here.status()['incarnation']}." in shown
    for tensor in digits(Node()).schema.tensors:
        assert f" {tensor.name} " in f" {shown}"
