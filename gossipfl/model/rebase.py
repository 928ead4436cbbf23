"""Rebase: how a node that joins, lost its state, or was away for long takes up the mesh's model.

A stale or untrained model must not be averaged in: it would drag everybody. Instead the node takes the coordinate-wise
median of several peers' served models, at least three, so that one liar can't choose it. What it learnt alone meanwhile
goes; keeping up to a quarter of it changed nothing that could be measured, and its data is still there.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from gossipfl.kernels import MAX_COORDINATE, Codes, Floats
from gossipfl.kernels.numpy import pieces, rebuilt
from gossipfl.model.schema import Vector


class Told(Struct, frozen=True):
    """A peer's model as it was told: base + scale · code. A quarter of the memory of a vector, or less."""

    base: Vector
    scales: Floats
    codes: Codes | Floats

    def piece(self, here: slice, of_them: slice) -> Floats:
        """Some of its coordinates; see `gossipfl.kernels.numpy.pieces`."""
        return rebuilt(self.base[here], self.scales[of_them], self.codes[here])

    def is_sane(self) -> bool:
        """Is every coordinate within ±MAX_COORDINATE?"""
        return all((np.abs(self.piece(*at)) <= MAX_COORDINATE).all() for at in pieces(self.base.size))


def median(models: list[Told], out: Vector) -> None:
    """Write their coordinate-wise median into `out`, shape (d,)."""
    for at in pieces(out.size):
        np.median(np.stack([model.piece(*at) for model in models]), axis=0, out=out[at[0]])
