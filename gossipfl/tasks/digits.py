"""digits: 8×8 handwritten digits, the small real data set that ships with scikit-learn. Each node sees two classes.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI (1998): 1,797 images, here 1,437 for
training, dealt out to the nodes by class, and 360 held out, the same for all nodes.
"""

from __future__ import annotations

import gzip
import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gossipfl.errors import LocalError
from gossipfl.tasks.mlp import MLP, Inputs, Labels
from gossipfl.tasks.task import Node

CLASSES = 10
CLASSES_PER_NODE = 2
HELD_OUT = 360
LEARNING_RATE = 0.3


def digits(node: Node) -> MLP:
    """The task of one node: its classes' share of the training images, and an MLP 64-32-10.

    Raises:
        LocalError: scikit-learn is not installed.
    """
    return _task(node, hidden=(32,))


def softmax(node: Node) -> MLP:
    """The same images for softmax regression: 650 parameters, and a convex problem.

    Raises:
        LocalError: scikit-learn is not installed.
    """
    return _task(node, hidden=())


def _task(node: Node, hidden: tuple[int, ...]) -> MLP:
    x, y = _images()
    shard = class_shard(y[HELD_OUT:], node.index, node.count, seed=node.seed) if node.trains else y[:0]
    rows = shard + HELD_OUT
    return MLP(
        x[rows], y[rows], x[:HELD_OUT], y[:HELD_OUT], classes=CLASSES, hidden=hidden, lr=LEARNING_RATE, seed=node.seed
    )


@cache
def _images() -> tuple[Inputs, Labels]:
    """All images, shape (n, 64), in [0, 1], and their labels, in random order."""
    table = np.loadtxt(_file(), delimiter=",", dtype=np.float32)
    table = table[np.random.default_rng(0).permutation(len(table))]
    return table[:, :-1] / np.float32(16), table[:, -1].astype(np.int64)


def class_shard(y: Labels, index: int, count: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Rows of node `index` of `count`: two classes each, or more where two would leave a class to nobody.

    A class that several nodes hold is divided among them: every row belongs to exactly one node. With more holders than
    rows, rows are dealt again: everybody gets one.
    """
    per_node = max(CLASSES_PER_NODE, -(-CLASSES // count))
    order = np.random.default_rng(seed).permutation(CLASSES)
    mine = []
    for slot in range(per_node * index, per_node * (index + 1)):
        rows = np.flatnonzero(y == order[slot % CLASSES])
        # Slots go round the classes: so many hold this one, and this slot is the so-manieth of them.
        holders, turn = len(range(slot % CLASSES, per_node * count, CLASSES)), slot // CLASSES
        mine.append(np.array_split(rows, holders)[turn] if holders <= len(rows) else rows[[turn % len(rows)]])
    return np.concatenate(mine)


def _file() -> gzip.GzipFile:
    # Read from the installed package without importing it: scikit-learn and scipy would cost each daemon 70 MB.
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise LocalError("task digits: scikit-learn is not installed; pip install 'gossipfl[demo]'")
    return gzip.open(Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz")
