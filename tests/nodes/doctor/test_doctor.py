"""The doctor finds what is wrong, says what to do, and finds nothing where nothing is."""

from __future__ import annotations

import json
import os
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from gossipfl.cli import Exit
from gossipfl_nodes.daemon.config import Config, NetworkConfig, load
from gossipfl_nodes.doctor import device, mesh
from gossipfl_nodes.doctor.findings import Finding, Patient
from tests.nodes.support import Daemon, gossipfl


@pytest.fixture
def made(home: Path) -> Callable[..., Patient]:
    """A device, of which no daemon runs."""

    def make(status: dict[str, Any] | None = None, **keys: str) -> Patient:
        daemon = Daemon(home / "device", **keys)
        return Patient(daemon.home, load(daemon.home.config, {}, {}).config, status)

    return make


def assert_wrong(finding: Finding, *named: str) -> None:
    assert finding.verdict == "wrong", finding
    assert finding.fix
    assert all(name in finding.text for name in named), finding


def test_a_new_device_has_nothing_wrong(made: Callable[..., Patient]) -> None:
    patient = made()
    for check in (device.clock, device.keys, device.disk, device.files, mesh.membership, mesh.task):
        found = check(patient)
        assert (found.verdict, found.fix) == ("ok", ""), found
    assert mesh.ports(patient).verdict == "hint", "loopback"
    assert mesh.peers(patient) == []


def test_a_clock_that_is_behind_is_found(made: Callable[..., Patient], monkeypatch: pytest.MonkeyPatch) -> None:
    patient = made()
    (patient.home.path / "incarnation").write_text(f"{int(time.time()) + 10**6}\n")
    assert_wrong(device.clock(patient), "started on")
    monkeypatch.setattr(time, "time", lambda: 1e9)
    assert_wrong(device.clock(patient), "2001-09-09")


@pytest.mark.parametrize(("which", "mode"), [("key", 0o640), ("token", 0o644), ("state", 0o755)])
def test_a_key_that_others_can_read_is_found(made: Callable[..., Patient], which: str, mode: int) -> None:
    patient = made()
    path: Path = getattr(patient.home, which)
    if not path.exists():
        path.touch()
    path.chmod(mode)
    found = device.keys(patient)
    assert_wrong(found, str(path), f"{mode:04o}")
    assert str(path) in found.fix
    path.chmod(mode & 0o700)
    assert device.keys(patient).verdict == "ok"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give files away")
def test_root_looks_at_a_service_s_home_and_finds_what_is_not_the_service_s(made: Callable[..., Patient]) -> None:
    patient = made()
    for path in (patient.home.path, *patient.home.path.rglob("*")):
        os.chown(path, 61234, 61234)
    assert device.keys(patient).verdict == "ok"
    os.chown(patient.home.trust, 0, 0)
    found = device.keys(patient)
    assert_wrong(found, str(patient.home.trust), "belongs to user 0")
    assert found.fix.startswith("chown -R 61234 ")


def test_a_device_without_a_key_is_told_to_make_one(made: Callable[..., Patient]) -> None:
    patient = made()
    patient.home.key.unlink()
    found = device.keys(patient)
    assert_wrong(found, str(patient.home.key))
    assert found.fix == "gossipfl init"


def test_a_disk_without_room_for_the_next_save_is_found(made: Callable[..., Patient]) -> None:
    patient = made()
    with open(patient.home.state / "a", "wb") as file:
        file.truncate(1 << 42)  # of which nothing is on disk
    assert_wrong(device.disk(patient), str(patient.home.state), "are free")


def test_what_the_daemon_could_not_save_is_told(made: Callable[..., Patient]) -> None:
    assert_wrong(device.disk(made({"save_error": "a: No space left on device"})), "No space left")


def test_too_few_files_are_found(made: Callable[..., Patient]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        assert_wrong(device.files(made()), "200 open files")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_multicast_a_bootstrap_is_asked_for(
    made: Callable[..., Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    loopback = {name: stats for name, stats in psutil.net_if_stats().items() if "loopback" in stats.flags}
    monkeypatch.setattr(psutil, "net_if_stats", lambda: loopback)
    found = device.multicast(made())
    assert found.verdict == "hint"
    assert "network.bootstrap" in found.fix


def test_without_mdns_no_multicast_is_needed(made: Callable[..., Patient]) -> None:
    assert device.multicast(made(network__mdns="false")).verdict == "ok"


def test_a_taken_port_is_found(made: Callable[..., Patient]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        assert_wrong(mesh.ports(made(network__listen=address)), address, "in use")


def test_a_device_of_no_mesh_or_of_an_open_one_is_told(made: Callable[..., Patient]) -> None:
    patient = made()
    patient.home.trust.unlink()
    assert_wrong(mesh.membership(patient), "gossipfl join", str(patient.home.trust))
    opened = patient._replace(config=Config(network=NetworkConfig(open=True)))
    assert mesh.membership(opened).verdict == "hint"


@pytest.mark.parametrize("name", ["digit", "/nowhere/task.py:make"])
def test_a_task_that_can_t_be_loaded_is_found(made: Callable[..., Patient], name: str) -> None:
    patient = made()
    patient = patient._replace(config=Config(task=type(patient.config.task)(name=name)))
    assert_wrong(mesh.task(patient), name.partition(":")[0])


def test_a_bootstrap_that_nobody_answers_at_is_found(made: Callable[..., Patient]) -> None:
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        there.listen()
        somewhere = f"/ip4/127.0.0.1/tcp/{there.getsockname()[1]}"
        nowhere, somebody = mesh.peers(made(network__bootstrap=f"/ip4/127.0.0.1/tcp/1,{somewhere}"))
    assert_wrong(nowhere, "refused")
    assert somebody.verdict == "ok"


def test_a_running_device_is_asked(make_daemon: Callable[..., Daemon]) -> None:
    first = make_daemon(network__mdns="false", gossip__interval="0.3")
    first.start()
    where = first.address()
    nowhere = "/ip4/127.0.0.1/tcp/1"
    second = make_daemon(network__mdns="false", gossip__interval="0.3", network__bootstrap=f"{where},{nowhere}")
    second.start()
    second.wait_until(lambda status: status["merges"] > 0, "they merge")

    done = gossipfl("doctor", "--json", "--home", second.home.path)
    found = {row["name"]: row for row in json.loads(done.stdout)}
    assert done.returncode == Exit.FAILED
    assert [name for name, row in found.items() if row["verdict"] == "wrong"] == [f"bootstrap {nowhere}"]
    assert first.id in found[f"bootstrap {where}"]["text"]
    assert found["peers"]["text"] == "1 linked, of 1 known"
    assert f"process {second.pid}" in found["daemon"]["text"]
    assert "layout" in found["task"]["text"]

    done = gossipfl("doctor", "--home", first.home.path)
    assert done.returncode == Exit.OK, done.stdout
    assert "wrong" not in done.stdout


def test_a_broken_configuration_is_the_only_thing_that_is_told(home: Path) -> None:
    daemon = Daemon(home)
    daemon.home.config.write_text("[gossip]\nintervall = 1\n")
    done = gossipfl("doctor", "--home", home)
    assert done.returncode == Exit.FAILED
    assert "gossip.intervall" in done.stdout
    assert "→" in done.stdout
    assert len(done.stdout.splitlines()) == 2
