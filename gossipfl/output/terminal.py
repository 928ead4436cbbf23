"""What commands print: JSON, tables, and values as a person reads them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

WIDE = 400
"""Columns, enough for ids and addresses in full."""


def print_json(value: Any) -> None:
    """`value` on stdout."""
    print(json.dumps(value, indent=2))


def shown(value: Any) -> str:
    """`value` as a person reads it."""
    match value:
        case None | "":
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
        case list() | tuple():
            return ", ".join(map(str, value)) or "–"
        case dict():
            return ", ".join(f"{name} {shown(number)}" for name, number in value.items()) or "–"
        case _:
            return str(value)


def ago(moment: float | None) -> str:
    """How long `moment`, in seconds since 1970, is past."""
    return "–" if moment is None else f"{duration(max(0.0, time.time() - moment))} ago"


def duration(seconds: float) -> str:
    """A time for people."""
    for unit, length in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout; where it is not read on a terminal, nothing is cut off."""
    from rich.console import Console
    from rich.table import Table

    made = Table(*head, box=None)
    for row in rows:
        made.add_row(*row)
    Console(width=None if sys.stdout.isatty() else WIDE).print(made)


def number(value: float | None) -> str:
    """An accuracy, or a dash."""
    return "–" if value is None else f"{value:.3f}"


def size(value: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.3g} {unit}"
