"""Inputs as they come, checked, and what a task predicts from them, some rows at a time.

Sizes are checked before anything is made of a request's JSON.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec
import numpy as np
import numpy.typing as npt

from gossipfl.errors import LocalError
from gossipfl.model.schema import Vector
from gossipfl.tasks.task import Task
from gossipfl_nodes.control.web.problems import Refusal

MAX_VALUES = 1 << 18
"""Numbers that may go in, or come out, at once: an image of 3 × 295 × 295, or thousands of windows of a sensor."""
ROWS = 256
"""Inputs that a task is given at a time, since what it makes of them may be large."""

Rows = npt.NDArray[np.float32]


def rows_in(inputs: msgspec.Raw) -> Rows:
    """The inputs as an array, if they are one.

    Raises:
        Refusal: they are too many.
        LocalError: they are not numbers in rows of equal shape.
    """
    raw = bytes(inputs)
    if raw.count(b",") >= MAX_VALUES or raw.count(b"[") > MAX_VALUES + 1:  # before there are numbers, and lists of them
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"inputs: at most {MAX_VALUES} numbers are allowed at once")
    try:
        found = np.array(msgspec.json.decode(raw, type=list))
        if found.dtype.kind not in "iuf" or not found.size:
            raise ValueError("not numbers only")
        with np.errstate(over="ignore"):
            rows = found.astype(np.float32)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise LocalError(f"inputs: {error}; allowed are nested lists of numbers, a row for each input") from None
    if not np.isfinite(rows).all():
        raise LocalError("inputs: a number is beyond what float32 holds")
    return rows


def predicted(task: Task, vector: Vector, rows: Rows) -> Rows:
    """What `task` predicts from `rows`, shape (n, …), by the model `vector`: a row for each.

    Raises:
        LocalError: it can't, or that is too much.
    """
    found = []
    for start in range(0, len(rows), ROWS):
        batch = rows[start : start + ROWS]
        try:
            outputs = np.asarray(task.predict(vector, batch), np.float32)
        except Exception as error:
            told = f"inputs of shape {rows.shape}: {type(error).__name__}: {error}"
            raise LocalError(f"the task can't predict from {told}") from error
        if outputs.shape[:1] != batch.shape[:1]:
            raise LocalError(f"the task predicts {outputs.shape} for {len(batch)} inputs; a row for each is allowed")
        if (size := outputs[:1].size * len(rows)) > MAX_VALUES:
            raise LocalError(f"the outputs are {size} values; at most {MAX_VALUES} are allowed, so give fewer inputs")
        found.append(outputs)
    return np.concatenate(found)
