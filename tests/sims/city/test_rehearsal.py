"""A rehearsal: what it says about a small city, whose roads and readings are made here."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output import inventory
from gossipfl_nodes.city.command import init
from gossipfl_sims.city.command import rehearse

SENSORS = ("a", "b", "c", "d", "e")
DAYS = "0.05"
"""Fifteen publishes."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of five sensors on a line, the last of which is a gateway, with rush hours that are everywhere the same."""
    city = tmp_path_factory.mktemp("city")
    (city / "sensors.csv").write_text("id\n" + "\n".join(SENSORS) + "\n")
    (city / "roads.edges").write_text("a b\nb c\nc d\nd e\n")
    rng, hours = np.random.default_rng(1), np.arange(240) / 12
    speeds = 55 + 10 * np.sin(hours)[:, None] + rng.normal(size=(240, 5)).cumsum(axis=0) / 3
    speeds[17, 2] = np.nan
    np.savetxt(city / "speeds.csv", speeds, "%.2f", ",", header=",".join(SENSORS), comments="")
    files = ["--sensors", str(city / "sensors.csv"), "--graph", str(city / "roads.edges")]
    files += ["--data", str(city / "speeds.csv"), "--gateways", "e", "--gossip.interval", "300"]
    assert init([*files, str(city / "fleet")]) == Exit.OK
    return city / "fleet"


def test_calm_dead_and_cut_over_two_topologies(fleet: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "r.json", tmp_path / "r.html"
    chosen = ["--topology", "roads", "--topology", "hierarchical", "--dead", "0.2", "--cut", "a,b"]
    assert rehearse([str(fleet), "--days", DAYS, *chosen, "--json", str(out), "--html", str(page)]) == Exit.OK
    found = json.loads(out.read_text())
    assert (found["devices"], found["error"]) == (5, "rmse_15min")
    runs = {(run["topology"], run["what"]): run for run in found["runs"]}
    assert list(runs) == [(name, what) for name in ("roads", "hierarchical") for what in ("calm", "dead", "cut")]
    for (_, what), run in runs.items():
        up = [one for one in run["sensors"] if one["error"] is not None]
        assert [one["sensor"] for one in run["sensors"]] == list(SENSORS)
        assert len(up) == (4 if what == "dead" else 5)
        assert run["looks"][-1]["day"] == pytest.approx(0.05)
        # Over all rows: between the best and the worst sensor.
        assert min(one["error"] for one in up) < run["metrics"]["rmse_15min"] < max(one["error"] for one in up)
        assert (run["calm"] is None) == (what == "calm")
        assert 0 < run["sent_per_day"] <= run["most_sent_per_day"]
        assert 0 <= run["helped"] + run["hurt"] <= 1
    # What the sensors' own models say doesn't depend on the mesh.
    assert runs["roads", "calm"]["metrics"]["own_rmse_15min"] == runs["roads", "cut"]["metrics"]["own_rmse_15min"]
    # The gateway of the hierarchy is the fleet's, and has most to send.
    hierarchy = runs["hierarchical", "calm"]["sensors"]
    sent = {one["sensor"]: one["sent_per_day"] for one in hierarchy}
    assert sent.pop("e") > 1.2 * max(sent.values())
    # While a and b are cut off, the parts drift; calm, they don't.
    assert _apart(runs["roads", "cut"]) > 1.2 * _apart(runs["roads", "calm"])
    text = page.read_text()
    assert text.count("<svg") == 2
    assert "laid out along the roads" in text


def _apart(run: dict[str, list[dict[str, float]]]) -> float:
    return float(np.mean([look["disagreement"] for look in run["looks"] if 0.02 < look["day"] < 0.0375]))


def test_one_seed_gives_one_rehearsal(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for seed in ("3", "3", "4"):
        assert rehearse([str(fleet), "--days", DAYS, "--dead", "0", "--seed", seed, "--json", "-"]) == Exit.OK
        told.append(json.loads(capsys.readouterr().out)["runs"])
    assert told[0] == told[1]
    assert told[0] != told[2]


def test_a_table_for_people(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rehearse([str(fleet), "--days", "0.01", "--dead", "0", "--set", "train_hours=8"]) == Exit.OK
    told = capsys.readouterr()
    assert "5 sensors, 0.01 virtual days" in told.out
    assert "roads" in told.out
    assert told.err == "running: calm over roads\n"


REFUSED = [
    (["--cut", "f"], "--cut f: the fleet has no such sensor"),
    (["--cut", "a,b,c,d,e"], "--cut all sensors"),
    (["--topology", "ringg"], "--topology ringg: "),
    (["--set", "train_hour=12"], "did you mean"),
    (["--html", "/nowhere/r.html"], "there is no such folder"),
]


@pytest.mark.parametrize(("more", "told"), REFUSED)
def test_what_is_refused(fleet: Path, more: list[str], told: str) -> None:
    with pytest.raises(LocalError) as refused:
        rehearse([str(fleet), "--days", DAYS, *more])
    assert told in str(refused.value)


def test_no_fleet_and_no_readings(fleet: Path, tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="gossipfl city init makes one"):
        rehearse([str(tmp_path)])
    (tmp_path / "inventory.json").write_text("{}")
    with pytest.raises(LocalError, match="damaged"):
        rehearse([str(tmp_path)])
    inventory.write(tmp_path, msgspec.structs.replace(inventory.read(fleet), readings=False))
    (tmp_path / "graph.json").write_bytes((fleet / "graph.json").read_bytes())
    with pytest.raises(LocalError, match=r"--data FILE\.csv"):
        rehearse([str(tmp_path)])
