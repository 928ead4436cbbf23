"""The layout of the flat model vector: which tensor lies where, and which tensors are personal.

Owns the split of a full vector (what a task trains) into its shared part (what peers exchange) and its personal part
(what never leaves the device). Every encoder takes shared vectors only, so no code path can put a personal value into
a frame. Must never know about messages, peers or tasks.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from gossipfl.errors import LocalError
from gossipfl.kernels import Index

Vector: TypeAlias = npt.NDArray[np.float32]
"""A flat float32 array: shape (schema.size,) when full, (schema.shared_size,) when shared."""

MAX_TENSORS = 10_000
FINGERPRINT_BYTES = 16


class Tensor(msgspec.Struct, frozen=True):
    """One tensor of the model: `name`, `shape`, and whether it is `personal` (kept on the device for good)."""

    name: str
    shape: tuple[int, ...]
    personal: bool = False

    @property
    def size(self) -> int:
        """Number of elements; a scalar, shape (), has one."""
        return math.prod(self.shape)


class Schema:
    """Order, names, shapes and privacy of the tensors in a flat vector.

    Args:
        tensors: the tensors in the order in which they lie in the flat vector.

    Raises:
        LocalError: no shared element, a duplicate name, a shape with a non-positive side, or too many tensors.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = tuple(tensors)
        names = [tensor.name for tensor in self.tensors]
        if len(names) > MAX_TENSORS:
            raise LocalError(f"schema: {len(names)} tensors, at most {MAX_TENSORS} are allowed")
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise LocalError(f"schema: tensor name {twice!r} appears twice; names must be unique")
        for tensor in self.tensors:
            if any(side < 1 for side in tensor.shape):
                raise LocalError(f"schema: tensor {tensor.name!r} has shape {tensor.shape}; every side must be ≥ 1")
        self.size = sum(tensor.size for tensor in self.tensors)
        self.shared_size = sum(tensor.size for tensor in self.tensors if not tensor.personal)
        if not self.shared_size:
            raise LocalError("schema: no shared element; at least one tensor must not be personal")
        # An index array costs two vectors' memory, and most models have nothing personal.
        self._shared: Index = slice(None)
        self._personal: Index = slice(0, 0)
        if self.shared_size < self.size:
            is_personal = np.zeros(self.size, dtype=bool)
            for tensor, where in zip(self.tensors, self.slices().values(), strict=True):
                is_personal[where] = tensor.personal
            self._shared, self._personal = np.flatnonzero(~is_personal), np.flatnonzero(is_personal)

    def slices(self) -> dict[str, slice]:
        """Where each tensor lies in the full vector, by name."""
        where, start = {}, 0
        for tensor in self.tensors:
            where[tensor.name] = slice(start, start + tensor.size)
            start += tensor.size
        return where

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that name the shared layout: equal on two devices when their shared vectors mean the same."""
        return _hash([(tensor.name, tensor.shape) for tensor in self.tensors if not tensor.personal])

    @property
    def layout(self) -> bytes:
        """16 bytes that name all of the layout, with the personal tensors and where they stand."""
        return _hash(self.tensors)

    def split(self, full: Vector) -> tuple[Vector, Vector]:
        """Copies of the shared part, shape (shared_size,), and the personal part, shape (size − shared_size,)."""
        shared, personal = self.parts(full)
        return np.array(shared), np.array(personal)

    def parts(self, full: Vector) -> tuple[Vector, Vector]:
        """As `split`, to be read only: views where nothing is personal."""
        self.check(full)
        return full[self._shared], full[self._personal]

    def join(self, shared: Vector, personal: Vector) -> Vector:
        """The full vector, shape (size,), of its two parts: read-only, and a view of `shared` if that is all of it."""
        if shared.shape != (self.shared_size,) or personal.shape != (self.size - self.shared_size,):
            raise LocalError(f"schema: parts of shapes {shared.shape} and {personal.shape} do not make {self.size}")
        if personal.size:
            full = np.empty(self.size, dtype=np.float32)
            full[self._shared], full[self._personal] = shared, personal
        else:
            full = shared.view()
        full.flags.writeable = False
        return full

    def check(self, full: npt.NDArray[np.float32]) -> None:
        """Raise LocalError unless `full` is a float32 array of shape (size,)."""
        if not isinstance(full, np.ndarray) or full.dtype != np.float32 or full.shape != (self.size,):
            got = f"{full.dtype} {full.shape}" if isinstance(full, np.ndarray) else type(full).__name__
            raise LocalError(f"model vector: expected float32 of shape ({self.size},), got {got}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self.tensors == other.tensors

    def __hash__(self) -> int:
        return hash(self.tensors)


def _hash(layout: object) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode(layout), digest_size=FINGERPRINT_BYTES).digest()
