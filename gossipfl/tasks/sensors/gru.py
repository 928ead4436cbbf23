"""The shared model as a gated recurrent unit in torch (Cho et al. 2014), with the features and the scale of the MLP."""

from __future__ import annotations

from typing import cast

import torch
from torch.utils.data import Dataset

from gossipfl.tasks.sensors.feed import Feed
from gossipfl.tasks.sensors.windows import STEPS_IN, STEPS_OUT
from gossipfl.tasks.torch_module import Example, TorchTask

HIDDEN = 16
LEARNING_RATE = 0.5


class _Rows(Dataset[Example]):
    """The feed's training windows, as many as there are at the time."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def __len__(self) -> int:
        return len(self._feed.train)

    def __getitem__(self, row: int) -> Example:
        train = self._feed.train
        return torch.from_numpy(train.x[row]), torch.from_numpy(train.y[row])


class _Recurrent(torch.nn.Module):
    """Reads an hour's changes one by one, each beside level and time of day; it begins with "as it is"."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = torch.nn.GRU(4, HIDDEN, batch_first=True)
        self.out = torch.nn.Linear(HIDDEN, STEPS_OUT)
        torch.nn.init.zeros_(self.out.weight)
        torch.nn.init.zeros_(self.out.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled changes, shape (n, STEPS_OUT), from features, shape (n, FEATURES)."""
        changes = torch.nn.functional.pad(x[:, 1:STEPS_IN], (0, 1))[:, :, None]
        rest = torch.cat([x[:, :1], x[:, STEPS_IN:]], dim=1)[:, None, :].expand(-1, STEPS_IN, -1)
        _, state = self.gru(torch.cat([changes, rest], dim=2))
        return cast("torch.Tensor", self.out(state[0]))


def gru(feed: Feed, seed: int) -> TorchTask:
    """A network for `feed`, equal on all nodes of one seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _Recurrent()
    return TorchTask(module, _known_squares, _Rows(feed), lr=LEARNING_RATE)


def _known_squares(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared error; what is not known costs nothing."""
    known = torch.isfinite(targets)
    return torch.where(known, outputs - torch.where(known, targets, outputs), 0).square().mean()
