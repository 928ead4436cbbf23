"""A fleet: what `gossipfl city init` writes, what it refuses, and three daemons of it that meet and learn."""

from __future__ import annotations

import csv
import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output import inventory
from gossipfl_nodes.city.command import init
from gossipfl_nodes.commands import client
from gossipfl_nodes.daemon.config import load
from gossipfl_nodes.disk import trust
from gossipfl_nodes.disk.home import Home
from gossipfl_nodes.network import identity
from gossipfl_topology import load as load_graph
from tests.nodes.support import clean_environment, end, gossipfl, wait_for

SENSORS = """id,latitude,longitude,address
north,34.10,-118.20,192.0.2.1
middle,34.09,-118.20,sensor-2.city.example:17
south,34.08,-118.20,
island,34.00,-118.20,127.0.0.1:9500
"""
ROADS = ",north,middle,south,island\nnorth,0,1,0,0\nmiddle,1,0,1,0\nsouth,0,1,0,0\nisland,0,0,0,0\n"


@pytest.fixture
def city(tmp_path: Path) -> Path:
    """A folder with the files of a city of four sensors, of which one is on no road."""
    (tmp_path / "sensors.csv").write_text(SENSORS)
    (tmp_path / "roads.csv").write_text(ROADS)
    speeds = 60 + np.random.default_rng(0).normal(size=(100, 4)).cumsum(axis=0)
    np.savetxt(tmp_path / "speeds.csv", speeds, "%.2f", ",", header="island,north,middle,south", comments="")
    return tmp_path


def make(city: Path, *more: str, data: bool = True) -> inventory.Inventory:
    """The fleet of the city, in its folder `fleet`."""
    files = ["--sensors", str(city / "sensors.csv"), "--graph", str(city / "roads.csv")]
    files += ["--data", str(city / "speeds.csv")] if data else []
    assert init([*files, *more, str(city / "fleet")]) == Exit.OK
    return inventory.read(city / "fleet")


def homes(city: Path) -> dict[str, Home]:
    return {
        entry.sensor: Home(inventory.home_path(city / "fleet", entry.sensor))
        for entry in inventory.read(city / "fleet").devices
    }


# --- what is written


def test_all_devices_are_of_one_mesh_and_gateways_are_its_admins(city: Path) -> None:
    made = make(city, "--gateways", "middle", "--gossip.mesh", "town")
    maker = Home(city / "fleet" / "maker")
    assert made.founder == identity.id_of(maker.key)
    keys = {trust.load_key(home.mesh_key) for home in (maker, *homes(city).values())}
    assert len(keys) == 1
    for entry in made.devices:
        home = homes(city)[entry.sensor]
        kept = trust.Trust(home.trust, entry.id, "town")  # raises if it does not admit this device
        assert (kept.charter.founder, entry.id) == (made.founder, identity.id_of(home.key))
        assert [admission.admin for admission in kept.charter.credential] == [entry.sensor == "middle"]


