"""Readings of sensors from a table, time by sensor, with a header of sensor ids: CSV, or Parquet through pyarrow.

A device keeps the columns of its own sensors only, and the newest MEMORY rows of them. A CSV file may grow: `refresh`
takes up what was appended. A first column called `time` has ISO times; without one, the first row is at midnight. What
is empty, `nan` or not finite is missing: NaN. Knows no window, scale or model.
"""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from gossipfl.errors import LocalError

MEMORY = 20_000
"""Rows that are kept: ten weeks of five minutes, 160 kB for a sensor."""
TIMES = ("time", "timestamp", "datetime", "date")
"""What the header may call a first column of times."""
MISSING = ("", "nan", "na", "null", "none")
SUFFIXES = (".csv", ".parquet")

Choice = Callable[[Sequence[str]], Sequence[int]]
"""From the ids of all sensors to the numbers of those to keep."""


class Readings:
    """The chosen sensors of a table.

    Args:
        path: a CSV or Parquet file, or a folder with one of them, or with one whose name says `speed`.
        choose: which sensors.
        minutes: between two rows, where no column has times.

    Raises:
        LocalError: no such file, an unknown format, no usable header, or a value that is no number, with its line.
    """

    def __init__(self, path: Path, choose: Choice, minutes: float = 5.0) -> None:
        self.path = _file(path)
        self._choose, self._minutes = choose, minutes
        self._offset = 0
        """Of the first byte that was not read."""
        self._timed = False
        self._columns: Sequence[int] = ()
        self.sensors: tuple[str, ...] = ()
        """Their ids."""
        self.rows = 0
        """Read so far, kept or not."""
        self.values: npt.NDArray[np.float32] = np.empty((0, 0), np.float32)
        """The newest rows, shape (kept, sensors); NaN where nothing was read."""
        self.hours: npt.NDArray[np.float32] = np.empty(0, np.float32)
        """Time of day of each, in [0, 24)."""
        if self.path.suffix == ".parquet":
            self._read_parquet()
        else:
            self.refresh()

    def refresh(self) -> int:
        """Take up the rows that were appended; how many there are. A file that was cut is read from its start."""
        if self.path.suffix == ".parquet":
            return 0
        try:
            size = self.path.stat().st_size
            if size == self._offset and self._columns:
                return 0
            with self.path.open("rb") as file:
                if size < self._offset or not self._columns:
                    self._begin(file.readline())
                file.seek(self._offset)
                return self._append(file)
        except OSError as error:
            raise LocalError(f"{self.path}: can't be read: {error.strerror}") from error

    def _begin(self, line: bytes) -> None:
        names = [name.strip() for name in next(csv.reader([line.decode("utf-8-sig", "replace")]), [])]
        self._columns, self._offset = self._chosen(names), len(line)
        self._keep(0, [], [])

    def _chosen(self, names: Sequence[str]) -> Sequence[int]:
        """The columns to read, by the names of all columns."""
        self._timed = bool(names) and names[0].lower() in TIMES
        ids = names[self._timed :]
        twice = next((name for name in ids if ids.count(name) > 1), None)
        if not ids or twice is not None:
            problem = "names no sensor" if twice is None else f"names {twice!r} twice"
            raise LocalError(f"{self.path}: the header {problem}; allowed is an id of its own for each sensor")
        chosen = self._choose(ids)
        self.sensors = tuple(ids[number] for number in chosen)
        return [number + self._timed for number in chosen]

    def _append(self, file: BinaryIO) -> int:
        """Take up the lines that `file` still has. A last one without an end is still being written."""
        values = deque[list[float]](maxlen=MEMORY)
        hours = deque[float](maxlen=MEMORY)
        new = 0
        last = max(self._columns)
        for line in file:
            if not line.endswith(b"\n"):
                break
            self._offset += len(line)
            if text := line.decode("utf-8", "replace").strip():
                # Split as far as needed: a device of a city's table reads one column of hundreds.
                fields = text.split(",", last + 1)
                place = f"{self.path}: row {self.rows + new + 1}"
                if len(fields) <= last:
                    raise LocalError(f"{place}: {len(fields)} columns; the header has at least {last + 1}")
                values.append([_number(fields[column], place) for column in self._columns])
                hours.append(_hour(fields[0], place) if self._timed else self._hour_of(self.rows + new))
                new += 1
        self._keep(self.rows + new, list(values), list(hours))
        return new

    def _keep(self, rows: int, values: list[list[float]], hours: list[float]) -> None:
        """Add what was read, of a table that has so many `rows` now."""
        if not rows:
            self.values, self.hours = np.empty((0, len(self._columns)), np.float32), np.empty(0, np.float32)
        if values:
            self.values = np.concatenate([self.values, np.array(values, np.float32)])[-MEMORY:]
            self.hours = np.concatenate([self.hours, np.array(hours, np.float32)])[-MEMORY:]
        self.rows = rows

    def _hour_of(self, row: int) -> float:
        return row * self._minutes / 60 % 24

    def _read_parquet(self) -> None:
        try:
            from pyarrow import ArrowException, parquet  # noqa: PLC0415 - not every city has Parquet
        except ImportError:
            missing = "pyarrow is not installed; pip install 'gossipfl[parquet]', or use CSV"
            raise LocalError(f"{self.path}: {missing}") from None
        try:
            file = parquet.ParquetFile(self.path)
            names = file.schema_arrow.names
            self._columns = self._chosen(names)
            table = file.read([names[column] for column in self._columns])
            values = [table.column(name).to_numpy().astype(np.float32) for name in self.sensors]
            times = file.read([names[0]]).column(0).to_pylist() if self._timed else []
        except (ArrowException, OSError, ValueError, TypeError) as error:
            raise LocalError(f"{self.path}: can't be read as Parquet of numbers: {error}") from error
        self.rows = table.num_rows
        hours = [
            _hour(str(when), f"{self.path}: row {row}") if self._timed else self._hour_of(row)
            for row, when in enumerate(times or range(self.rows))
        ]
        self.values = np.stack(values, axis=1)[-MEMORY:]
        self.values[~np.isfinite(self.values)] = np.nan
        self.hours = np.array(hours[-MEMORY:], np.float32)


def _file(path: Path) -> Path:
    """The table that `path` means."""
    if path.is_dir():
        found = sorted(one for one in path.iterdir() if one.suffix in SUFFIXES)
        speeds = [one for one in found if "speed" in one.stem]
        if len(speeds or found) != 1:
            names = ", ".join(one.name for one in speeds or found) or "none"
            raise LocalError(f"{path}: which file has the readings? There are {names}; name one")
        return (speeds or found)[0]
    if not path.is_file():
        raise LocalError(f"{path}: no such file; name a CSV or Parquet file, time by sensor")
    if path.suffix not in SUFFIXES:
        raise LocalError(f"{path}: suffix {path.suffix!r}: allowed are {' and '.join(SUFFIXES)}")
    return path


def _number(text: str, place: str) -> float:
    try:
        value = math.nan if text.strip().lower() in MISSING else float(text)
    except ValueError:
        raise LocalError(
            f"{place}: {text.strip()[:40]!r} is no number; allowed are numbers, and nothing or nan"
        ) from None
    return value if math.isfinite(value) else math.nan


def _hour(text: str, place: str) -> float:
    try:
        when = datetime.fromisoformat(text.strip().strip('"'))
    except ValueError:
        raise LocalError(f"{place}: {text[:40]!r} is no time; allowed is ISO 8601, as 2012-03-01 00:05") from None
    return when.hour + when.minute / 60 + when.second / 3600
