"""The command line as people and scripts meet it: real processes, exit statuses, data on stdout, talk on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import pytest

from gossipfl.cli import Exit, spoken
from tests.nodes.support import GENEROUS, Daemon, clean_environment, end, gossipfl, runs, wait_for

COMMANDS = {"demo", "init", "run", "stop", "status", "peers", "id", "config"}


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are gone afterwards."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    end(processes)


def start_run(started: list[subprocess.Popen[str]], home: Path, *arguments: str) -> subprocess.Popen[str]:
    """`gossipfl run`, in the background."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gossipfl", "run", "--home", str(home), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    started.append(process)
    return process


def one_line(text: str) -> str:
    """`text`, which must be a single line and no traceback."""
    assert "Traceback" not in text, text
    (line,) = text.strip().splitlines()
    return line


# --- the front door


def test_help_lists_every_command_with_a_summary_on_stdout() -> None:
    shown = gossipfl("--help")
    assert (shown.returncode, shown.stderr) == (Exit.OK, "")
    listed = dict(re.findall(r"(?m)^  ([a-z-]+(?: [a-z]+)?) {2,}(\S.+)$", shown.stdout))
    installed = {spoken(point) for point in distribution("gossipfl").entry_points.select(group="gossipfl.commands")}
    assert set(listed) == installed
    assert set(listed) >= COMMANDS
    assert all(summary.endswith((".", ").")) for summary in listed.values())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["frobnicate"], []])
