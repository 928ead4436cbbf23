"""Tasks of the benchmarks, written as a user writes them: MNIST by pairs of classes, and MNIST-10 without its cures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import numpy as np

from gossipfl.tasks.mlp import MLP, RARE
from gossipfl.tasks.npz import STEPS
from gossipfl.tasks.task import Node, Task

MNIST = Path(os.environ.get("MNIST", "../shared/data/mnist/mnist.npz"))
"""`x_train` uint8 (60000, 28, 28), `y_train`, `x_test`, `y_test`."""
MNIST10 = Path(os.environ.get("MNIST10", "../shared/bench/mnist10.npz"))
HORIZON = 14_000
"""Steps: the age of the model when 10 MB a node are spent by the default codec; $HORIZON is another one."""
STEPS_OF_SHARDS = 10


def shards(node: Node) -> MLP:
    """Two shards of the training images sorted by label, so mostly two classes; MLP 784-64-10, η = .3, cooling down."""
    return _shards(node, calibration=0.5, horizon=horizon())


def shards_uncalibrated(node: Node) -> MLP:
    """The same with the plain cross-entropy."""
    return _shards(node, calibration=0.0, horizon=horizon())


def shards_hot(node: Node) -> MLP:
    """The same with one step size for ever."""
    return _shards(node, calibration=0.5, horizon=float("inf"))


def dirichlet_uncalibrated(node: Node) -> MLP:
    """MNIST-10 as the built-in task `npz` has it, with the plain cross-entropy."""
    with np.load(node.data or MNIST10, allow_pickle=False) as file:
        x, x_test = file[f"x{node.index}"], file["x_test"]
        y, y_test = (file[name].astype(np.int64) for name in (f"y{node.index}", "y_test"))
    return MLP(x, y, x_test, y_test, classes=10, hidden=(64,), steps=STEPS, seed=node.seed)


def dirichlet_torch(node: Node) -> Task:
    """The built-in task `npz` in torch: the same model, loss, rows and learning rate."""
    import torch
    from torch import nn
    from torch.utils.data import Dataset, TensorDataset

    from gossipfl.tasks.torch_module import Example, TorchTask

    with np.load(node.data or MNIST10, allow_pickle=False) as file:
        names = (f"x{node.index}", f"y{node.index}", "x_test", "y_test")
        x, y, x_test, y_test = (torch.from_numpy(file[name]) for name in names)
    mine, held_out = (cast(Dataset[Example], TensorDataset(x / 255, y.long())) for x, y in ((x, y), (x_test, y_test)))
    log_prior = torch.log(torch.bincount(y.long(), minlength=10) / len(y) + RARE)
    torch.manual_seed(node.seed)
    model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    return TorchTask(
        model, lambda logits, labels: nn.functional.cross_entropy(logits + log_prior, labels), mine, test=held_out,
        lr=0.1, batch=32, steps=STEPS,
    )  # fmt: skip


def horizon() -> float:
    """When the model has cooled down, in steps."""
    return float(os.environ.get("HORIZON", HORIZON))


def _shards(node: Node, calibration: float, horizon: float) -> MLP:
    with np.load(node.data or MNIST, allow_pickle=False) as file:
        labels = file["y_train"].astype(np.int64)
        parts = np.array_split(np.argsort(labels, kind="stable"), 2 * node.count)
        mine = np.random.default_rng(node.seed).permutation(2 * node.count)[2 * node.index : 2 * node.index + 2]
        rows = np.concatenate([parts[part] for part in mine])
        x, x_test = file["x_train"][rows].reshape(len(rows), -1), file["x_test"].reshape(10_000, -1)
        y_test = file["y_test"].astype(np.int64)
    return MLP(
        x, labels[rows], x_test, y_test, classes=10, hidden=(64,), lr=0.3, steps=STEPS_OF_SHARDS,
        calibration=calibration, horizon=horizon, seed=node.seed,
    )  # fmt: skip
