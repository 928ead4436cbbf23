"""Predictions of running daemons: right, bounded, and of a model that is named."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossipfl.cli import Exit
from gossipfl.tasks.digits import HELD_OUT, digits
from gossipfl.tasks.task import Node
from gossipfl_nodes.commands import client
from gossipfl_nodes.control.predicting import WAITING
from gossipfl_nodes.disk.store import Store
from gossipfl_nodes.serving.batches import MAX_VALUES, ROWS
from tests.nodes.support import Daemon, clean_environment, gossipfl, settle, wait_for

IMAGES = np.random.default_rng(0).random((ROWS + 3, 64)).astype(np.float32)


def ask(daemon: Daemon, inputs: Any) -> Any:
    return client.post(daemon.home, "/v1/predict", {"inputs": inputs}, timeout=60)


def test_a_prediction_is_that_of_the_served_model(make_daemon: Callable[..., Daemon]) -> None:
    """Training rests and nobody is there, so that what is served comes to rest too, and is on disk in the end."""
    daemon = make_daemon(network__mdns="false", gossip__interval="0.05", gossip__momentum="none")
    daemon.start()
    daemon.wait_until(lambda status: status["steps"] > 0, "it learns")
    settle(daemon)
    answer = ask(daemon, IMAGES.tolist())
    version = client.get(daemon.home, "/v1/model")["version"]
    assert daemon.stop() == 0
    task = digits(Node())
    saved = Store(daemon.home.state, "gossipfl", "digits", task.schema).load()
    assert saved is not None
    expected = task.predict(saved.model.served, IMAGES)
    assert np.allclose(answer["outputs"], expected, atol=1e-6)
    assert answer["version"] == version


def test_the_model_is_named_and_a_later_one_is_another(pair: tuple[Daemon, Daemon]) -> None:
    here, _ = pair
    first = ask(here, IMAGES[:2].tolist())
    assert np.array(first["outputs"]).shape == (2, 10)
    assert first["version"]["incarnation"] == here.status()["incarnation"]
    wait_for(lambda: ask(here, IMAGES[:2].tolist())["version"]["seq"] > first["version"]["seq"], "a later version")


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([], "not numbers only"),
        ([[]], "not numbers only"),
        ([["1"]], "not numbers only"),
        ([[None]], "not numbers only"),
        ([[True]], "not numbers only"),
        ([[1, 2], [3]], "inhomogeneous"),
        ([[1 << 70]], "not numbers only"),
        ([[1e300]], "float32"),
        ({"rows": []}, "Expected `array`"),
        (3, "Expected `array`"),
        ("[[1]]", "Expected `array`"),
        ([[1.0, 2.0]], "can't predict from inputs of shape"),
        ([1.0], "can't predict from inputs of shape"),
        ([[0.0] * (MAX_VALUES + 1)], f"at most {MAX_VALUES}"),
        ([[]] * (MAX_VALUES + 1), f"at most {MAX_VALUES}"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_inputs_that_are_none_are_refused_and_the_daemon_goes_on(
    pair: tuple[Daemon, Daemon], inputs: Any, reason: str
) -> None:
    here, _ = pair
    with pytest.raises(client.Refused, match=reason):
        ask(here, inputs)
    assert ask(here, [[0.5] * 64])["outputs"]


def test_a_deep_nest_is_refused(pair: tuple[Daemon, Daemon]) -> None:
    deep: Any = 1.0
    for _ in range(500):
        deep = [deep]
    with pytest.raises(client.Refused, match=r"allowed are|recursion"):
        ask(pair[0], deep)


def test_more_rows_than_at_once_are_asked_in_turn_by_the_command(pair: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    here, _ = pair
    rows = np.tile(IMAGES, (2 * MAX_VALUES // IMAGES.size + 1, 1))
    np.save(tmp_path / "in.npy", rows)
    done = gossipfl("predict", tmp_path / "in.npy", "--out", tmp_path / "out.npy", "--home", here.home.path)
    assert (done.returncode, done.stdout) == (Exit.OK, "")
    assert done.stderr.startswith("model ")
    outputs = np.load(tmp_path / "out.npy", allow_pickle=False)
    assert outputs.shape == (len(rows), 10)
    assert outputs.dtype == np.float32
    assert np.allclose(outputs.sum(axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("kind", ["npy", "json"])
def test_the_command_reads_stdin(pair: tuple[Daemon, Daemon], kind: str) -> None:
    here, _ = pair
    file = io.BytesIO()
    np.save(file, IMAGES[:3])
    content = file.getvalue() if kind == "npy" else json.dumps(IMAGES[:3].tolist()).encode()
    command = [sys.executable, "-m", "gossipfl", "predict", "-", "--home", str(here.home.path)]
    done = subprocess.run([*command, "--json"], input=content, capture_output=True, check=True, env=clean_environment())
    assert np.array(json.loads(done.stdout)["outputs"]).shape == (3, 10)
    plain = subprocess.run(command, input=content, capture_output=True, check=True, env=clean_environment())
    assert [len(line.split()) for line in plain.stdout.splitlines()] == [10] * 3


def test_a_pickle_is_never_loaded(pair: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}]), allow_pickle=True)
    (tmp_path / "junk.npy").write_bytes(b"\x93NUMPY" + b"\xff" * 50)
    (tmp_path / "words.json").write_text('["a", "b"]')
    for name in ("evil.npy", "junk.npy", "words.json", "missing.npy"):
        refused = gossipfl("predict", tmp_path / name, "--home", pair[0].home.path)
        assert refused.returncode == Exit.BAD_DATA
        assert name in refused.stderr
        assert "Traceback" not in refused.stderr


def test_with_coverage_come_sets_of_labels(pair: tuple[Daemon, Daemon]) -> None:
    here, _ = pair
    found = client.post(here.home, "/v1/predict", {"inputs": IMAGES.tolist(), "coverage": 0.995}, timeout=60)
    about, outputs = found["uncertainty"], np.array(found["outputs"])
    assert (about["coverage"], about["rows"]) == (0.995, HELD_OUT)
    assert [labels[0] for labels in about["labels"]] == outputs.argmax(axis=1).tolist()
    inside = [outputs[row, label] for row, labels in enumerate(about["labels"]) for label in labels[1:]]
    outside = [outputs[row, label] for row, labels in enumerate(about["labels"]) for label in {*range(10)} - {*labels}]
    assert max(outside) < min(inside)
    with pytest.raises(client.Refused, match=f"takes 9999 held-out rows, and there are {HELD_OUT}"):
        client.post(here.home, "/v1/predict", {"inputs": IMAGES[:1].tolist(), "coverage": 0.9999})


def test_the_command_tells_how_sure_it_is(pair: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    rows = np.tile(IMAGES, (MAX_VALUES // IMAGES.size + 1, 1))
    np.save(tmp_path / "in.npy", rows)
    ask_for = ("predict", tmp_path / "in.npy", "--home", pair[0].home.path, "--coverage", "0.8")
    plain, as_json = gossipfl(*ask_for), gossipfl(*ask_for, "--json")
    assert len(json.loads(as_json.stdout)["uncertainty"]["labels"]) == len(rows) == len(plain.stdout.splitlines())
    assert all(line.endswith("}") for line in plain.stdout.splitlines())
    refused = gossipfl(*ask_for, "--out", tmp_path / "out.npy")
    assert refused.returncode == Exit.USAGE


SLOW = (
    "import time\n"
    "from gossipfl.tasks.digits import HELD_OUT, digits\n"
    "def make(node):\n"
    "    task = digits(node)\n"
    "    inner = task.predict\n"
    "    task.predict = lambda vector, inputs: {predict}\n"
    "    return task\n"
)


def test_a_task_that_dies_of_predicting_costs_only_that_answer(home: Path, make_daemon: Callable[..., Daemon]) -> None:
    (home / "task.py").write_text(SLOW.format(predict="__import__('os')._exit(3)"))
    daemon = make_daemon(task__name=f"{home / 'task.py'}:make", network__mdns="false", gossip__interval="0.3")
    daemon.start()
    before = daemon.wait_until(lambda status: status["steps"] > 0, "it learns")
    with pytest.raises(client.Refused, match="died of it"):
        ask(daemon, [[0.5] * 64])
    (died,) = wait_for(lambda: daemon.events("the predicting process died"), "it is told of")
    assert died["status"] == 3
    daemon.wait_until(lambda status: status["steps"] > before["steps"] + 20, "it goes on")
    assert daemon.stop() == 0


def test_when_too_many_wait_the_next_one_is_told_to_try_again(home: Path, make_daemon: Callable[..., Daemon]) -> None:
    (home / "task.py").write_text(SLOW.format(predict="time.sleep(0.3) or inner(vector, inputs)"))
    daemon = make_daemon(task__name=f"{home / 'task.py'}:make", network__mdns="false", gossip__interval="0.3")
    daemon.start()
    daemon.wait_until(lambda status: status["steps"] > 0, "it learns")

    def one(_: int) -> tuple[int, str]:
        try:
            return len(ask(daemon, [[0.5] * 64])["outputs"]), ""
        except client.Refused as refused:
            return refused.exit_status, str(refused).rpartition(": ")[2]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(one, range(16)))
    assert set(found) == {(1, ""), (Exit.TRY_AGAIN, f"{WAITING} requests wait already")}
    assert daemon.stop() == 0
