"""digits: 8×8 handwritten digits, the small real data set that ships with scikit-learn. Each node sees two classes.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI (1998): 1,797 images, here 1,437 for
training, dealt out to the nodes by class, and 360 held out, the same for all nodes.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gossipfl.errors import LocalError
from gossipfl.tasks.mlp import MLP, Labels
from gossipfl.tasks.task import Node

CLASSES = 10
CLASSES_PER_NODE = 2
HELD_OUT = 360
LEARNING_RATE = 0.3


def digits(node: Node) -> MLP:
    """The task of one node: its classes' share of the training images, and an MLP 64-32-10.

    Raises:
        LocalError: scikit-learn is not installed, or there are more nodes than images.
    """
    table = np.loadtxt(_file(), delimiter=",", dtype=np.float32)
    table = table[np.random.default_rng(0).permutation(len(table))]
    x, y = table[:, :-1] / np.float32(16), table[:, -1].astype(np.int64)
    rows = class_shard(y[HELD_OUT:], node.index, node.count, seed=node.seed) + HELD_OUT
    return MLP(
        x[rows], y[rows], x[:HELD_OUT], y[:HELD_OUT], classes=CLASSES, hidden=(32,), lr=LEARNING_RATE, seed=node.seed
    )


def class_shard(y: Labels, index: int, count: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Rows of node `index` of `count`: two classes each, or more where two would leave a class to nobody.

    A class that several nodes hold is divided among them; every row belongs to exactly one node.

    Raises:
        LocalError: a node would get no row.
    """
    per_node = max(CLASSES_PER_NODE, -(-CLASSES // count))
    order = np.random.default_rng(seed).permutation(CLASSES)
    slots = [order[slot % CLASSES] for slot in range(per_node * count)]
    mine = []
    for slot in range(per_node * index, per_node * (index + 1)):
        holders = [other for other in range(len(slots)) if slots[other] == slots[slot]]
        mine.append(np.array_split(np.flatnonzero(y == slots[slot]), len(holders))[holders.index(slot)])
    rows = np.concatenate(mine)
    if not len(rows):
        raise LocalError(f"task digits: no image is left for node {index} of {count}")
    return rows


def _file() -> gzip.GzipFile:
    # Read from the installed package without importing it: scikit-learn and scipy would cost each daemon 70 MB.
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise LocalError("task digits: scikit-learn is not installed; pip install 'gossipfl[demo]'")
    return gzip.open(Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz")