def test_what_is_secret_is_for_its_owner_only(city: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(city)
    told = capsys.readouterr()
    assert "private keys of 4 devices" in told.err
    assert "private keys" not in told.out
    fleet = city / "fleet"
    for path in (fleet, fleet / "maker", *(home.path for home in homes(city).values())):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    for home in homes(city).values():
        for secret in (home.key, home.mesh_key, home.trust, home.path / inventory.READINGS):
            assert stat.S_IMODE(secret.stat().st_mode) == 0o600, secret


def test_each_device_has_its_own_readings_neighbours_and_addresses(city: Path) -> None:
    made = make(city, "--gateways", "middle")
    ids = {entry.sensor: entry.id for entry in made.devices}
    linked = {"north": {"middle"}, "middle": {"north", "south", "island"}, "south": {"middle", "island"}}
    linked["island"] = {"middle", "south"}
    for sensor, home in homes(city).items():
        config = load(home.config, {}, {}).config
        assert config.task.data == str(home.path / "readings.csv")
        assert Path(config.task.data).read_text().splitlines()[0] == sensor
        graph = load_graph(config.gossip.topology).graph
        near = {graph.labels[b] for a, b in graph.edges if graph.labels[a] == ids[sensor]}
        assert near == {ids[other] for other in linked[sensor]}
        assert config.profile == config.gossip.role == ("gateway" if sensor == "middle" else "sensor")
        assert (home.path / "gossipfl.service").read_text().startswith("# ")
    configs = {sensor: load(home.config, {}, {}).config.network for sensor, home in homes(city).items()}
    assert configs["north"].listen == ("/ip4/0.0.0.0/tcp/9444",)
    assert configs["north"].announce == ("/ip4/192.0.2.1/tcp/9444",)
    assert configs["island"].listen == ("/ip4/127.0.0.1/tcp/9500",)
    assert configs["middle"].listen == ("/ip4/0.0.0.0/tcp/17",)
    assert configs["north"].bootstrap[0] == f"/dns4/sensor-2.city.example/tcp/17/p2p/{ids['middle']}"
    assert not any(ids["south"] in address for address in configs["middle"].bootstrap)


def test_the_inventory_is_for_people_and_programs(city: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(city, "--gateways", "island", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["devices"], told["gateways"], told["links"], told["topology"]) == (4, 1, 4, "graph.json")
    with (city / "fleet" / "inventory.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["sensor"], row["role"], row["latitude"]) for row in rows][3] == ("island", "gateway", "34.0")
    graph = load_graph(city / "fleet" / "graph.json").graph
    assert graph.labels == ("north", "middle", "south", "island")
    assert graph.positions is not None
    assert graph.positions[0, 1] - graph.positions[1, 1] == pytest.approx(1111, rel=0.01)  # metres of .01 degrees


def test_other_topologies_by_name(city: Path) -> None:
    made = make(city, "--gossip.topology", "k-out:k=1", "--profile", "laptop", "--gossip.interval", "60")
    config = load(homes(city)["north"].config, {}, {}).config
    assert (config.gossip.topology, config.profile, config.gossip.interval) == ("k-out:k=1", "laptop", 60)
    assert (made.topology, made.gossip["interval"]) == ("k-out:k=1", 60)
    assert not (homes(city)["north"].path / "neighbours.json").exists()


@pytest.mark.parametrize("by", ["table", "list"])
def test_a_matrix_without_names_is_in_the_order_of_the_table_or_the_list(city: Path, by: str) -> None:
    (city / "roads.csv").write_text("0,1,0,0\n1,0,1,0\n0,1,0,0\n0,0,0,0\n")
    make(city, data=by == "table")
    graph = load_graph(city / "fleet" / "graph.json").graph
    roads = {frozenset((graph.labels[a], graph.labels[b])) for a, b in graph.edges.tolist()}
    order = {"table": ["island", "north", "middle"], "list": ["north", "middle", "south"]}[by]
    assert {frozenset(order[:2]), frozenset(order[1:])} <= roads


# --- what is refused

REFUSED = [
    (["--gateways", "nort"], "--gateways nort: ", "did you mean 'north'?"),
    (["--network.listen", "/ip4/127.0.0.1/tcp/1"], "--network.listen: city init sets it", ""),
    (["--gossip.interval", "0"], "gossip.interval = '0'", "0.05 to 86400"),
    (["--gossip.topology", "k-outt"], "gossip.topology", "k-out"),
]


@pytest.mark.parametrize(("more", "told", "hint"), REFUSED)
def test_wrong_options_leave_nothing_behind(city: Path, more: list[str], told: str, hint: str) -> None:
    with pytest.raises(LocalError) as refused:
        make(city, *more)
    assert told in str(refused.value)
    assert hint in str(refused.value)
    assert not (city / "fleet").exists()


def test_keys_are_never_overwritten(city: Path) -> None:
    make(city)
    before = homes(city)["north"].key.read_bytes()
    with pytest.raises(LocalError, match="not empty"):
        make(city)
    assert homes(city)["north"].key.read_bytes() == before


@pytest.mark.parametrize(
    ("roads", "told"),
    [
        ("0,1\n1,0\n", "2 nodes without names, and"),
        ("a b\n", "none of its nodes is a sensor of"),
        ("0,x\n1,0\n", "line 1, column 2"),
    ],
)
def test_roads_that_do_not_fit(city: Path, roads: str, told: str) -> None:
    suffix = ".edges" if " " in roads else ".csv"
    (city / f"other{suffix}").write_text(roads)
    with pytest.raises(LocalError) as refused:
        make(city, "--graph", str(city / f"other{suffix}"))
    assert told in str(refused.value)


def test_the_group_is_told_of() -> None:
    asked = gossipfl("city", "--help")
    assert (asked.returncode, asked.stderr) == (Exit.OK, "")
    assert all(name in asked.stdout for name in ("city init", "city up", "city rehearse"))
    assert gossipfl("city").returncode == gossipfl("city", "rehearsal").returncode == Exit.USAGE


# --- real daemons


def test_a_fleet_meets_along_its_roads_and_learns(city: Path, home: Path) -> None:
    (city / "sensors.csv").write_text("".join(SENSORS.splitlines(keepends=True)[:4]))
    fleet = home / "fleet"
    files = ["--sensors", str(city / "sensors.csv"), "--graph", str(city / "roads.csv")]
    assert init([*files, "--data", str(city / "speeds.csv"), "--gateways", "south", str(fleet)]) == Exit.OK
    command = [sys.executable, "-m", "gossipfl", "city", "up", str(fleet), "--gossip.interval", "0.3", "--json"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
    )
    try:
        for entry in inventory.read(fleet).devices:
            device = Home(inventory.home_path(fleet, entry.sensor))

            def merged(device: Home = device) -> bool:
                assert running.poll() is None, running.stderr
                try:
                    status = client.get(device, "/v1/status")
                except LocalError:
                    return False
                return bool(status["merges"] > 2 and "rmse_15min" in status["metrics"])

            wait_for(merged, f"{entry.sensor} has merged and is judged")
        north = Home(inventory.home_path(fleet, "north"))
        assert client.get(north, "/v1/status")["topology"].endswith("neighbours.json")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=40)
    finally:
        end([running])
    assert running.returncode == Exit.OK, err
    rows = json.loads(out)
    assert [(row["sensor"], row["role"]) for row in rows] == [
        ("north", "sensor"), ("middle", "sensor"), ("south", "gateway"),
    ]  # fmt: skip
    for row in rows:
        assert row["merges"] > 2, row
        assert row["rmse_15min"] > 0, row
        assert row["peers"] == 2, row
    assert "of 3 learn" in err
