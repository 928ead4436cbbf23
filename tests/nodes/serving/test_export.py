"""The served model as a file: what it says is what the daemon predicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from safetensors import safe_open

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.tasks.digits import HELD_OUT, digits, softmax
from gossipfl.tasks.task import Node
from gossipfl_nodes.commands import client
from gossipfl_nodes.serving.exporter import Export, export
from tests.nodes.support import Daemon, gossipfl, settle

TASK = digits(Node())
ROWS = np.random.default_rng(0).random((50, 64)).astype(np.float32)
ABOUT = {"mesh": "m"}


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:
    """It has learnt something, and its model rests."""
    made = make_daemon(network__mdns="false", gossip__interval="0.05", gossip__mesh="fields", gossip__momentum="none")
    made.start()
    made.wait_until(lambda status: status["steps"] > 300, "it learns")
    settle(made)
    return made


def run(path: Path, rows: Any) -> Any:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"inputs": rows})[0], session.get_modelmeta().custom_metadata_map


def test_files_predict_as_the_daemon_does_and_name_the_model(daemon: Daemon, tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("a.safetensors", "b.onnx", "c.onnx")}
    told = {}
    for name, path in paths.items():
        done = gossipfl("export", path, "--json", *(["--int8"] if name == "c.onnx" else []), "--home", daemon.home.path)
        assert done.returncode == Exit.OK, done.stderr
        told[name] = json.loads(done.stdout)
    found = client.post(daemon.home, "/v1/predict", {"inputs": ROWS.tolist()}, timeout=60)
    with safe_open(paths["a.safetensors"], "numpy") as file:
        about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    vector = np.concatenate([tensors[tensor.name].ravel() for tensor in TASK.schema.tensors])
    assert np.allclose(TASK.predict(vector, ROWS), found["outputs"], atol=1e-5)
    outputs, props = run(paths["b.onnx"], ROWS)
    assert np.allclose(outputs, found["outputs"], atol=1e-5)
    assert told["b.onnx"]["rows"] == HELD_OUT
    for metadata, name in ((about, "a.safetensors"), (props, "b.onnx")):
        assert (metadata["mesh"], metadata["task"]) == ("fields", "digits")
        assert metadata["layout"] == TASK.schema.layout.hex()
        assert {"incarnation", "seq", "age"} <= {*metadata}
        assert metadata["seq"] == str(told[name]["version"]["seq"])
        assert abs(float(metadata["age"]) - found["version"]["age"]) < 1
    small = told["c.onnx"]
    assert small["score"] == "accuracy"
    assert small["bytes"] < told["b.onnx"]["bytes"] / 2
    assert 0.8 < small["float32"] <= 1
    assert abs(small["float32"] - small["int8"]) < 0.05
    assert np.allclose(run(paths["c.onnx"], ROWS)[0], found["outputs"], atol=0.2)
    assert sorted(path.name for path in tmp_path.glob("*.*")) == sorted(paths)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["model.onx"], "did you mean model.onnx?"),
        (["model"], "ends in .safetensors or .onnx"),
        (["model.safetensors", "--int8"], "--int8 is for .onnx files"),
    ],
)
def test_names_that_say_no_format_are_refused(arguments: list[str], reason: str) -> None:
    refused = gossipfl("export", *arguments)
    assert refused.returncode == Exit.USAGE
    assert reason in refused.stderr


class Odd:
    """`digits`, but for what is put over it."""

    def __init__(self, **changed: Any) -> None:
        self._changed = changed

    def __getattr__(self, name: str) -> Any:
        if (changed := self._changed.get(name, self)) is None:
            raise AttributeError(name)
        return getattr(TASK, name) if changed is self else changed


def test_a_task_that_says_no_more_than_it_must_is_checked_with_noise() -> None:
    _, report = export(Odd(calibration=None), TASK.initial(), Export("onnx", int8=True, about=ABOUT))
    assert (report.score, report.rows) == ("", 256)
    assert 0 < report.difference < 0.05


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (Odd(onnx=None), r"has no onnx\(\); allowed is a \.safetensors file"),
        (Odd(onnx=lambda vector: TASK.onnx(vector * 1.01)), "predicts something else: it is off by"),
    ],
)
def test_an_onnx_file_that_would_be_wrong_is_never_written(task: Any, reason: str) -> None:
    with pytest.raises(LocalError, match=reason):
        export(task, TASK.initial(), Export("onnx", int8=False, about=ABOUT))


def test_softmax_regression_has_one_layer(tmp_path: Path) -> None:
    task = softmax(Node())
    content, report = export(task, task.initial(), Export("onnx", int8=False, about=ABOUT))
    (tmp_path / "s.onnx").write_bytes(content)
    assert np.allclose(run(tmp_path / "s.onnx", ROWS)[0], task.predict(task.initial(), ROWS), atol=1e-6)
    assert report.difference < 1e-6
