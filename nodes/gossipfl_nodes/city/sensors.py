"""What a city has: its list of sensors, and its table of readings, as files.

`sensors.csv` has a header with `id`, and may have `latitude`, `longitude` and `address`. The table has a header of ids
and a row per time. What is wrong is told with file and line. Knows no mesh, key or configuration.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

from gossipfl.errors import LocalError
from gossipfl.tasks.sensors.readings import TIMES
from gossipfl_nodes.network.discovery.addresses import checked

COLUMNS = ("id", "latitude", "longitude", "address")
IDS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
"""An id is a folder's name as well, and its home's socket has 107 bytes for a path."""
PORT = 9444
"""As the daemon's own default."""
DEGREES = {"latitude": 90.0, "longitude": 180.0}


class Sensor(Struct, frozen=True):
    """A line of the list."""

    id: str
    latitude: float | None = None
    longitude: float | None = None
    address: str = ""
    """As /ip4/…/tcp/… or /dns4/…/tcp/…; nothing if none is given."""


def read(path: Path) -> list[Sensor]:
    """The sensors of a list.

    Raises:
        LocalError: no such file, an unknown column, an id that is none or there twice, or a value out of its range.
    """
    rows = _rows(path)
    line, header = next(rows, (1, []))
    names = [name.strip().lower() for name in header]
    for name in names:
        if name not in COLUMNS:
            near = get_close_matches(name, COLUMNS, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise LocalError(f"{path}:{line}: column {name!r}: {hint}allowed are {', '.join(COLUMNS)}")
    if "id" not in names or len(set(names)) < len(names):
        problem = "a column twice" if "id" in names else "no column id"
        raise LocalError(f"{path}:{line}: {problem}; the header names {', '.join(COLUMNS)}, of which only id must be")
    if len({"latitude", "longitude"} & set(names)) == 1:
        raise LocalError(f"{path}:{line}: of latitude and longitude only one; allowed are both, or neither")
    found: dict[str, Sensor] = {}
    for number, cells in rows:
        place = f"{path}:{number}"
        if len(cells) != len(names):
            raise LocalError(f"{place}: {len(cells)} columns; the header has {len(names)}")
        sensor = _sensor(dict(zip(names, map(str.strip, cells), strict=True)), place)
        if sensor.id in found:
            raise LocalError(f"{place}: id = {sensor.id!r}: it is there already; allowed is an id of its own for each")
        found[sensor.id] = sensor
    if not found:
        raise LocalError(f"{path}: no sensor; allowed is a line for each after the header")
    placed = [sensor for sensor in found.values() if sensor.latitude is not None]
    if 0 < len(placed) < len(found):
        without = next(sensor.id for sensor in found.values() if sensor.latitude is None)
        raise LocalError(f"{path}: sensor {without} has no position and others have; allowed is all, or none")
    return list(found.values())


def header(path: Path) -> list[str]:
    """The ids of the sensors in a table of readings, in their order; raises LocalError."""
    _, cells = next(_rows(path), (1, []))
    names = [cell.strip() for cell in cells]
    return names[1:] if names and names[0].lower() in TIMES else names


def split(path: Path, ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each sensor's own table: its id, and the text of its column, with the times where the table has them.

    Raises:
        LocalError: a sensor that has no column, or a line with another number of columns than the header.
    """
    rows = list(_rows(path))
    names = [name.strip() for name in rows[0][1]] if rows else []
    timed = bool(names) and names[0].lower() in TIMES
    for sensor in ids:
        if sensor not in names[timed:]:
            near = get_close_matches(sensor, names[timed:], 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; the header names {', '.join(names[timed:][:5])} …"
            raise LocalError(f"{path}:1: no column for sensor {sensor!r}{hint}")
    for number, cells in rows:
        if len(cells) != len(names):
            raise LocalError(f"{path}:{number}: {len(cells)} columns; the header has {len(names)}")
    for sensor in ids:
        columns = [*([0] if timed else []), names.index(sensor, timed)]
        # What is missing is said: an empty line would be no reading at all.
        yield (
            sensor,
            "".join(",".join(cells[column].strip() or "nan" for column in columns) + "\n" for _, cells in rows),
        )


def _sensor(row: dict[str, str], place: str) -> Sensor:
    if not IDS.fullmatch(row["id"]):
        allowed = "allowed are 1 to 40 letters, digits, -, _ and ., a letter or digit first"
        raise LocalError(f"{place}: id = {row['id']!r}: {allowed}")
    position = {}
    for name, most in DEGREES.items():
        if text := row.get(name, ""):
            try:
                position[name] = float(text)
            except ValueError:
                position[name] = float("nan")
            if not -most <= position[name] <= most:
                raise LocalError(f"{place}: {name} = {text!r}: allowed are degrees, -{most:g} to {most:g}")
    if len(position) == 1:
        raise LocalError(f"{place}: {next(iter(position))} alone; allowed is a position of both, or none")
    return Sensor(row["id"], **position, address=_address(row.get("address", ""), place))


def _address(text: str, place: str) -> str:
    """HOST, HOST:PORT or a multiaddr, as a multiaddr."""
    if not text or text.startswith("/"):
        return checked(f"{place}: address", text) if text else ""
    host, _, port = text.partition(":")
    try:
        kind = f"ip{ip_address(host).version}"
    except ValueError:
        kind = "dns4"
    try:
        return checked("address", f"/{kind}/{host}/tcp/{port or PORT}")
    except LocalError:
        allowed = "allowed are HOST, HOST:PORT and as /ip4/192.0.2.7/tcp/9444"
        raise LocalError(f"{place}: address = {text!r}: {allowed}") from None


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines that have anything on them, with their numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LocalError(f"{path}: not text in UTF-8: {error.reason}") from error
    except OSError as error:
        raise LocalError(f"{path}: can't be read: {error.strerror}") from error
    reader = csv.reader(io.StringIO(text), strict=True, skipinitialspace=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise LocalError(f"{path}:{reader.line_num}: {error}") from error
