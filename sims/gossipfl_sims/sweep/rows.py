"""Rows: what came of each run of a sweep, and the CSV file that keeps it, one line for each run as soon as it is over.

The file may have been left at any time, by a kill or a power cut: what stands in it as a whole line counts, a torn
last line does not. One process writes it at a time. What runs, and where, is not known here.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import Struct

from gossipfl.errors import LocalError
from gossipfl.output.files import write_durably
from gossipfl.tasks.load import parse
from gossipfl_sims.sweep.grid import Plan, written

Key = tuple[tuple[str, ...], int]


class Row(Struct, frozen=True, kw_only=True):
    """One run. What can't be told, as all of a run that failed, is None. Fields as in Result."""

    values: tuple[Any, ...]
    """Of the cell, in the order of the grid's keys."""
    seed: int
    trace_hash: str | None = None
    mean_accuracy: float | None = None
    worst_accuracy: float | None = None
    best_accuracy: float | None = None
    error: float | None = None
    disagreement: float | None = None
    bytes_per_node: float | None = None
    merges_per_node: float | None = None
    faults: int | None = None
    broken: int | None = None
    unmet: int | None = None
    """Expectations of the scenario that were not met: how many."""
    virtual_seconds: float | None = None
    cpu_seconds: float
    """Of the process that ran it; the one column that differs from call to call."""
    scenario: str
    """The fingerprint of the plan."""
    version: str
    """Of gossipfl."""
    error_text: str | None = None
    """Why the run did not end, on one line."""

    @property
    def key(self) -> Key:
        """What makes it one run and no other."""
        return key_of(self.values, self.seed)


def key_of(values: tuple[Any, ...], seed: int) -> Key:
    """The key of a run: as text, for a 1 and a 1.0 are equal but not the same setting."""
    return tuple(map(written, values)), seed


FIELDS = Row.__struct_fields__[1:]
"""Columns beside those of the grid."""


class Log:
    """The file of a sweep, open for more.

    Args:
        path: a new file, or that of an earlier call: with the same scenario and grid keys, but any values and seeds.
        plan: what is swept.
        version: of gossipfl.

    Raises:
        LocalError: the file is another sweep's, or no sweep's, or is being written; it is as it was.
    """

    def __init__(self, path: Path, plan: Plan, version: str) -> None:
        self._path, self._plan, self._version = path, plan, version
        self._keys = plan.keys
        self.rows: dict[Key, Row] = {}
        """All in the file by their keys; of one run's rows the last, for it was run again after a failure."""
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LocalError(f"{path}: can't be written: {error.strerror}") from error
        try:
            self._lock()
            self._read()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def append(self, row: Row) -> None:
        """Keep `row`; when this returns it is on the disk."""
        self._write(_line(self._cells(row)))
        self.rows[row.key] = row

    def finish(self) -> None:
        """Sort the file by cell and seed, numbers before words, so that it doesn't show who was first."""
        ordered = sorted(self.rows.values(), key=lambda row: (self._place(row), row.seed))
        lines = [_line([*self._keys, *FIELDS]), *(_line(self._cells(row)) for row in ordered)]
        write_durably(self._path, "".join(lines).encode())

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LocalError(f"{self._path}: another sweep is writing to it") from error

    def _read(self) -> None:
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        header = _line([*self._keys, *FIELDS])
        if not whole and header.encode().startswith(content):
            os.ftruncate(self._file, 0)
            self._write(header)
            return
        try:
            lines = list(csv.reader(io.StringIO(whole.decode()), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise LocalError(f"{self._path}: this is not the file of a sweep: {error}") from error
        self._check_head(lines[0] if lines else [])
        for number, cells in enumerate(lines[1:], start=2):
            row = self._row(number, cells)
            self.rows[row.key] = row
        os.ftruncate(self._file, len(whole))

    def _check_head(self, head: list[str]) -> None:
        keys, fields = tuple(head[: -len(FIELDS)]), tuple(head[-len(FIELDS) :])
        if fields != FIELDS:
            raise LocalError(f"{self._path}: this is not the file of a sweep; choose another --out")
        if set(keys) != set(self._plan.keys):
            raise LocalError(
                f"{self._path}: it has the grid keys {', '.join(keys) or '(none)'}, this sweep has "
                f"{', '.join(self._plan.keys) or '(none)'}; choose another --out"
            )
        self._keys = keys

    def _row(self, number: int, cells: list[str]) -> Row:
        where = f"{self._path}:{number}"
        if len(cells) != len(self._keys) + len(FIELDS):
            raise LocalError(f"{where}: {len(cells)} columns, the first line has {len(self._keys) + len(FIELDS)}")
        values = dict(zip(self._keys, map(parse, cells), strict=False))
        found: dict[str, Any] = {
            field: cell or None for field, cell in zip(FIELDS, cells[len(self._keys) :], strict=True)
        }
        try:
            row = msgspec.convert(found | {"values": tuple(values[key] for key in self._plan.keys)}, Row, strict=False)
        except msgspec.ValidationError as error:
            raise LocalError(f"{where}: {error}") from None
        if row.scenario != self._plan.fingerprint:
            raise LocalError(
                f"{where}: this row is of another scenario, or of other --set values (its fingerprint is "
                f"{row.scenario}, this sweep's is {self._plan.fingerprint}); choose another --out"
            )
        if row.version != self._version:
            raise LocalError(
                f"{where}: gossipfl {row.version} wrote this row, this is {self._version}: they need not agree; "
                "choose another --out"
            )
        return row

    def _write(self, line: str) -> None:
        try:
            rest = line.encode()
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError as error:
            raise LocalError(f"{self._path}: can't be written: {error.strerror}") from error

    def _cells(self, row: Row) -> list[str]:
        values = dict(zip(self._plan.keys, row.values, strict=True))
        fields = (getattr(row, field) for field in FIELDS)
        return [*(written(values[key]) for key in self._keys), *("" if one is None else str(one) for one in fields)]

    def _place(self, row: Row) -> list[tuple[bool, float, str]]:
        values = dict(zip(self._plan.keys, row.values, strict=True))
        return [_rank(values[key]) for key in self._keys]


def _rank(value: Any) -> tuple[bool, float, str]:
    """Numbers in their order, then words in theirs."""
    number = isinstance(value, int | float)
    return not number, value if number else 0.0, str(value)


def _line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
