"""What a daemon tells of the model that it serves."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest

from gossipfl.cli import Exit
from gossipfl.tasks.digits import digits
from gossipfl.tasks.task import Node
from gossipfl_nodes.commands import client, inspection
from gossipfl_nodes.disk.store import Store
from tests.nodes.support import Daemon, wait_for


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
