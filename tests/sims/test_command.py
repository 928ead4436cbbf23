"""The command `gossipfl sim`, through the front door: statuses, pure JSON, and errors that name what is wrong."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossipfl import cli
from gossipfl.cli import Exit
from gossipfl.model.served import Served
from gossipfl_sims.commands.sim import LEADING_UP, SHOWN
from gossipfl_sims.scenario.files import shipped

QUICK = ["--set", "task.name=quadratic", "--set", "faulty=15", "--set", "healed=5", "--set", "mean_accuracy=0",
         "--set", "worst_accuracy=0"]  # fmt: skip
CHAOS = ["chaos", "--set", "faulty=15", "--set", "healed=10", "--set", "expect.error=9"]
FAILING = ["chaos", "--set", "faulty=5", "--set", "healed=5", "--set", "expect.error=0"]

Sim = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sim(capfd: pytest.CaptureFixture[str]) -> Sim:
    """Call `gossipfl sim` with these arguments: status, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        status = cli.run(["sim", *arguments])
        out, err = capfd.readouterr()
        return status, out, err

    return call


def plant(patch: pytest.MonkeyPatch) -> None:
    """The served average takes in more than there is."""
    patch.setattr(Served, "add", lambda self, x, *_: self._own().__iadd__(np.float32(1.5) * (x - self.x)))


# --- list


def test_list_names_every_shipped_scenario(sim: Sim) -> None:
    status, out, err = sim("list")
    assert (status, err) == (Exit.OK, "")
    assert all(any(line.split()[0] == name for line in out.splitlines()) for name in shipped())
    assert len(out.splitlines()) == len(shipped()) + 1


def test_list_as_json(sim: Sim) -> None:
    status, out, err = sim("list", "--json")
    assert (status, err) == (Exit.OK, "")
    listed = json.loads(out)
    assert sorted(listed) == shipped()
    assert all(set(one) >= {"about", "nodes", "task"} for one in listed.values())


# --- run


def test_run_tells_what_came_of_it(sim: Sim) -> None:
    status, out, err = sim("run", *CHAOS)
    assert (status, err) == (Exit.OK, "")
    told = {line[:13].strip(): line[14:] for line in out.splitlines()}
    assert told["scenario"].startswith(f"{shlex.join(CHAOS)}, seed 0: ")
    assert told["nodes"] == "6, quadratic over k-out:k=3"
    assert told["virtual time"].startswith("25 s, ")
    assert len(told["trace hash"]) == 32
    assert "replay" not in told


