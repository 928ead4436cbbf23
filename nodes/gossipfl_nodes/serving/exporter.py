"""The exporting process: writes the model in the slot into a file, checks what it wrote, and ends.

A process of its own for each export, since the libraries for it take more memory than a daemon, and are needed once.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from gossipfl.errors import LocalError
from gossipfl.model.schema import Schema, Vector
from gossipfl.tasks.task import Calibrated, Exportable, Task
from gossipfl_nodes.daemon import worker
from gossipfl_nodes.serving.batches import ROWS, Rows, predicted

TOLERANCE = 1e-5
"""By which an ONNX model may differ from the task's own predictions, absolutely and of the value: float32 has 6e-8."""


class Export(msgspec.Struct):
    """Write the model in the slot, with `about` in its metadata."""

    format: Literal["safetensors", "onnx"]
    int8: bool
    about: dict[str, str]


class Report(msgspec.Struct, omit_defaults=True):
    """What was found when the file was checked: of ONNX only."""

    rows: int = 0
    """Inputs that were predicted from."""
    difference: float = 0.0
    """From the task's own predictions, the largest."""
    score: str = ""
    """What `float32` and `int8` are: the accuracy, or the root mean square error, on the task's held-out rows."""
    float32: float = 0.0
    int8: float = 0.0


def export(task: Task, vector: Vector, order: Export) -> tuple[bytes, Report]:
    """The content of the file.

    Raises:
        LocalError: a library is not there, the task can't, or what it wrote predicts something else.
    """
    about = {**order.about, "layout": task.schema.layout.hex()}
    try:
        if order.format == "safetensors":
            return _safetensors(task.schema, vector, about), Report()
        return _onnx(task, vector, about, int8=order.int8)
    except ImportError as error:
        raise LocalError(f"{error.name} is not installed; pip install 'gossipfl[export]'") from None


def _safetensors(schema: Schema, vector: Vector, about: dict[str, str]) -> bytes:
    from safetensors.numpy import save  # noqa: PLC0415

    parts = zip(schema.tensors, schema.slices().values(), strict=True)
    tensors = {tensor.name: vector[where].reshape(tensor.shape) for tensor, where in parts}
    personal = ", ".join(tensor.name for tensor in schema.tensors if tensor.personal)
    return save(tensors, {**about, **({"personal": personal} if personal else {})})


def _onnx(task: Task, vector: Vector, about: dict[str, str], *, int8: bool) -> tuple[bytes, Report]:
    import onnx  # noqa: PLC0415

    if not isinstance(task, Exportable):
        raise LocalError(f"task {type(task).__name__} has no onnx(); allowed is a .safetensors file")
    model = onnx.load_from_string(task.onnx(vector))
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    rows, targets = _rows(task, model)
    expected = predicted(task, vector, rows)
    found = _run(content, rows)
    report = Report(len(rows), float(np.abs(found - expected).max()))
    if not np.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE):
        raise LocalError(f"the task's onnx() predicts something else: it is off by {report.difference:g}")
    if int8:
        content = _quantised(content)
        quantised = _run(content, rows)
        report.difference = float(np.abs(quantised - expected).max())
        if targets is not None:
            report.score, report.float32 = _score(expected, targets)
            report.int8 = _score(quantised, targets)[1]
    return content, report


def _rows(task: Task, model: Any) -> tuple[Rows, Any]:
    """Inputs to check with, and what is true of them if the task tells; otherwise noise of the shape that it takes."""
    if isinstance(task, Calibrated):
        inputs, targets = task.calibration()
        return inputs.astype(np.float32, copy=False), targets
    _, *shape = (side.dim_value or 1 for side in model.graph.input[0].type.tensor_type.shape.dim)
    return np.random.default_rng(0).standard_normal((ROWS, *shape), np.float32), None


def _run(content: bytes, rows: Rows) -> Rows:
    """What the ONNX model in `content` predicts."""
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: rows[at : at + ROWS]})[0] for at in range(0, len(rows), ROWS)])


def _quantised(content: bytes) -> bytes:
    """`content` with its weights in int8, and activations made so as they come (dynamic quantisation)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    logging.getLogger().setLevel(logging.ERROR)  # it would advise on how to quantise transformers
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        plain.write_bytes(content)
        quantize_dynamic(plain, small, weight_type=QuantType.QInt8)
        return small.read_bytes()


def _score(outputs: Rows, targets: Any) -> tuple[str, float]:
    if targets.shape == outputs.shape:
        return "rmse", float(np.sqrt(np.square(outputs - targets).mean()))
    return "accuracy", float((outputs.argmax(axis=1) == targets).mean())


def main() -> None:
    """As `python -m gossipfl_nodes.serving.exporter`, with the arguments of `worker.loaded` and an open file."""
    at, (descriptor,) = worker.loaded(sys.argv[1:])
    if at is None:
        return
    for order in at.asked(Export):
        at.vector[:] = at.slot
        try:
            content, report = export(at.task, at.vector, order)
            with os.fdopen(int(descriptor), "wb") as file:
                file.write(content)
            answer = worker.Answer(report=msgspec.json.encode(report).decode())
        except Exception as error:  # noqa: BLE001 - the task is the user's
            answer = worker.Answer(error=worker.explain(error))
        at.answer(answer)


if __name__ == "__main__":
    main()
