"""From a series of readings to what a model learns: windows of an hour in, the hour after it out.

Inputs and targets are scaled by the sensor's own usual high reading, and by nothing else: no constant of another sensor
or of the test period comes in. What the model gives is added to the last reading, so that a model that gives 0 says "as
it is". Missing readings are masked: in the inputs they count as "no change", in the targets they are NaN and cost
nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from msgspec import Struct

STEPS_IN, STEPS_OUT = 12, 12
LENGTH = STEPS_IN + STEPS_OUT
FEATURES = STEPS_IN + 2
HIGH = 0.98
"""The quantile of a sensor's training readings that is its scale: of a road, free flow. The maximum would be as good on
clean data, and on other it is one broken reading. Not centred by the mean: after half a day that is of a night."""
GAIN = 4.0
"""Changes within an hour are small beside the level; so many times as large, plain SGD learns both at one pace."""

Array = npt.NDArray[np.float32]


class Windows(Struct, frozen=True):
    """Rows of a sensor's windows, n of them."""

    x: Array
    """Level, changes, and time of day: shape (n, FEATURES)."""
    y: Array
    """Changes from the last reading, shape (n, STEPS_OUT), scaled; NaN is unknown."""
    scale: Array
    """What 1 means in readings, shape (n, 1)."""
    left: npt.NDArray[np.int64]
    """Rows of the table from the last input on, as many as there are: at least so many steps were to be known."""

    def __len__(self) -> int:
        return len(self.x)

    def part(self, rows: npt.NDArray[np.bool_] | slice) -> Windows:
        """Some of them."""
        return Windows(self.x[rows], self.y[rows], self.scale[rows], self.left[rows])


def scale_of(series: Array) -> float:
    """The scale of a sensor by its training readings; 1 where they tell none."""
    known = np.abs(series[np.isfinite(series)])
    return float(np.quantile(known, HIGH)) or 1.0 if known.size else 1.0


def features(inputs: Array, hours: Array, scale: Array) -> tuple[Array, Array]:
    """What the model is given, shape (n, FEATURES), and the last known readings, shape (n, 1); NaN where none is.

    Args:
        inputs: readings, oldest first, shape (n, STEPS_IN); NaN is missing.
        hours: time of day of the last one, shape (n,); NaN where it is not to be used.
        scale: shape (n, 1).
    """
    known = np.isfinite(inputs)
    newest = STEPS_IN - 1 - np.argmax(known[:, ::-1], axis=1)
    last = np.take_along_axis(inputs, newest[:, None], axis=1)
    changes = np.where(known, inputs - last, 0)[:, :-1]
    angle = 2 * np.pi * hours[:, None] / 24
    clock = np.nan_to_num(np.concatenate([np.sin(angle), np.cos(angle)], axis=1))
    return np.concatenate([last / scale - 1, GAIN * changes / scale, clock], axis=1).astype(np.float32), last


def windows(series: Array, hours: Array, scale: float, least: int = 1) -> Windows:
    """All windows of a series with a known input and target, in order.

    Args:
        series: readings, shape (rows,), NaN is missing.
        hours: time of day of each row, shape (rows,); NaN where it is not to be used.
        scale: of the sensor.
        least: so many steps after the inputs the table must have, known or not.
    """
    count = max(0, len(series) - STEPS_IN - least + 1)
    padded = np.concatenate([series, np.full(LENGTH, np.nan, np.float32)])
    cut = np.lib.stride_tricks.sliding_window_view(padded, LENGTH)[:count]
    scales = np.full((count, 1), scale, np.float32)
    x, last = features(cut[:, :STEPS_IN], hours[STEPS_IN - 1 : STEPS_IN - 1 + count], scales)
    y = (cut[:, STEPS_IN:] - last) / scales
    left = len(series) - STEPS_IN - np.arange(count)
    made = Windows(x, y.astype(np.float32), scales, left)
    return made.part(np.isfinite(last[:, 0]) & np.isfinite(y).any(axis=1))


def joined(parts: list[Windows]) -> Windows:
    """Those of several sensors together."""
    return Windows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Windows.__struct_fields__))
