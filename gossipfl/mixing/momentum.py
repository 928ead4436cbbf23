"""Quasi-global momentum (Lin et al., 2021): a model goes on a little in the direction that the mesh moved it.

    m ← (1 − c)·m + c·(x − last x)    once per publish interval, after the merges and before training
    x ← x + β·(1 − o)·m

Local, and without a byte: what neighbours sent is in x. It needs no memory either. A moving average of the same models,
x̄ ← x̄ + c·(x − x̄), is kept anyway, to be served, and summed by parts m is c·(x − x̄), with x̄ before it takes in x:

    m = c·Σₖ (1 − c)ᵏ·(xₜ₋ₖ − xₜ₋ₖ₋₁) = c·(xₜ − c·Σₖ (1 − c)ᵏ·xₜ₋₁₋ₖ)

As in the paper, what momentum did itself is part of the way that it looks back on: a steady one gets 1/(1 − β) as long.

The paper has rounds, and there o = 0. Without them, neighbours have moved on by the time that they are merged, so that
of a steady drift v a part o comes with the merges already. With all of β·v on top of that, a drift feeds itself where
β ≥ 1 − o. A model's age, the local steps in it, takes part in every merge as a coordinate does, and training adds to
it, so 1 − o is known from numbers: own steps per interval, divided by what the age grows in one.
"""

from __future__ import annotations

STRATEGIES = ("none", "quasi-global")
"""By the name that a configuration uses."""
BETA = 0.5
"""Steps at most twice as long, which a task's own step size must bear."""


def push(strategy: str, c: float, own: float) -> float:
    """By how much of x − x̄ to move x, where the average x̄ takes in x with the weight `c`, and 1 − o is `own`."""
    return BETA * c * own if strategy == "quasi-global" else 0.0
