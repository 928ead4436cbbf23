"""Local health: how far a node trusts its own observations (Lifeguard; Dadgar, Phillips, Currey, 2017).

Who hears from nobody in time, or is suspected itself, is likely slow or badly connected. It then probes less often, and
gives others more time, before it says anything about them.
"""

from __future__ import annotations

WORST = 8
"""Lifeguard's bound: nine times as patient."""


class Health:
    """0 is well, WORST is worst."""

    def __init__(self) -> None:
        self.score = 0

    def better(self) -> None:
        """A probe was answered in time."""
        self.score = max(0, self.score - 1)

    def worse(self) -> None:
        """A probe was answered by nobody, or somebody suspects this node."""
        self.score = min(WORST, self.score + 1)

    @property
    def patience(self) -> float:
        """By how much longer to wait, and between probes to pause."""
        return 1.0 + self.score
