"""What is built to be installed: it is whole, it runs far from a clone, and its version stands in one place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
ROOMS = ("gossipfl", "topology/gossipfl_topology", "nodes/gossipfl_nodes", "sims/gossipfl_sims")


def build(source: Path, into: Path) -> Path:
    """The folder with a wheel and an sdist of `source`."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "--directory", into], cwd=source, check=True)
    return into


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("built"))


def installed(wheel: str, home: Path, *options: str) -> Path:
    """The folder of commands of a new environment in `home`, into which pip has installed `wheel`."""
    venv.create(home / "venv")
    install = [
        "-m",
        "pip",
        "--python",
        str(home / "venv/bin/python"),
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([sys.executable, *install, *options, wheel], check=True)
    return home / "venv/bin"


def printed(commands: Path, *command: str) -> str:
    """What an installed command prints, far from any clone."""
    home = commands.parents[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOSSIPFL_", "PYTHON", "XDG_"))}
    ran = subprocess.run(
        [commands / command[0], *command[1:]], cwd=home, env={**kept, "HOME": str(home), "NO_COLOR": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def shipped() -> Iterator[str]:
    """Every file below the packages, as a wheel has it."""
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to((ROOT / room).parent))


def test_a_wheel_has_every_file_of_the_packages_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == set(shipped())
    assert wheel.name == f"gossipfl-{VERSION}-py3-none-any.whl"


def test_the_sdist_makes_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (again,) = build(tmp_path / f"gossipfl-{VERSION}", tmp_path / "again").glob("*.whl")
    (wheel,) = built.glob("*.whl")
    contents = [{entry.filename: entry.CRC for entry in zipfile.ZipFile(file).infolist()} for file in (wheel, again)]
    assert contents[0] == contents[1]


def test_an_installed_wheel_runs_and_finds_its_files(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    commands = installed(str(wheel), tmp_path, "--no-deps", "--no-index")
    (packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    # The dependencies of this environment; but not gossipfl, which a .pth file there puts on the path.
    (packages / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    where = printed(commands, "python", "-c", "import gossipfl_nodes.daemon.config as c; print(c.__file__)")
    assert Path(where.strip()).is_relative_to(packages)
    assert printed(commands, "gossipfl", "--version") == f"gossipfl {VERSION}\n"
    shown = json.loads(printed(commands, "gossipfl", "config", "show", "--json", "--origin", "--profile", "sensor"))
    assert "profile sensor" in {row["origin"] for row in shown.values()}
    scenarios = {path.stem for path in (ROOT / "sims/gossipfl_sims/scenarios").glob("*.toml")}
    assert scenarios <= set(json.loads(printed(commands, "gossipfl", "sim", "list", "--json")))
    assert json.loads(printed(commands, "gossipfl", "topology", "show", "village", "--json"))["nodes"] > 1
    assert "ExecStart=" in printed(commands, "gossipfl", "service", "show")


def test_no_package_writes_its_version_again() -> None:
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            assert f'"{VERSION}"' not in path.read_text(), path


@pytest.mark.package
def test_a_wheel_with_its_dependencies_learns_in_a_fresh_environment(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    commands = installed(f"{wheel}[demo]", tmp_path, "--constraint", str(ROOT / "constraints.txt"))
    printed(commands, "gossipfl", "demo", "--nodes", "2", "--seconds", "40", "--until", "0.8", "--json", "result.json")
    assert json.loads((tmp_path / "result.json").read_text())["mean_accuracy"] >= 0.8