def test_the_front_door_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    tripwire = "raise SystemExit(f'{__name__} was imported')\n"
    for heavy in ("trio", "libp2p", "numpy", "msgspec", "rich", "torch", "starlette", "matplotlib"):
        (tmp_path / f"{heavy}.py").write_text(tripwire)
    shown = gossipfl(*arguments, PYTHONPATH=str(tmp_path))
    assert "was imported" not in shown.stderr + shown.stdout
    control = subprocess.run(
        [sys.executable, "-c", "import numpy"],
        env=clean_environment(PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "numpy was imported" in control.stderr, "the tripwires don't work"


def test_no_command_at_all_shows_the_help_and_is_a_usage_error() -> None:
    shown = gossipfl()
    assert shown.returncode == Exit.USAGE
    assert "usage: gossipfl COMMAND" in shown.stdout


def test_the_version_is_that_of_the_distribution() -> None:
    shown = gossipfl("--version")
    assert (shown.returncode, shown.stdout) == (Exit.OK, f"gossipfl {version('gossipfl')}\n")


@pytest.mark.parametrize(("wrong", "meant"), [("statsu", "status"), ("demmo", "demo"), ("peer", "peers")])
def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(wrong: str, meant: str) -> None:
    shown = gossipfl(wrong)
    assert (shown.returncode, shown.stdout) == (Exit.USAGE, "")
    assert f"{wrong!r}; did you mean {meant}?" in one_line(shown.stderr)


def test_a_command_unlike_any_other_is_answered_with_all_that_there_are() -> None:
    shown = gossipfl("frobnicate")
    assert shown.returncode == Exit.USAGE
    assert all(command in one_line(shown.stderr) for command in COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    shown = gossipfl(command, "--help")
    assert (shown.returncode, shown.stderr) == (Exit.OK, "")
    assert f"usage: gossipfl {command}" in shown.stdout
    assert "--home" in shown.stdout
    wrong = gossipfl(command, "--frobnicate")
    assert (wrong.returncode, wrong.stdout) == (Exit.USAGE, "")
    assert "--frobnicate" in wrong.stderr or "required" in wrong.stderr


def test_a_reader_that_stops_reading_is_no_error(home: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as nobody_reads:
        shown = subprocess.run(
            [sys.executable, "-u", "-m", "gossipfl", "config", "show", "--home", str(home)],
            stdout=nobody_reads,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=clean_environment(),
        )
    assert (shown.returncode, shown.stderr) == (Exit.OK, "")


# --- a device's life


def test_a_device_s_life_from_init_to_stop(home: Path, started: list[subprocess.Popen[str]]) -> None:
    made = gossipfl("init", "--json", "--home", home, "--network.listen", "/ip4/127.0.0.1/tcp/0")
    assert (made.returncode, made.stderr) == (Exit.OK, "")
    identity = json.loads(made.stdout)["id"]
    assert stat.S_IMODE((home / "identity.key").stat().st_mode) == 0o600

    shown = gossipfl("id", "--home", home)
    assert (shown.returncode, shown.stdout, shown.stderr) == (Exit.OK, f"{identity}\n", "")

    process = start_run(started, home, "--gossip.interval", "0.2")
    wait_for(lambda: gossipfl("status", "--home", home).returncode == Exit.OK, "status answers")

    def learning() -> dict[str, Any] | None:
        shown = gossipfl("status", "--json", "--home", home)
        assert (shown.returncode, shown.stderr) == (Exit.OK, "")
        found: dict[str, Any] = json.loads(shown.stdout)
        return found if found["state"] == "learning" and "accuracy" in found["metrics"] else None

    status = wait_for(learning, "it learns")
    assert (status["id"], status["pid"], status["task"]) == (identity, process.pid, "digits")

    text = gossipfl("status", "--home", home)
    assert (text.returncode, text.stderr) == (Exit.OK, "")
    assert set(status) == {line.split()[0] for line in text.stdout.splitlines()}

    peers = gossipfl("peers", "--json", "--home", home)
    assert (peers.returncode, json.loads(peers.stdout), peers.stderr) == (Exit.OK, [], "")
    assert gossipfl("peers", "--home", home).returncode == Exit.OK

    running = json.loads(gossipfl("id", "--json", "--home", home).stdout)
    assert running["id"] == identity
    assert re.fullmatch(rf"/ip4/127\.0\.0\.1/tcp/[1-9]\d*/p2p/{identity}", running["addresses"][0])
    assert gossipfl("id", "--home", home).stdout.splitlines() == [identity, *running["addresses"]]

    stopped = gossipfl("stop", "--json", "--home", home)
    assert (stopped.returncode, stopped.stderr) == (Exit.OK, "")
    assert json.loads(stopped.stdout) == {"stopped": True, "pid": process.pid}
    out, err = process.communicate(timeout=GENEROUS)
    assert (process.returncode, out) == (Exit.OK, ""), err
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert events[0] == "listening"
    assert events[-1] == "stopped"
    assert not (home / "run" / "control.sock").exists()


def test_init_sets_what_it_is_given_and_never_overwrites(home: Path) -> None:
    first = gossipfl("init", "--home", home, "--gossip.topology", "k-out:k=7")
    assert first.returncode == Exit.OK
    assert f"gossipfl run --home {home}" in first.stdout
    before = {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}
    again = gossipfl("init", "--home", home)
    assert again.returncode == Exit.CANNOT_CREATE
    assert str(home / "config.toml") in one_line(again.stderr)
    assert before == {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}


def test_init_keeps_a_key_that_is_there_already(home: Path) -> None:
    first = json.loads(gossipfl("init", "--json", "--home", home).stdout)
    (home / "config.toml").unlink()
    again = json.loads(gossipfl("init", "--json", "--home", home).stdout)
    assert again == first


def test_init_with_an_impossible_value_makes_nothing(home: Path) -> None:
    refused = gossipfl("init", "--home", home / "device", "--gossip.topology", "k-out:k=99")
    assert refused.returncode == Exit.BAD_CONFIG
    assert "gossip.topology" in one_line(refused.stderr)
    assert not (home / "device").exists()


def test_config_show_tells_values_and_origins(home: Path) -> None:
    gossipfl("init", "--home", home, "--gossip.topology", "k-out:k=7")
    shown = gossipfl(
        "config", "show", "--origin", "--json", "--home", home, "--gossip.steps", "9", GOSSIPFL_GOSSIP_INTERVAL="2"
    )
    rows = json.loads(shown.stdout)
    assert rows["gossip.topology"] == {"value": "k-out:k=7", "origin": str(home / "config.toml")}
    assert rows["gossip.interval"] == {"value": 2.0, "origin": "GOSSIPFL_GOSSIP_INTERVAL"}
    assert rows["gossip.steps"] == {"value": 9, "origin": "--gossip.steps"}
    assert rows["gossip.role"] == {"value": "", "origin": "default"}
    text = gossipfl("config", "show", "--origin", "--home", home)
    assert f"# {home / 'config.toml'}" in text.stdout
    plain = json.loads(gossipfl("config", "show", "--json", "--home", home).stdout)
    assert plain["gossip.topology"] == "k-out:k=7"


def test_a_profile_of_init_is_what_config_show_tells(home: Path) -> None:
    assert gossipfl("init", "--home", home, "--profile", "sensor").returncode == Exit.OK
    text = gossipfl("config", "show", "--origin", "--home", home).stdout
    assert re.search(r"(?m)^profile +.*sensor +# .*config\.toml$", text)
    assert re.search(r"(?m)^gossip\.interval .*# profile sensor$", text)
    refused = gossipfl("init", "--home", home / "other", "--profile", "senser")
    assert refused.returncode == Exit.BAD_CONFIG
    assert one_line(refused.stderr).endswith("did you mean sensor?")
    assert not (home / "other").exists()


# --- what goes wrong


def test_run_without_a_device_says_how_to_make_one(home: Path) -> None:
    refused = gossipfl("run", "--home", home / "device")
    assert refused.returncode == Exit.NOT_READY
    assert "gossipfl init" in one_line(refused.stderr)


@pytest.mark.parametrize("command", ["stop", "status", "peers"])
def test_without_a_daemon_a_command_says_how_to_start_one(home: Path, command: str) -> None:
    refused = gossipfl(command, "--home", home)
    assert (refused.returncode, refused.stdout) == (Exit.NOT_RUNNING, "")
    assert "gossipfl run" in one_line(refused.stderr)
    assert str(home) in refused.stderr


def test_id_without_a_key_says_how_to_make_one(home: Path) -> None:
    refused = gossipfl("id", "--home", home)
    assert refused.returncode not in (Exit.OK, Exit.USAGE)
    assert "gossipfl init" in one_line(refused.stderr)


def test_a_second_run_in_the_same_home_names_the_process_of_the_first(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    daemon.start()
    daemon.address()
    refused = gossipfl("run", "--home", daemon.home.path)
    assert refused.returncode not in (Exit.OK, Exit.USAGE)
    assert f"process {daemon.pid} " in one_line(refused.stderr)
    assert daemon.status()["pid"] == daemon.pid


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--gossip.interval", "soon"], ["gossip.interval", "'soon'"]),
        (["--network.listen", "127.0.0.1:9444"], ["network.listen", "'127.0.0.1:9444'", "/ip4/"]),
        (["--network.bootstrap", "192.0.2.7:9444"], ["network.bootstrap", "'192.0.2.7:9444'", "/ip4/"]),
        (["--network.announce", "me.example:9444"], ["network.announce", "'me.example:9444'", "/ip4/"]),
        (["--network.bootstrap", "/ip4/192.0.2.7/tcp/1/p2p/nobody"], ["network.bootstrap", "nobody"]),
        (["--network.bootstrap", "nonsense/p2p/12D3KooWEwasxsUcPzd93Ydiwgxm7V3Th8RUVJ52twC38MKm1YmZ"], ["nonsense"]),
        (["--task.name", "digit"], ["'digit'", "digits"]),
        (["--task.name", "npz", "--task.data", "/nowhere.npz"], ["/nowhere.npz"]),
        (["--task.index", "8", "--task.count", "8"], ["task.index", "8"]),
    ],
)
def test_run_with_an_impossible_setting_ends_with_one_line_that_names_it(
    home: Path, started: list[subprocess.Popen[str]], arguments: list[str], named: list[str]
) -> None:
    gossipfl("init", "--home", home, "--network.listen", "/ip4/127.0.0.1/tcp/0")
    process = start_run(started, home, *arguments)
    _, err = process.communicate(timeout=15)
    assert process.returncode not in (Exit.OK, Exit.USAGE)
    line = one_line(err)
    assert all(name in line for name in named), line


def test_run_with_a_broken_file_names_the_file_and_the_line(home: Path) -> None:
    gossipfl("init", "--home", home)
    (home / "config.toml").write_text("[gossip]\ninterval = = 1\n")
    refused = gossipfl("run", "--home", home)
    assert refused.returncode not in (Exit.OK, Exit.USAGE)
    line = one_line(refused.stderr)
    assert str(home / "config.toml") in line
    assert "line 2" in line


@pytest.mark.parametrize(("mode", "content"), [(0o644, None), (0o600, b"garbage")])
def test_run_with_an_unusable_key_names_its_file(home: Path, mode: int, content: bytes | None) -> None:
    gossipfl("init", "--home", home)
    if content is not None:
        (home / "identity.key").write_bytes(content)
    (home / "identity.key").chmod(mode)
    refused = gossipfl("run", "--home", home)
    assert refused.returncode not in (Exit.OK, Exit.USAGE)
    assert str(home / "identity.key") in one_line(refused.stderr)


def test_run_on_a_taken_port_names_the_key_and_the_address(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        gossipfl("init", "--home", home)
        refused = gossipfl("run", "--home", home, "--network.listen", listen)
    assert refused.returncode not in (Exit.OK, Exit.USAGE)
    line = one_line(refused.stderr)
    assert "network.listen" in line
    assert listen in line


def test_run_in_a_home_too_long_for_a_socket_says_so(home: Path) -> None:
    deep = home / ("x" * 110)
    gossipfl("init", "--home", deep, "--network.listen", "/ip4/127.0.0.1/tcp/0")
    refused = gossipfl("run", "--home", deep)
    assert refused.returncode not in (Exit.OK, Exit.USAGE)
    assert "--home" in one_line(refused.stderr)


def test_run_with_garbage_for_an_incarnation_names_the_file(home: Path) -> None:
    gossipfl("init", "--home", home)
    (home / "incarnation").write_text("garbage")
    refused = gossipfl("run", "--home", home)
    assert refused.returncode not in (Exit.OK, Exit.USAGE)
    assert str(home / "incarnation") in one_line(refused.stderr)


# --- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_running_daemon_gracefully_with_its_training_process(
    make_daemon: Callable[..., Daemon], number: signal.Signals
) -> None:
    daemon = make_daemon()
    daemon.start()
    daemon.wait_until(lambda status: status["steps"] > 0, "training")
    workers = daemon.workers()
    assert len(workers) == 1
    assert daemon.process is not None
    daemon.process.send_signal(number)
    assert daemon.process.wait(10) == Exit.OK, daemon.log()
    assert daemon.events("stopped")
    assert "Traceback" not in daemon.log()
    wait_for(lambda: not any(map(runs, workers)), "the training process is gone")
    assert not daemon.home.socket.exists()


def test_a_task_in_the_midst_of_a_long_training_does_not_hold_up_the_end(
    home: Path, make_daemon: Callable[..., Daemon]
) -> None:
    (home / "slow.py").write_text(
        "import time\n"
        "from gossipfl.tasks.digits import digits\n"
        "def make(node):\n"
        "    task = digits(node)\n"
        "    task.train = lambda *_: time.sleep(3600)\n"
        "    return task\n"
    )
    daemon = make_daemon(task__name=f"{home / 'slow.py'}:make")
    daemon.start()
    daemon.wait_until(lambda status: status["state"] == "learning", "training has begun")
    (worker,) = daemon.workers()
    assert daemon.process is not None
    daemon.process.terminate()
    assert daemon.process.wait(15) == Exit.OK, daemon.log()
    wait_for(lambda: not runs(worker), "the training process is gone")


def test_ctrl_c_before_the_front_door_is_there_ends_it_without_a_traceback() -> None:
    program = """
import os, runpy, signal, sys

class Interrupts:
    def find_spec(self, name, *_):
        if name == "gossipfl.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
sys.argv[1:] = ["--version"]
runpy.run_module("gossipfl", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("delay", [0.3, 0.7, 1.1])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_daemon_starts_ends_it_without_a_traceback_or_a_left_over(
    make_daemon: Callable[..., Daemon], number: signal.Signals, delay: float
) -> None:
    daemon = make_daemon()
    daemon.start()
    time.sleep(delay)
    with contextlib.suppress(OSError):
        workers = daemon.workers()
    assert daemon.process is not None
    daemon.process.send_signal(number)
    assert daemon.process.wait(15) in (Exit.OK, 128 + number, -number), daemon.log()
    assert "Traceback" not in daemon.log(), daemon.log()
    wait_for(lambda: not any(map(runs, workers)), "the training process is gone")
