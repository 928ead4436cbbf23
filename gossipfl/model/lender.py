"""Lending: how a vector that changes is handed out without a copy of it.

A large model takes most of a device's memory, so there is to be no second one unless somebody needs it: what begins as
the same vector is one until it differs, and what is being saved is copied only if it changes before it is written. Owns
who may write where; knows nothing of what a vector means.
"""

from __future__ import annotations

import weakref

import numpy as np

from gossipfl.model.schema import Vector


class Lender:
    """Something with a vector x, shape (d,), that only it changes, and lends.

    Args:
        x: where it begins, which is somebody else's: it is copied before it changes.
    """

    def __init__(self, x: Vector) -> None:
        self.x = x
        """To be read only, and only until it changes."""
        self._mine = False
        self._loans: list[weakref.ref[Vector]] = []

    def lend(self) -> Vector:
        """x, read-only, which stays as it is for as long as this array, or any view of it, is there."""
        if not self._mine:
            return self.x
        # Of views of an array numpy remembers only the array; views of a buffer remember what they were taken of.
        loan: Vector = np.frombuffer(self.x.data.toreadonly(), np.float32)
        self._loans = [*(other for other in self._loans if other() is not None), weakref.ref(loan)]
        return loan

    def _own(self) -> Vector:
        """x, which is about to change."""
        if self._is_shared():
            self._put(self.x.copy())
        return self.x

    def _room(self) -> Vector:
        """x, which is about to be overwritten."""
        if self._is_shared():
            self._put(np.empty_like(self.x))
        return self.x

    def _replace(self, x: Vector) -> None:
        """Be `x` from now on, which is somebody else's."""
        self.x, self._mine, self._loans = x, False, []

    def _put(self, x: Vector) -> None:
        """Be `x` from now on, which nobody else has."""
        self.x, self._mine, self._loans = x, True, []

    def _is_shared(self) -> bool:
        return not self._mine or any(loan() is not None for loan in self._loans)
