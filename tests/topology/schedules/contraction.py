"""How much random rounds shrink disagreement, by experiment."""

from __future__ import annotations

import numpy as np

from gossipfl_topology.graph import FloatArray


def contraction(rounds: list[FloatArray]) -> tuple[float, float]:
    """The mean over `rounds` of ‖W x − x̄‖² / ‖x − x̄‖², and the standard error of that mean.

    Each x is a wave along the nodes' numbers: where near numbers met more often than far ones it would shrink less.
    """
    n = len(rounds[0])
    waves = np.cos(2 * np.pi * np.outer(np.arange(n) + 0.25, 1 + np.arange(max(1, n // 8))) / n)
    waves -= waves.mean(axis=0)
    shrunk = [float(((w @ waves) ** 2).sum() / (waves**2).sum()) for w in rounds]
    return float(np.mean(shrunk)), float(np.std(shrunk, ddof=1) / np.sqrt(len(shrunk)))
