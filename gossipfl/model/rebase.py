"""Rebase: how a node that joins, lost its state, or was away for long takes up the mesh's model.

A stale or untrained model must not be averaged in: it would drag everybody. It takes the coordinate-wise median of
several peers' served models instead (at least three, so that one liar can't choose it), and adds a small part of the
local progress that no peer has seen.
"""

from __future__ import annotations

import numpy as np

from gossipfl.model.schema import Vector

OWN_SHARE = np.float32(0.25)
"""How much of the unshared local progress survives. 0 to ¼ measured best; plain merging (about ½) drags the others."""


def rebase(snapshots: list[Vector], x: Vector, anchor: Vector) -> tuple[Vector, Vector]:
    """The new model and its anchor y, both of shape (d,).

    y is the coordinate-wise median of `snapshots`, and the model is y + ¼·u, where u = x − anchor is the local progress
    since the last merge, shortened to at most the way from x to y: being away must not count for more than the mesh.
    """
    y = np.median(np.stack(snapshots), axis=0).astype(np.float32)
    u = x - anchor
    way, own = float(np.linalg.norm(y - x)), float(np.linalg.norm(u))
    if not own > 0:
        return y.copy(), y
    return y + OWN_SHARE * np.float32(min(1.0, way / own)) * u, y
