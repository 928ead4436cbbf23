"""The unit: systemd accepts it in all its forms, and the command writes it to where it belongs, with care."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl_nodes.doctor.device import FILES
from gossipfl_nodes.service import command, unit
from tests.nodes.support import gossipfl

FORMS: dict[str, Callable[[Path], str]] = {
    "state directory": lambda _: unit.for_system(None, ""),
    "home": lambda home: unit.for_system(home, home.owner()),
    "user": unit.for_user,
}
ODD = 'a "quoted" $HOME %h 100% \\n üß'
"""A folder's name in which everything means something to systemd."""


def settings(text: str) -> dict[str, str]:
    """Of a unit without lists over several lines."""
    return dict(re.findall(r"(?m)^(\w+)=(.*)$", text))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, of the package systemd")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("folder", ["home", ODD])
def test_systemd_accepts_the_unit(form: str, folder: str, tmp_path: Path) -> None:
    home = tmp_path / folder
    home.mkdir()
    file = tmp_path / unit.NAME
    file.write_text(FORMS[form](home))
    manager = ["--user"] if form == "user" else []
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_LOG_LEVEL": "warning"}
    checked = subprocess.run(
        ["systemd-analyze", *manager, "--man=no", "--recursive-errors=no", "verify", str(file)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (checked.returncode, checked.stderr) == (0, "")
    file.write_text(file.read_text().replace("Type=notify", "Typ=notify"))
    wrong = subprocess.run(
        ["systemd-analyze", *manager, "--man=no", "verify", str(file)], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "Typ" in wrong.stderr, "this check would see nothing"


def test_what_is_deployed_by_hand_is_what_is_shipped() -> None:
    deployed = Path(__file__).parents[3] / "nodes" / "deploy" / unit.NAME
    assert deployed.resolve() == unit.SHIPPED
    shipped = settings(unit.SHIPPED.read_text())
    assert shipped == settings(unit.for_system(None, "")) | {"ExecStart": shipped["ExecStart"]}
    assert shipped["ExecStart"].endswith(" -P -m gossipfl run")
    assert int(shipped["LimitNOFILE"]) >= FILES
    assert "MemoryDenyWriteExecute" not in shipped
    codes = {Exit.USAGE, Exit.NOT_READY, Exit.BAD_CONFIG}
    assert set(map(int, shipped["RestartPreventExitStatus"].split())) == codes
    assert set(shipped) >= unit.SYSTEM_ONLY


def test_every_setting_of_the_sandbox_has_a_reason_above_it() -> None:
    for block in unit.SHIPPED.read_text().partition("[Service]")[2].partition("[Install]")[0].split("\n\n"):
        assert not block.strip() or block.strip().startswith("# ") or "ExecStart" in block


def test_a_home_of_one_s_own_is_run_by_its_owner(home: Path) -> None:
    found = settings(unit.for_system(home, "ada"))
    assert (found["User"], found["ReadWritePaths"]) == ("ada", str(home))
    assert found["ExecStart"] == f"{sys.executable} -P -m gossipfl run --home {home}"
    assert not {"DynamicUser", "StateDirectory", "StateDirectoryMode"} & set(found)


def test_a_user_s_unit_needs_nothing_that_only_the_system_may(home: Path) -> None:
    text = unit.for_user(home)
    found = settings(text)
    assert not unit.SYSTEM_ONLY & set(found)
    assert found["WantedBy"] == "default.target"
    assert {"NoNewPrivileges", "SystemCallFilter", "WatchdogSec"} <= set(found)
    assert "\n\n\n" not in text


def test_a_path_means_nothing_to_systemd(home: Path) -> None:
    found = settings(unit.for_system(home / ODD, "ada"))
    assert found["ReadWritePaths"] == f'"{home}/a \\"quoted\\" $HOME %%h 100%% \\\\n üß"'
    assert found["ExecStart"].endswith(f'--home "{home}/a \\"quoted\\" $$HOME %%h 100%% \\\\n üß"')
    with pytest.raises(LocalError, match="control characters"):
        unit.for_user(home / "two\nlines")


# --- the command


def test_show_prints_the_unit(home: Path) -> None:
    shown = gossipfl("service", "show")
    assert (shown.returncode, shown.stderr) == (Exit.OK, "")
    assert settings(shown.stdout)["ExecStart"].endswith(" -P -m gossipfl run")
    theirs = gossipfl("service", "show", "--user", "--json", "--home", home)
    assert json.loads(theirs.stdout) == {"unit": unit.for_user(home)}
    default = gossipfl("service", "show", "--user", XDG_DATA_HOME=str(home))
    assert settings(default.stdout)["ExecStart"].endswith(f"--home {home / 'gossipfl'}")


def test_install_writes_the_user_s_unit_and_says_what_comes_next(home: Path) -> None:
    environment: dict[str, Any] = {"XDG_CONFIG_HOME": str(home / "config"), "XDG_DATA_HOME": str(home / "data")}
    path = home / "config" / "systemd" / "user" / "gossipfl.service"
    made = gossipfl("service", "install", "--user", **environment)
    assert (made.returncode, made.stderr) == (Exit.OK, "")
    assert path.read_text() == gossipfl("service", "show", "--user", **environment).stdout
    assert re.search(r"(?m)^next: gossipfl init ", made.stdout)
    assert "systemctl --user daemon-reload && systemctl --user enable --now gossipfl" in made.stdout
    gossipfl("init", **environment)
    again = json.loads(gossipfl("service", "install", "--user", "--json", **environment).stdout)
    assert again["path"] == str(path)
    assert again["next"][0].startswith("systemctl --user ")


def test_install_keeps_a_unit_that_is_another_one_without_force(home: Path) -> None:
    environment: dict[str, Any] = {"XDG_CONFIG_HOME": str(home)}
    path = home / "systemd" / "user" / "gossipfl.service"
    gossipfl("service", "install", "--user", **environment)
    path.write_text(path.read_text() + "# edited\n")
    refused = gossipfl("service", "install", "--user", **environment)
    assert (refused.returncode, refused.stdout) == (Exit.CANNOT_CREATE, "")
    assert str(path) in refused.stderr
    assert "--force" in refused.stderr
    assert path.read_text().endswith("# edited\n")
    assert gossipfl("service", "install", "--user", "--force", **environment).returncode == Exit.OK
    assert not path.read_text().endswith("# edited\n")


def test_install_for_the_system_writes_where_its_units_are(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SYSTEM", home / "system")
    monkeypatch.setattr(command, "STATE", home / "state")
    assert command.service(["install"]) == Exit.OK
    assert (home / "system" / unit.NAME).read_text() == unit.for_system(None, "")
    said = capsys.readouterr().out
    assert f"next: gossipfl init --home {home / 'state'} " in said
    assert "then: systemctl daemon-reload && systemctl enable --now gossipfl" in said


def test_install_warns_of_a_python_that_the_service_s_user_can_t_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SYSTEM", home / "system")
    home.chmod(0o755)
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    (closed / "python").touch()
    (home / "python").symlink_to(closed / "python")
    monkeypatch.setattr(sys, "executable", str(home / "python"))
    assert command.service(["install"]) == Exit.OK
    assert f"{closed}: others can't enter it" in capsys.readouterr().err
    closed.chmod(0o755)
    assert command.service(["install"]) == Exit.OK
    assert capsys.readouterr().err == ""


def test_a_home_that_is_not_there_is_refused_with_what_makes_it(home: Path) -> None:
    refused = gossipfl("service", "show", "--home", home / "none")
    assert refused.returncode == Exit.FAILED
    assert f"gossipfl init --home {home / 'none'}" in refused.stderr
