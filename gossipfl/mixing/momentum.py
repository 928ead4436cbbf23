"""Quasi-global momentum (Lin et al., 2021): a model goes on a little in the direction that the mesh moved it.

    m ← (1 − c)·m + c·(x − last x)    once per publish interval, after the merges and before training
    x ← x + β·m

Local, and without a byte: what neighbours sent is in x. It needs no memory either. A moving average of the same models,
x̄ ← x̄ + c·(x − x̄), is kept anyway, to be served, and summed by parts m is c·(x − x̄), with x̄ before it takes in x:

    m = c·Σₖ (1 − c)ᵏ·(xₜ₋ₖ − xₜ₋ₖ₋₁) = c·(xₜ − c·Σₖ (1 − c)ᵏ·xₜ₋₁₋ₖ)

As in the paper, what momentum did itself is part of the way that it looks back on: a steady one gets 1/(1 − β) as long.
"""

from __future__ import annotations

STRATEGIES = ("none", "quasi-global")
"""By the name that a configuration uses."""
BETA = 0.5
"""Steps at most twice as long. 0.65 learns still faster from the same bytes, 0.8 no longer; a task's own step size must
bear it."""


def push(strategy: str, c: float) -> float:
    """By how much of x − x̄ to move x, where the average x̄ takes in x with the weight `c`."""
    return BETA * c if strategy == "quasi-global" else 0.0
