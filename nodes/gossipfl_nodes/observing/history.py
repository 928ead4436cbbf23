"""The history: how a device has learnt since it was started, as curves of bounded length.

When there are more than `MOST` samples, every second one goes, and from then on half as many come: what is kept always
spans the whole time, evenly, whether that is a minute or a year. Knows no clock; whoever samples asks `every` how long
to wait.
"""

from __future__ import annotations

MOST = 240  # even
"""Samples: as many as a curve in a page has room for, and 15 kB."""
FIRST = 1.0
"""Seconds between two samples in the first minutes."""


class History:
    """Samples of some named values, each at a time."""

    def __init__(self) -> None:
        self.every = FIRST
        """Seconds until the next sample."""
        self._samples: list[tuple[float, dict[str, float | None]]] = []

    def add(self, time: float, values: dict[str, float | None]) -> None:
        """Take in what the values are at `time`, which grows."""
        self._samples.append((time, values))
        if len(self._samples) > MOST:
            del self._samples[1::2]  # an odd number: the last one stays
            self.every *= 2

    @property
    def times(self) -> list[float]:
        """Of the samples."""
        return [time for time, _ in self._samples]

    @property
    def columns(self) -> dict[str, list[float | None]]:
        """Each value's course, as long as `times`; None where it was not known."""
        names = dict.fromkeys(name for _, values in self._samples for name in values)
        return {name: [values.get(name) for _, values in self._samples] for name in names}
