"""The container files, without an engine: what they name is there, and the scripts of compose.yaml make a mesh here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gossipfl.completion import parsers
from gossipfl_nodes.daemon.config import load
from tests.nodes.support import GENEROUS, LOOPBACK, clean_environment, end, gossipfl, wait_for

ROOT = Path(__file__).parents[3]
CONTAINERFILE = ROOT / "nodes" / "deploy" / "Containerfile"
COMPOSE = ROOT / "nodes" / "deploy" / "compose.yaml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NODES = ("node-1", "node-2", "node-3")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


def instructions(name: str) -> list[str]:
    """What stands behind `name` in the Containerfile, with continued lines in one."""
    text = CONTAINERFILE.read_text().replace("\\\n", " ")
    return re.findall(rf"(?m)^{name} +(.*)$", text)


def script(service: dict[str, Any]) -> str:
    """What a service's shell is told, as compose hands it over."""
    (text,) = service["command"]
    assert "$" not in text.replace("$$", ""), "compose would put in something of its own"
    return str(text.replace("$$", "$"))


# --- the image


def test_the_image_comes_from_one_place_and_is_made_of_what_is_here() -> None:
    assert {text.partition(" AS ")[0] for text in instructions("FROM")} == {"docker.io/library/python:3.11-slim"}
    copied = [source for text in instructions("COPY") if "--from" not in text for source in text.split()[:-1]]
    assert copied
    assert all((ROOT / source).exists() for source in copied)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {package.partition("/")[0] for package in build["packages"]} <= set(copied)
    assert {PROJECT["readme"], *PROJECT["license-files"]} <= set(copied)
    (extras,) = re.findall(r"'\.\[(.*)\]'", CONTAINERFILE.read_text())
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


def test_the_image_runs_a_daemon_as_a_user_of_its_own() -> None:
    (entrypoint,), (arguments,) = instructions("ENTRYPOINT"), instructions("CMD")
    assert [*json.loads(entrypoint), *json.loads(arguments)] == ["gossipfl", "run"]
    assert "gossipfl" in PROJECT["scripts"]
    (user,) = instructions("USER")
    assert any(f"useradd --system --uid 10001 --no-create-home {user} " in text for text in instructions("RUN"))
    (volume,) = instructions("VOLUME")
    assert f"GOSSIPFL_HOME={volume} " in " ".join(instructions("ENV"))
    (port,) = instructions("EXPOSE")
    assert load(Path("/nonexistent"), {}, {}).config.network.listen == (f"/ip4/0.0.0.0/tcp/{port}",)
    (health,) = instructions("HEALTHCHECK")
    assert json.loads(health.partition("CMD ")[2]) == ["gossipfl", "status", "--json"]


# --- the mesh


def test_what_compose_names_is_there(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {*NODES, "tickets"}
    for name, service in services.items():
        context = (COMPOSE.parent / service["build"]["context"]).resolve()
        assert context == ROOT
        assert context / service["build"]["dockerfile"] == CONTAINERFILE
        assert set(service.get("depends_on", {})) <= set(services), name
        for mount in service["volumes"]:
            volume, where = mount.split(":")[:2]
            assert volume in compose["volumes"], name
            assert where in CONTAINERFILE.read_text(), name
    assert services["tickets"]["depends_on"]["node-1"] == {"condition": "service_healthy"}
    assert services["node-1"]["healthcheck"]["test"] == ["CMD", "gossipfl", "status", "--json"]


def test_every_command_and_variable_of_compose_is_one_of_gossipfl(compose: dict[str, Any]) -> None:
    known = parsers()
    called = set()
    for name, service in compose["services"].items():
        for line in re.findall(r"\bgossipfl ([^;<>|&\n]+)", script(service)):
            command, *arguments = line.split()
            known[command].parse_args(arguments)
            called.add(command)
        environment = {key: value for key, value in service.get("environment", {}).items() if key != "NODE"}
        loaded = load(Path("/nonexistent"), environment, {})
        if name in NODES:
            assert loaded.config.task.count == len(NODES)
            assert f"node-{loaded.config.task.index + 1}" == name
    assert called == {"init", "run", "invite", "join"}


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[Any]]]:
    processes: list[subprocess.Popen[Any]] = []
    yield processes
    end(processes)


def test_the_scripts_of_compose_make_a_mesh(
    compose: dict[str, Any], home: Path, started: list[subprocess.Popen[Any]]
) -> None:
    (home / "bin").mkdir()
    (home / "tickets").mkdir()
    shim = home / "bin" / "gossipfl"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m gossipfl "$@"\n')
    shim.chmod(0o755)

    def start(name: str, of: str) -> subprocess.Popen[Any]:
        """One service, as a process here: another place for tickets, and addresses of this machine."""
        service = compose["services"][name]
        environment = service.get("environment", {}) | {"GOSSIPFL_HOME": str(home / of)}
        environment |= {"GOSSIPFL_NETWORK_LISTEN": LOOPBACK, "GOSSIPFL_NETWORK_MDNS": "false"}
        if "GOSSIPFL_NETWORK_BOOTSTRAP" in environment:
            assert environment["GOSSIPFL_NETWORK_BOOTSTRAP"] == "/dns4/node-1/tcp/9444"
            environment["GOSSIPFL_NETWORK_BOOTSTRAP"] = status("node-1")["addresses"][0]
        path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
        text = script(service).replace("/tickets", str(home / "tickets"))
        process = subprocess.Popen([*service["entrypoint"], text], env=clean_environment(PATH=path, **environment))
        started.append(process)
        return process

    def status(name: str) -> dict[str, Any]:
        found = gossipfl("status", "--json", "--home", home / name)
        return json.loads(found.stdout) if found.returncode == 0 else {}

    start("node-1", "node-1")
    wait_for(lambda: status("node-1"), "node-1 is healthy")
    assert start("tickets", "node-1").wait(GENEROUS) == 0
    made = {file.name: file.read_text() for file in (home / "tickets").iterdir()}
    assert set(made) == {"node-2", "node-3"}
    assert start("tickets", "node-1").wait(GENEROUS) == 0
    assert {file.name: file.read_text() for file in (home / "tickets").iterdir()} == made
    for name in ("node-2", "node-3"):
        start(name, name)
    for name in NODES:
        wait_for(lambda name=name: status(name).get("peers") == 2, f"{name} is linked with both others")  # type: ignore[misc]
    # A second start finds its device, and needs no ticket any more.
    started[-1].terminate()
    assert started[-1].wait(GENEROUS) == 0
    (home / "tickets" / "node-3").unlink()
    start("node-3", "node-3")
    wait_for(lambda: status("node-3").get("peers") == 2, "node-3 is back")
