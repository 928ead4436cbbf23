"""Metrics: read back by Prometheus' own parser, from made statuses and from a daemon that learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gossipfl.cli import Exit
from gossipfl_nodes.commands import inspection
from gossipfl_nodes.observing.metrics import COUNTERS, GAUGES, exposition
from tests.nodes.support import Daemon

STATUS: dict[str, Any] = {
    **dict.fromkeys(GAUGES, 2.5),
    **dict.fromkeys(COUNTERS, 7),
    "partition": True,
    "state": "learning",
    "paused": True,
    "metrics": {"accuracy": 0.25, 'odd "name"\\\n': 1.0, "unknown": None},
    "budget": {"limit": 1e6, "period": 60.0, "spent": 10.0, "left": 20.0},
    "last_failure": "",
}


def read(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """By name of the sample, by values of its labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation.endswith("."), family.name
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_every_number_of_a_status_comes_back_under_its_name() -> None:
    found = read(exposition(STATUS).decode())
    for key, (name, _) in GAUGES.items():
        assert found[name] == {(): float(STATUS[key])}
    for name, _ in COUNTERS.values():
        assert found[f"{name}_total"] == {(): 7.0}
    assert found["gossipfl_learning"] == {(): 1.0}
    assert found["gossipfl_paused"] == {(): 1.0}
    assert found["gossipfl_evaluation"] == {("accuracy",): 0.25, ('odd "name"\\\n',): 1.0}
    assert found["gossipfl_budget_left_bytes"] == {(): 20.0}
    assert found["gossipfl_budget_spent_bytes_total"] == {(): 10.0}


@pytest.mark.parametrize(
    ("changed", "gone"),
    [
        ({"loss": None}, "gossipfl_training_loss"),
        ({"joined_after": None}, "gossipfl_joined_after_seconds"),
        ({"metrics": {}}, "gossipfl_evaluation"),
        ({"metrics": {"accuracy": None}}, "gossipfl_evaluation"),
        ({"budget": None}, "gossipfl_budget_left_bytes"),
    ],
)
def test_what_is_not_known_is_left_out_and_not_told_as_zero(changed: dict[str, Any], gone: str) -> None:
    assert set(read(exposition(STATUS).decode())) - set(read(exposition(STATUS | changed).decode())) >= {gone}


def test_a_device_that_joins_does_not_learn() -> None:
    assert read(exposition(STATUS | {"state": "joining"}).decode())["gossipfl_learning"] == {(): 0.0}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_the_command_prints_what_a_daemon_has_done(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    daemon = Daemon(home, gossip__interval="0.2", network__mdns="false")
    try:
        daemon.start()
        status = daemon.wait_until(lambda status: status["steps"] > 0 and status["metrics"] != {}, "training")
        assert inspection.metrics(["--home", str(home)]) == Exit.OK
    finally:
        daemon.kill()
    found = read(capsys.readouterr().out)
    assert found["gossipfl_training_steps_total"][()] >= status["steps"]
    assert found["gossipfl_uptime_seconds"][()] >= status["uptime"]
    assert 0 <= found["gossipfl_evaluation"][("accuracy",)] <= 1
    assert "gossipfl_budget_left_bytes" not in found
    assert all(len(series) == 1 for name, series in found.items() if name != "gossipfl_evaluation")
