"""Rate correction: every node has the same say in what is learnt, however often it trains.

Gossip optimises Σ ρᵢ fᵢ, with ρᵢ the rate of node i's local steps: a device that is ten times as fast counts ten times.
Scaling what each training adds by ρ̄ / ρᵢ makes it the plain mean of the fᵢ. It is bounded, as large steps on slow nodes
are noisy, and off by default: where more data or more compute should count more, it must stay off.
"""

from __future__ import annotations

from collections.abc import Sequence

LEAST, MOST = 0.25, 4.0
"""Bounds of the factor."""


def factor(own: float, others: Sequence[float]) -> float:
    """By what to multiply a training's result, in [¼, 4].

    Args:
        own: this node's rate > 0, trainings per second.
        others: those of its neighbours, in the same unit; those of 0 are not known yet.
    """
    known = [own, *(rate for rate in others if rate > 0)]
    return min(MOST, max(LEAST, sum(known) / len(known) / own))