@pytest.mark.parametrize("place", ["-", "file"])
def test_json_is_all_there_is_on_stdout_or_in_the_file(sim: Sim, place: str, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    status, out, err = sim("run", *CHAOS, "--seed", "4", "--json", "-" if place == "-" else str(file))
    assert (status, err) == (Exit.OK, "")
    text = out if place == "-" else file.read_text()
    result = json.loads(text, parse_constant=pytest.fail)
    assert (result["seed"], result["nodes"], result["virtual_seconds"]) == (4, 6, 25.0)
    assert not result["violations"]
    if place == "file":
        assert result["trace_hash"] in out


def test_the_same_command_says_the_same(sim: Sim) -> None:
    first, second, other = (sim("run", *CHAOS, "--seed", seed) for seed in ("1", "1", "2"))
    assert first == second
    assert first != other


def test_options_change_the_run(sim: Sim) -> None:
    _, out, _ = sim("run", "calm", *QUICK, "--nodes", "5", "--set", "loss=0.5", "--json", "-")
    result = json.loads(out)
    assert (result["nodes"], len(result["each"]), result["task"]) == (5, 5, "quadratic")
    assert result["faults_by_kind"]["lost frame"] > 100
    assert "--set nodes=5" in result["replay"]


def test_a_file_is_a_scenario_too(sim: Sim, tmp_path: Path) -> None:
    file = tmp_path / "my own.toml"
    file.write_text('nodes = 3\ntask.name = "consensus"\ntime = { faulty = 5, healed = 5 }\nexpect.error = 0\n')
    status, out, _ = sim("run", str(file), "--json", "-")
    assert status == Exit.FAILED
    result = json.loads(out)
    assert result["nodes"] == 3
    _, _, _, line = shlex.split(result["replay"])
    status, out, _ = sim("replay", line, "--json")
    assert status == Exit.FAILED
    assert json.loads(out) == result


def test_a_run_without_checks_is_the_same_run(sim: Sim) -> None:
    results = [json.loads(sim("run", *CHAOS, *more, "--json", "-")[1]) for more in ([], ["--no-checks"])]
    assert [result.pop("checked") for result in results] == [True, False]
    assert results[0] == results[1]


def test_what_was_expected_and_did_not_come_is_a_failure(sim: Sim) -> None:
    status, out, _ = sim("run", *FAILING)
    assert status == Exit.FAILED
    lines = out.splitlines()
    assert any(line.startswith("NOT MET       error is ") for line in lines)
    assert lines[-1] == f"replay        gossipfl sim replay '{shlex.join(FAILING)} --seed 0'"


def test_violations_are_told_and_a_failure(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    status, out, _ = sim("run", *CHAOS)
    assert status == Exit.FAILED
    lines = out.splitlines()
    assert sum(line.startswith("VIOLATION     the served model is between its inputs") for line in lines) == SHOWN
    assert any("in all" in line for line in lines)
    assert lines[-1].startswith("replay        gossipfl sim replay 'chaos ")


def test_a_report_is_written_where_asked_for(sim: Sim, tmp_path: Path) -> None:
    status, _, _ = sim("run", *CHAOS, "--html", str(tmp_path / "report.html"))
    assert status == Exit.OK
    assert "<html" in (tmp_path / "report.html").read_text().lower()


WRONG: list[tuple[list[str], str]] = [
    (["run", "chaoss"], "did you mean chaos?"),
    (["run", "nowhere.toml"], "scenario 'nowhere.toml': there is none of that name"),
    (["run", "calm", "--set", "los=0.1"], "--set los: there is no such key; did you mean loss?"),
    (["run", "calm", "--set", "loss"], "write KEY=VALUE"),
    (["run", "calm", "--set", "loss=much"], "network.loss: Expected `float`, got `str`"),
    (["run", "calm", "--nodes", "0"], "nodes: Expected `int` >= 1"),
    (["run", "churn", "--nodes", "10"], "faults[0].nodes: 24 nodes; there are 10"),
    (["run", "calm", "--seed", "-1"], "--seed -1: allowed is 0 or more"),
    (["run", "calm", "--set", "topology=rin"], "did you mean ring?"),
    (["run", "calm", "--set", "task.name=digit"], "did you mean 'digits'?"),
    (["run", "calm", "--json", "/no/such/folder/file.json"], "/no/such/folder/file.json: there is no such folder"),
    (["run", "calm", "--json", "/tmp"], "/tmp: it is a folder"),
    (["run", "calm", "--trace", "/tmp"], "/tmp: it is a folder"),
    (["run", "calm", "--html", "/tmp"], "/tmp: it is a folder"),
    (["replay", "chaoss --seed 3"], "did you mean chaos?"),
    (["replay", "chaos --seed -3"], "--seed -3: allowed is 0 or more"),
    (["diff", "no-such-trace", "nor-this"], "no-such-trace: there is no such trace"),
    (["compare", "no-such-result.json"], "no-such-result.json: can't be read"),
]


@pytest.mark.parametrize(("arguments", "told"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_what_is_wrong_is_told_on_stderr_in_a_line(sim: Sim, arguments: list[str], told: str) -> None:
    status, out, err = sim(*arguments)
    assert status not in (Exit.OK, Exit.USAGE)
    assert out == ""
    assert err.startswith("gossipfl sim: ")
    assert told in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["walk"], ["run"], ["run", "calm", "--nodes", "many"], ["run", "calm", "--sed", "1"], ["replay"],
        ["replay", ""], ["replay", "chaos --sed 1"], ["diff", "one"], ["list", "more"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_is_status_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.run(["sim", *arguments])
    assert stop.value.code == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: gossipfl sim" in err


# --- replay


def test_a_replay_is_the_run_again(sim: Sim) -> None:
    _, out, _ = sim("run", *FAILING, "--seed", "9", "--json", "-")
    result = json.loads(out)
    _, _, _, line = shlex.split(result["replay"])
    status, out, err = sim("replay", line, "--json")
    assert (status, err) == (Exit.FAILED, "")
    assert json.loads(out) == result


def test_a_replay_tells_what_led_up_to_the_first_violation(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    _, out, _ = sim("run", *CHAOS, "--seed", "1", "--json", "-")
    result = json.loads(out)
    first = result["violations"][0]
    status, out, err = sim("replay", shlex.split(result["replay"])[3])
    assert status == Exit.FAILED
    assert f"VIOLATION     {first['rule']}: " in out
    head, *events, rule = err.splitlines()
    assert head == f"what happened to {first['node']} before:"
    assert rule.strip() == f"{first['rule']}: {first['detail']}"
    assert 0 < len(events) <= LEADING_UP
    assert all(f" {first['node']}: " in line for line in events)
    times = [float(line.split()[0]) for line in events]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(first["time"], abs=1e-4)
    assert first["event"] in events[-1]


def test_a_replay_without_violations_tells_nothing_on_stderr(sim: Sim) -> None:
    status, out, err = sim("replay", f"{shlex.join(CHAOS)} --seed 1")
    assert (status, err) == (Exit.OK, "")
    assert "trace hash" in out


# --- diff and compare


def test_diff_finds_where_two_runs_part(sim: Sim, tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    for path, seed in ((one, "1"), (same, "1"), (other, "2")):
        assert sim("run", *CHAOS, "--seed", seed, "--trace", str(path))[0] == Exit.OK
    assert sim("diff", str(one), str(same)) == (Exit.OK, "the traces are equal\n", "")
    status, out, err = sim("diff", str(one), str(other))
    assert (status, err) == (Exit.FAILED, "")
    head, left, right = out.splitlines()
    number = int(head.removeprefix("first difference: event "))
    assert left == f"  {one}: {one.read_text().splitlines()[number - 1]}"
    assert right == f"  {other}: {other.read_text().splitlines()[number - 1]}"
    assert left.partition(": ")[2] != right.partition(": ")[2]


def test_a_trace_has_a_line_for_each_event(sim: Sim, tmp_path: Path) -> None:
    _, out, _ = sim("run", *CHAOS, "--trace", str(tmp_path / "trace"), "--json", "-")
    assert len((tmp_path / "trace").read_text().splitlines()) == json.loads(out)["events"]


def test_compare_lays_results_side_by_side(sim: Sim, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.json" for name in ("calm", "lossy")]
    results: list[dict[str, Any]] = []
    for path, loss in zip(paths, ("0", "0.4"), strict=True):
        sim("run", "calm", *QUICK, "--nodes", "4", "--set", f"loss={loss}", "--json", str(path))
        results.append(json.loads(path.read_text()))
    status, out, err = sim("compare", *map(str, paths))
    assert (status, err) == (Exit.OK, "")
    assert all(name in out.splitlines()[0] for name in ("calm", "lossy"))
    assert f"{results[1]['faults']}" in out


@pytest.mark.parametrize("content", ["", "[]", "{}", "\xff", '{"seed": 3}', "null"])
def test_compare_refuses_what_is_no_result(sim: Sim, content: str, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(content, encoding="latin-1")
    status, out, err = sim("compare", str(file))
    assert (status, out) == (Exit.FAILED, "")
    assert f"{file}: " in err


def test_help_names_every_action(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["run", "--help"], ["replay", "--help"]):
        with pytest.raises(SystemExit) as stop:
            cli.run(["sim", *arguments])
        assert stop.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert all(action in out for action in ("list", "run", "replay", "diff", "compare", "sweep", "fleet"))


def test_a_line_that_no_shell_would_take_is_told(sim: Sim) -> None:
    status, out, err = sim("replay", "calm --set 'x")
    assert (status, out) == (Exit.FAILED, "")
    assert "calm --set 'x" in err


def test_a_long_line_is_a_line_and_no_file_name(sim: Sim) -> None:
    line = "chaos --set expect.error=9 " + " ".join(f"--set healed={seconds}" for seconds in range(40, 10, -1))
    assert len(line) > 255
    assert sim("replay", line + " --set faulty=5")[0] == Exit.OK


def test_a_scenario_that_there_is_not_costs_no_trace(sim: Sim, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    assert sim("run", "chaoss", "--trace", str(tmp_path / "old"))[0] == Exit.FAILED
    assert (tmp_path / "old").read_text() == "old"
