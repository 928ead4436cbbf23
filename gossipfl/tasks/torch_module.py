"""PyTorch adapter: any module, loss and data set as a task. The only module here that imports torch.

The module's parameters and floating buffers are made views into the flat vector that it is given, so training writes
straight into it: an exchange copies the model nowhere in here.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, default_collate

from gossipfl.errors import LocalError
from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.tasks.task import DEFAULT_STEPS, Progress
from gossipfl.uncertainty.quantile import ENOUGH

Example: TypeAlias = tuple[torch.Tensor, torch.Tensor]
Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
OptimizerFactory: TypeAlias = Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]
EVALUATION_BATCH = 512


class TorchTask:
    """Train `module` on `dataset` to lower `loss(outputs, targets)`.

    Args:
        module: its float32 parameters and buffers are the model; make it from the same seed on all nodes, or let the
            nodes take up one of their initial vectors when they meet.
        loss: mean loss of a batch, as `torch.nn.functional.cross_entropy`.
        dataset: map-style, of (input, target) pairs; this device's own data.
        test: held-out data for `evaluate`; `dataset` itself if None.
        lr: learning rate of plain SGD, unless `optimizer` is given.
        batch: examples per step, drawn with replacement.
        optimizer: makes another optimizer from the parameters; its state stays on the device.
        personal: prefixes of parameter names that never leave the device, as ("head.",).
        steps: local steps per publish that suit this data.

    Raises:
        LocalError: a parameter that is not float32, or a prefix that fits no parameter.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        loss: Loss,
        dataset: Dataset[Example],
        *,
        test: Dataset[Example] | None = None,
        lr: float = 0.1,
        batch: int = 32,
        optimizer: OptimizerFactory | None = None,
        personal: tuple[str, ...] = (),
        steps: int = DEFAULT_STEPS,
    ) -> None:
        self.steps = steps
        self._module, self._loss, self._batch = module, loss, batch
        self._dataset, self._test = dataset, dataset if test is None else test
        self._tensors: dict[str, torch.Tensor] = dict(module.named_parameters())
        self._tensors.update((name, buffer) for name, buffer in module.named_buffers() if buffer.is_floating_point())
        for name, tensor in self._tensors.items():
            if tensor.dtype != torch.float32:
                raise LocalError(
                    f"torch task: {name} is {tensor.dtype}; gossipfl exchanges float32: use module.float()"
                )
        for prefix in personal:
            if not any(name.startswith(prefix) for name in self._tensors):
                raise LocalError(f"torch task: personal prefix {prefix!r} fits none of {', '.join(self._tensors)}")
        self.schema = Schema(
            Tensor(name, tuple(tensor.shape), any(name.startswith(prefix) for prefix in personal))
            for name, tensor in self._tensors.items()
        )
        self._initial = np.concatenate([t.detach().cpu().numpy().ravel() for t in self._tensors.values()])
        self._bound: Vector | None = None
        self._parameters = list(module.parameters())
        self._optimizer = optimizer(self._parameters) if optimizer is not None else None
        self._lr = lr

    def initial(self) -> Vector:
        """The module's values when the task was made, shape (schema.size,)."""
        return self._initial.copy()

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:
        """`steps` optimizer steps, in place."""
        self._bind(vector)
        self._module.train()
        total = 0.0
        for _ in range(steps):
            rows = rng.integers(len(self._dataset), size=self._batch)  # type: ignore[arg-type]
            inputs, targets = self._examples(self._dataset, rows)
            self._module.zero_grad()
            loss = self._loss(self._module(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            self._step()
            total += float(loss.detach())
        return Progress(steps, steps * self._batch, total / steps)

    def _step(self) -> None:
        if self._optimizer is not None:
            self._optimizer.step()
            return
        # Not torch.optim.SGD: with its first use torch loads its compiler, seconds and 80 MB for one subtraction.
        with torch.no_grad():
            for parameter in self._parameters:
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=self._lr)

    @torch.no_grad()
    def evaluate(self, vector: Vector) -> dict[str, float]:
        """Mean `loss` on the held-out data, if there are any, and `accuracy` where the targets are class numbers."""
        self._bind(vector)
        self._module.eval()
        count = len(self._test)  # type: ignore[arg-type]
        total, correct, classes = 0.0, 0, False
        for start in range(0, count, EVALUATION_BATCH):
            rows = np.arange(start, min(start + EVALUATION_BATCH, count))
            inputs, targets = self._examples(self._test, rows)
            outputs = self._module(inputs)
            total += float(self._loss(outputs, targets)) * len(rows)
            classes = not targets.is_floating_point() and outputs.ndim == targets.ndim + 1
            if classes:
                correct += int((outputs.argmax(dim=1) == targets).sum())
        if not count:
            return {}
        metrics = {"loss": total / count}
        return {"accuracy": correct / count, **metrics} if classes else metrics

    @torch.no_grad()
    def predict(self, vector: Vector, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The module's outputs for `inputs`, shape (n, …)."""
        self._bind(vector)
        self._module.eval()
        outputs: npt.NDArray[np.float32] = self._module(torch.from_numpy(inputs)).numpy()
        return outputs

    def calibration(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.generic]]:
        """As many of the held-out data as are of use, at random; none if the task was given none."""
        count = len(self._test) if self._test is not self._dataset else 0  # type: ignore[arg-type]
        if not count:
            raise LocalError("torch task: was given no `test` data to tell from how far off predictions may be")
        rows = np.random.default_rng(0).permutation(count)[:ENOUGH]
        inputs, targets = self._examples(self._test, rows)
        return inputs.numpy(), targets.numpy()

    def onnx(self, vector: Vector) -> bytes:
        """The module as an ONNX file, traced with one of the held-out inputs."""
        if not len(self._test):  # type: ignore[arg-type]
            raise LocalError("torch task: there is no input to trace the module with; give it `test` data")
        example, _ = self._examples(self._test, np.zeros(1, np.int64))
        self._bind(vector)
        self._module.eval()
        file = io.BytesIO()
        with warnings.catch_warnings():
            # The exporter that torch would rather have needs two more packages, and 14 s for a module of three layers.
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(
                self._module,
                (example,),
                file,  # type: ignore[arg-type]  # that exporter takes it
                input_names=["inputs"],
                output_names=["outputs"],
                dynamic_axes={"inputs": {0: "n"}, "outputs": {0: "n"}},
                dynamo=False,
            )
        return file.getvalue()

    def _bind(self, vector: Vector) -> None:
        """Make the module's tensors views into `vector`."""
        if vector is self._bound:
            return
        self.schema.check(vector)
        flat = torch.from_numpy(vector if vector.flags.writeable else vector.copy())
        for tensor, where in zip(self._tensors.values(), self.schema.slices().values(), strict=True):
            tensor.data = flat[where].view(tensor.shape)
        self._bound = vector

    @staticmethod
    def _examples(dataset: Dataset[Example], rows: npt.NDArray[np.int64]) -> Example:
        batch: Example = default_collate([dataset[int(row)] for row in rows])
        return batch
