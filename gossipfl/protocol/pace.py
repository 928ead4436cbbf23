"""Pace: running means of a node's own progress and publish rate.

Progress per publish interval is the unit of staleness; the publish rate goes into the Metropolis coefficient. Knows
neither models nor peers.
"""

from __future__ import annotations

from gossipfl.protocol.saved import Notes
from gossipfl.protocol.settings import Settings
from gossipfl.wire.messages import MAX_RATE

SMOOTHING = 0.2
"""A memory of about five intervals."""
MIN_RATE = 1e-9
WELCOME = 2.0
"""Updates that a node can weigh in one of its own intervals: two with weight ½ use up what it allows one sender, and
nobody sends it more."""


class Pace:
    """Starts from what the settings promise, or where an earlier life was."""

    def __init__(self, settings: Settings, saved: Notes | None) -> None:
        self.progress = saved.progress if saved else float(settings.steps)
        """H̄: by how much the age grows in a publish interval, at least 1."""
        self.period = saved.period if saved else settings.interval
        """Seconds between two publishes."""
        self._steps = float(settings.steps)
        """Own steps in a publish interval."""
        self._at, self._age, self._trained = 0.0, 0.0, 0

    @property
    def own(self) -> float:
        """Of H̄, the part that is this node's own training; the rest comes with merges."""
        return min(1.0, self._steps / self.progress)

    def begin(self, now: float, age: float) -> None:
        """Learning begins, at `age`."""
        self._at, self._age, self._trained = now, age, 0

    def trained(self, steps: int) -> None:
        """`steps` of this node's own were added to its model."""
        self._trained += steps

    def publish(self, now: float, age: float) -> None:
        """A model of `age` is published."""
        if now > self._at:
            self.period += SMOOTHING * (now - self._at - self.period)
        self.progress = max(1.0, self.progress + SMOOTHING * (max(0.0, age - self._age) - self.progress))
        self._steps += SMOOTHING * (self._trained - self._steps)
        self._at, self._age, self._trained = now, age, 0

    def welcome(self) -> float:
        """The most publishes per second that a neighbour sends here, however fast it is."""
        return WELCOME / self.period

    def rate(self, reach: float) -> float:
        """q: publishes per second to a neighbour that `reach` of them go to."""
        rate = reach / self.period
        return rate if MIN_RATE <= rate <= MAX_RATE else min(MAX_RATE, max(MIN_RATE, rate))
