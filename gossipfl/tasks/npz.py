"""npz: classification from one file with a shard for each node.

Arrays `x0`, `x1`, … (rows, features) with labels `y0`, `y1`, …, and `x_test`, `y_test`, the same for all nodes. Inputs
are uint8, taken as 0 to 255, or floats, taken as they are. Nothing in the file is unpickled.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from gossipfl.errors import LocalError
from gossipfl.tasks.mlp import MLP, Data, Labels, scaled
from gossipfl.tasks.task import Node

UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)
"""What numpy and zipfile raise for a file that is not what it should be."""
HIDDEN = 64
MAX_CLASSES = 10_000
"""Beyond, a label is a mistake, and a model for it would not fit a device."""
STEPS = 150
"""With thousands of rows a node: twice the steps cost a third fewer bytes to the same accuracy, up to here."""
CALIBRATION = 1.0
"""λ: with it, nodes with skewed labels need less than half the bytes to the same accuracy."""


def npz(node: Node) -> MLP:
    """The task of one node: shards index, index + count, … of the file, and an MLP features-64-classes.

    Raises:
        LocalError: no file, not an npz file, a missing or unusable array, or fewer shards than nodes.
    """
    if node.data is None:
        raise LocalError("task npz: no data file; name one with --data FILE.npz or task.data in the configuration")
    with _open(node.data) as file:
        x_test, y_test = _inputs(file, node.data, "x_test"), _labels(file, node.data, "y_test")
        x, y = _shards(file, node) if node.trains else (x_test[:0], y_test[:0])
    if y_test.max() >= MAX_CLASSES:
        raise LocalError(f"{node.data}: array 'y_test' has label {y_test.max()}; allowed are 0 to {MAX_CLASSES - 1}")
    try:
        # The held-out labels are common to all nodes, so all agree on the number of classes.
        return MLP(
            x, y, x_test, y_test, classes=int(y_test.max()) + 1, hidden=(HIDDEN,), steps=STEPS,
            calibration=CALIBRATION, seed=node.seed,
        )  # fmt: skip
    except LocalError as error:
        raise LocalError(f"{node.data}: {error}") from None


def _shards(file: np.lib.npyio.NpzFile, node: Node) -> tuple[Data, Labels]:
    """The training data of one node."""
    assert node.data is not None
    shards = sorted(int(name[1:]) for name in file.files if re.fullmatch(r"x[0-9]{1,9}", name))
    mine = shards[node.index :: node.count]
    if not mine:
        raise LocalError(
            f"{node.data}: has {len(shards)} shards (x0, x1, …), too few for node {node.index} of {node.count};"
            f" run at most {len(shards)} nodes"
        )
    parts = [_inputs(file, node.data, f"x{shard}") for shard in mine]
    if len({part.dtype for part in parts}) > 1:
        parts = [scaled(part) for part in parts]
    x = cast("Data", np.concatenate(parts))
    return x, np.concatenate([_labels(file, node.data, f"y{shard}") for shard in mine])


@contextmanager
def _open(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    try:
        raw = path.open("rb")
    except FileNotFoundError:
        raise LocalError(f"{path}: no such file; name an .npz file with x0, y0, …, x_test, y_test") from None
    except OSError as error:
        raise LocalError(f"{path}: can't be read: {error.strerror}") from error
    with raw:
        try:
            file = np.load(raw, allow_pickle=False)
        except UNREADABLE as error:
            raise LocalError(f"{path}: not an npz file ({error})") from None
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise LocalError(f"{path}: a single array; expected an .npz file with x0, y0, …, x_test, y_test")
        with file:
            yield file


def _array(file: np.lib.npyio.NpzFile, path: Path, name: str) -> npt.NDArray[np.generic]:
    try:
        array = file[name]
    except KeyError:
        raise LocalError(f"{path}: has no array {name!r}; it has {', '.join(sorted(file.files)[:8])}, …") from None
    except UNREADABLE as error:
        raise LocalError(f"{path}: array {name!r} can't be read ({error})") from None
    if not isinstance(array, np.ndarray) or not array.size:
        raise LocalError(f"{path}: {name!r} is not an array with rows")
    return array


def _inputs(file: np.lib.npyio.NpzFile, path: Path, name: str) -> Data:
    array = _array(file, path, name)
    if array.ndim < 2 or array.dtype.kind not in "fu":
        raise LocalError(f"{path}: array {name!r} is {array.dtype} {array.shape}; expected rows of uint8 or floats")
    if array.dtype == np.uint8:
        return array.reshape(len(array), -1).astype(np.uint8, copy=False)
    with np.errstate(over="ignore"):
        rows = array.reshape(len(array), -1).astype(np.float32)
    if not np.isfinite(rows).all():
        raise LocalError(f"{path}: array {name!r} has values that are not finite in float32")
    return rows


def _labels(file: np.lib.npyio.NpzFile, path: Path, name: str) -> Labels:
    array = _array(file, path, name)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise LocalError(f"{path}: array {name!r} is {array.dtype} {array.shape}; expected whole numbers, one a row")
    return array.astype(np.int64)
