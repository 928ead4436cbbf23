"""The demo as a user runs it: real daemons, a result, a report, and nothing left behind, however it ends."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import requests

from gossipfl.cli import Exit
from gossipfl_nodes.demo.gauges import children
from tests.nodes.support import clean_environment, end, gossipfl, runs, wait_for

KEYS = {
    "nodes", "mean_accuracy", "worst_accuracy", "local_only_accuracy", "central_accuracy", "seconds",
    "seconds_to_target", "seed", "task", "topology",
}  # fmt: skip
NODE_KEYS = {"id", "accuracy", "peers", "bytes_sent", "bytes_received", "merges", "restarts"}


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the demo puts its homes; short, for the sockets."""
    folder = Path("/tmp") / f"gfl-{os.getpid()}-{tmp_path.name[-6:]}"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def _remove(temporary: Path) -> Iterator[None]:
    yield
    import shutil

    shutil.rmtree(temporary, ignore_errors=True)


def descendants(pid: int) -> list[int]:
    """Daemons and training processes below a demo."""
    below = children(pid)
    return below + [deeper for child in below for deeper in children(child)]


class Page(HTMLParser):
    """What a page would load, and which elements it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action", "poster") and not (value or "").startswith("#"):
                self.loads.append(f"{tag} {name}={value}")
            if name == "style" and "url(http" in (value or ""):
                self.loads.append(f"{tag} {name}={value}")


def test_three_daemons_reach_a_target_and_the_result_and_the_report_tell_of_it(temporary: Path) -> None:
    result_file, report = temporary / "result.json", temporary / "report.html"
    shown = gossipfl(
        "demo", "--nodes", "3", "--seconds", "90", "--until", "0.8", "--seed", "5", "--json", result_file,
        "--html", report, "--set", "codec=int4+top-k:0.5", "--set", "momentum=quasi-global",
        seconds=150, TMPDIR=str(temporary),
    )  # fmt: skip
    assert shown.returncode == Exit.OK, shown.stderr
    assert "Traceback" not in shown.stderr

    result: dict[str, Any] = json.loads(result_file.read_text())
    assert set(result) >= KEYS
    nodes = result["nodes"]
    assert len(nodes) == 3
    assert len({node["id"] for node in nodes}) == 3
    for node in nodes:
        assert set(node) >= NODE_KEYS
        assert 0 <= node["accuracy"] <= 1
        assert (node["peers"], node["restarts"]) == (2, 0)
        assert node["merges"] > 0
        assert node["bytes_sent"] > 1000
        assert node["bytes_received"] > 1000
    accuracies = [node["accuracy"] for node in nodes]
    assert math.isclose(result["mean_accuracy"], sum(accuracies) / 3)
    assert result["worst_accuracy"] == min(accuracies)
    assert result["local_only_accuracy"] < result["mean_accuracy"] <= 1, "together they learn more than each alone"
    assert result["local_only_accuracy"] < result["central_accuracy"] <= 1
    assert 0 < result["seconds_to_target"] <= result["seconds"] < 90
    assert result["mean_accuracy"] >= 0.8
    assert (result["seed"], result["task"], result["topology"]) == (5, "digits", "k-out")
    sent, received = (sum(node[f"bytes_{way}"] for node in nodes) for way in ("sent", "received"))
    assert math.isclose(sent, received, rel_tol=0.2), "what one says another hears"

    for node in nodes:
        assert node["id"][-8:] in shown.stdout
    assert f"{result['mean_accuracy']:.3f}" in shown.stdout

    text = report.read_text()
    page = Page(text)
    assert {"svg", "table", "h1"} <= page.tags
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed"}
    assert page.loads == []
    assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", text)
    assert all(node["id"] in text for node in nodes)
    assert sorted(path.name for path in temporary.iterdir()) == ["report.html", "result.json"]


def test_a_killed_daemon_is_restarted_and_counted_and_a_given_home_is_kept(temporary: Path) -> None:
    kept = temporary / "homes"
    shown = gossipfl(
        "demo", "--nodes", "3", "--seconds", "40", "--kill", "1", "--json", temporary / "r.json", "--home", kept,
        seconds=120, TMPDIR=str(temporary),
    )  # fmt: skip
    assert shown.returncode == Exit.OK, shown.stderr
    nodes = json.loads((temporary / "r.json").read_text())["nodes"]
    assert sorted(node["restarts"] for node in nodes) == [0, 0, 1]
    (killed,) = (node for node in nodes if node["restarts"])
    assert killed["merges"] > 0
    assert killed["bytes_sent"] > 0
    assert sorted(path.name for path in kept.iterdir()) == ["node-0", "node-1", "node-2"]
    listened = sum((home / "log").read_text().count('"listening"') for home in kept.iterdir())
    assert listened == 4


def test_a_target_that_is_not_reached_is_a_failure(temporary: Path) -> None:
    shown = gossipfl(
        "demo", "--nodes", "2", "--seconds", "3", "--until", "1.0", "--json", temporary / "r.json", seconds=120
    )
    assert shown.returncode == Exit.FAILED, shown.stderr
    assert json.loads((temporary / "r.json").read_text())["seconds_to_target"] is None
    assert "not reached" in shown.stdout


def learning(address: str) -> int:
    """Of the devices that the page at `address` shows."""
    url, _, token = address.partition("#")
    assert "<title>gossipfl</title>" in requests.get(url, timeout=20).text
    assert requests.get(f"{url}v1/mesh", timeout=20).status_code == 401
    shown = requests.get(f"{url}v1/mesh", headers={"Authorization": f"Bearer {token}"}, timeout=20).json()
    return sum(device["status"] is not None and device["status"]["state"] == "learning" for device in shown["devices"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_leaves_no_process_and_no_folder_behind(
    temporary: Path, number: signal.Signals
) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "gossipfl", "demo", "--nodes", "3", "--seconds", "60", "--page"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(TMPDIR=str(temporary)),
    )
    try:
        wait_for(lambda: len(descendants(demo.pid)) >= 7, "daemons, training processes and the page's")
        assert list(temporary.iterdir())
        assert demo.stderr is not None
        (address,) = re.findall(r"^page: (http://127\.0\.0\.1:\d+/#[\w-]{43})$", demo.stderr.readline())
        wait_for(lambda: learning(address) == 3, "the page shows that three daemons learn")
        left = descendants(demo.pid)
        assert len(left) >= 7
        demo.send_signal(number)
        _, err = demo.communicate(timeout=30)
        assert demo.returncode == 128 + number, err
        assert "Traceback" not in err
        wait_for(lambda: not [pid for pid in left if runs(pid)], "all processes are gone")
        assert list(temporary.iterdir()) == []
    finally:
        left = descendants(demo.pid)
        end([demo])
        for pid in left:
            if runs(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("delay", [0.4, 0.8, 1.2])
def test_a_demo_that_is_interrupted_while_it_starts_leaves_nothing_behind_either(temporary: Path, delay: float) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "gossipfl", "demo", "--nodes", "4", "--seconds", "60"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(TMPDIR=str(temporary)),
    )
    try:
        time.sleep(delay)
        left = descendants(demo.pid)
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate(timeout=30)
        # Before the interpreter is up, the signal itself ends it; a shell says 130 of either.
        assert demo.returncode in (Exit.INTERRUPTED, -signal.SIGINT), err
        assert "Traceback" not in err
        wait_for(lambda: not [pid for pid in left if runs(pid)], "all processes are gone")
        assert list(temporary.iterdir()) == []
    finally:
        end([demo])


def test_a_demo_that_is_killed_without_a_word_leaves_no_daemon_running(temporary: Path) -> None:
    demo = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gossipfl",
            "demo",
            "--nodes",
            "2",
            "--seconds",
            "60",
            "--home",
            str(temporary / "homes"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
    )
    left: list[int] = []
    try:
        wait_for(lambda: len(descendants(demo.pid)) >= 4, "daemons and training processes")
        left = descendants(demo.pid)
        demo.kill()
        demo.wait()
        wait_for(lambda: not [pid for pid in left if runs(pid)], "all processes are gone", seconds=15)
    finally:
        end([demo])
        for pid in left:
            if runs(pid):
                os.kill(pid, signal.SIGKILL)


def test_homes_that_were_kept_can_be_used_again_by_the_same_devices(temporary: Path) -> None:
    kept, ids = temporary / "homes", []
    for _ in range(2):
        shown = gossipfl(
            "demo", "--nodes", "1", "--seconds", "1", "--home", kept, "--json", temporary / "r.json", seconds=60
        )
        assert shown.returncode == Exit.OK, shown.stderr
        ids.append(json.loads((temporary / "r.json").read_text())["nodes"][0]["id"])
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nodes", "0"], "--nodes 0: allowed is 1 to 64"),
        (["--nodes", "65"], "--nodes 65: allowed is 1 to 64"),
        (["--nodes", "many"], "--nodes"),
        (["--seconds", "0"], "--seconds 0.0: allowed is more than 0"),
        (["--seconds", "nan"], "--seconds nan: allowed is more than 0"),
        (["--until", "1.5"], "--until 1.5: allowed is more than 0, up to 1"),
        (["--until", "nan"], "--until nan: allowed is more than 0, up to 1"),
        (["--kill", "3", "--nodes", "3"], "--kill 3: allowed is 0 to one less than the nodes"),
        (["--kill", "-1"], "--kill -1: allowed is"),
        (["--seed", "-1"], "--seed -1: allowed is 0 or more"),
        (["--topology", "rnig"], "did you mean ring?"),
        (["--set", "codec=int9"], "codec = 'int9'"),
        (["--set", "codex=int8"], "--set codex: no such key; allowed is one of interval, "),
        (["--set", "mesh=mine"], "--set mesh: no such key; allowed is one of interval, "),
        (["--set", "interval=fast"], "interval"),
        (["--set", "budget=much"], "'50 MB/day'"),
    ],
)
def test_an_impossible_argument_is_refused_with_what_is_allowed(arguments: list[str], said: str) -> None:
    refused = gossipfl("demo", *arguments)
    assert (refused.returncode, refused.stdout) == (Exit.USAGE, "")
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_task_that_is_not_there_is_refused_before_anything_is_started(temporary: Path) -> None:
    refused = gossipfl("demo", "--task", "digit", TMPDIR=str(temporary))
    assert refused.returncode == Exit.FAILED
    assert "did you mean 'digits'?" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def make(node):\n    raise OSError('sensor is unplugged')\n", "sensor is unplugged"),
        ("def make(node)\n", "SyntaxError"),
        ("import no_such_module_anywhere\n", "no_such_module_anywhere"),
    ],
)
def test_a_task_that_fails_to_load_shows_its_reason(temporary: Path, source: str, reason: str) -> None:
    (temporary / "task.py").write_text(source)
    refused = gossipfl(
        "demo", "--nodes", "2", "--seconds", "20", "--task", f"{temporary / 'task.py'}:make",
        seconds=60, TMPDIR=str(temporary),
    )  # fmt: skip
    assert refused.returncode == Exit.FAILED
    assert reason in refused.stderr
    assert [path.name for path in temporary.iterdir() if path.name != "__pycache__"] == ["task.py"]


def test_a_task_given_by_a_relative_path_is_found_by_daemons_that_run_elsewhere(temporary: Path) -> None:
    (temporary / "mine.py").write_text("from gossipfl.tasks.digits import digits as make\n")
    shown = subprocess.run(
        [sys.executable, "-m", "gossipfl", "demo", "--nodes", "1", "--seconds", "2", "--task", "mine.py:make"],
        cwd=temporary,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert shown.returncode == Exit.OK, shown.stderr


def test_a_result_that_can_t_be_written_is_said_so(temporary: Path) -> None:
    refused = gossipfl("demo", "--nodes", "1", "--seconds", "1", "--json", temporary / "nowhere" / "r.json", seconds=60)
    assert refused.returncode == Exit.USAGE
    assert str(temporary / "nowhere" / "r.json") in refused.stderr
    assert "Traceback" not in refused.stderr
