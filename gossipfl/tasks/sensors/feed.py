"""What a node learns from and is tested on, from its readings, while their file grows.

Of the rows that were there at the start the first part trains, or only its first hours, and the last part tests; rows
that come later train as well, and none that tests ever does. Knows no model.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gossipfl.errors import LocalError
from gossipfl.tasks.sensors.readings import Readings
from gossipfl.tasks.sensors.windows import LENGTH, STEPS_OUT, Array, Windows, joined, scale_of, windows

DAY = 24.0
"""Hours of training from which the time of day is told: who has seen a morning only knows nothing of evenings."""


class Feed:
    """The windows of a node's sensors.

    Args:
        readings: of its sensors.
        train_hours: so many hours at the beginning train; 0: all but what tests.
        test: the part of the rows that tests, in [0, 1).
        minutes: between two rows.

    Raises:
        LocalError: too few rows for one window.
    """

    def __init__(
        self, readings: Readings, *, train_hours: float = 0.0, test: float = 0.2, minutes: float = 5.0
    ) -> None:
        self.readings = readings
        self._minutes = minutes
        self._end = readings.rows
        """Of the rows that were there at the start."""
        self._test_from = int(self._end * (1 - test))
        wanted = int(train_hours * 60 / minutes)
        self._train_until = min(self._test_from, wanted or self._test_from)
        self.version = 0
        """Goes up when there is more to learn from."""
        self.scale = 1.0
        """What 1 means in readings; of several sensors, on average."""
        self.clock = False
        """Is the time of day told?"""
        self.train = self._build()
        if not len(self.train):
            raise LocalError(
                f"{readings.path}: {self._train_until} rows to train on; a sensor needs {LENGTH} with readings in them"
            )

    def refresh(self) -> Windows | None:
        """Take up new rows. What they tell that was not known before: the windows that they complete."""
        came = self.readings.refresh()
        if not came:
            return None
        if self.readings.rows < self._end:  # it was cut, and began anew
            self._test_from = self._train_until = self._end = 0
            came = self.readings.rows
        self.train = self._build()
        self.version += 1
        first = max(self._end, self.readings.rows - came - LENGTH + 1)
        return self._windows([slice(first, self.readings.rows)], self._scales, least=STEPS_OUT)

    def _build(self) -> Windows:
        """Cut everything anew; the training windows."""
        parts = [slice(0, self._train_until), slice(self._end, self.readings.rows)]
        seen = np.concatenate([self._kept(part)[0] for part in parts])
        self._scales = [scale_of(column) for column in seen.T]
        self.scale = float(np.mean(self._scales))
        self.clock = len(seen) * self._minutes >= DAY * 60
        self.test = self._windows([slice(self._test_from, self._end)], self._scales)
        return self._windows(parts, self._scales)

    def _windows(self, parts: list[slice], scales: list[float], least: int = 1) -> Windows:
        found = []
        for part in parts:
            values, hours = self._kept(part)
            told = hours if self.clock else np.full_like(hours, np.nan)
            found += [windows(values[:, k], told, scale, least) for k, scale in enumerate(scales)]
        return joined(found)

    def _kept(self, part: slice) -> tuple[Array, npt.NDArray[np.float32]]:
        """Values and hours of these rows of the table, as far as they are kept."""
        dropped = self.readings.rows - len(self.readings.values)
        rows = slice(max(0, part.start - dropped), max(0, part.stop - dropped))
        return self.readings.values[rows], self.readings.hours[rows]
