"""The inventory of a fleet: which devices a city has, who and where they are, and what they run.

`gossipfl city init` writes it, as FLEET/inventory.json and for people as inventory.csv; commands of daemons and of the
simulator read it. Beside it lie graph.json, who is linked with whom, and devices/SENSOR/, the device's home. Holds no
secret.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from gossipfl.errors import LocalError
from gossipfl.output.files import write_durably

FORMAT = 1
READINGS = "readings.csv"
"""What a device's home has of the city's table: its own column."""


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One device."""

    sensor: str
    """The city's name of it."""
    id: str
    """The mesh's."""
    role: str
    """sensor or gateway."""
    address: str = ""
    """Where others reach it, as /ip4/…/tcp/…; nothing where only a LAN finds it."""
    latitude: float | None = None
    longitude: float | None = None


class Inventory(Struct, frozen=True, forbid_unknown_fields=True):
    """A fleet, in the order of its graph's nodes."""

    format: int
    founder: str
    """The id of whoever made it."""
    task: str
    options: dict[str, Any]
    """Of the task."""
    gossip: dict[str, Any]
    """The sensors' keys of [gossip], but their neighbours."""
    topology: str
    """As in gossip.topology; nothing where the devices' neighbours are those of graph.json."""
    readings: bool
    """Has each home a table of its own readings?"""
    devices: Annotated[tuple[Entry, ...], Meta(min_length=1)]


def graph_path(fleet: Path) -> Path:
    """The whole fleet's graph; its nodes are named as the city does."""
    return fleet / "graph.json"


def home_path(fleet: Path, sensor: str) -> Path:
    """The home of a device."""
    return fleet / "devices" / sensor


def write(fleet: Path, inventory: Inventory) -> None:
    """Write both files; raises LocalError."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(Entry.__struct_fields__)
    table.writerows(msgspec.structs.astuple(entry) for entry in inventory.devices)
    write_durably(fleet / "inventory.csv", text.getvalue().encode())
    write_durably(_path(fleet), msgspec.json.format(msgspec.json.encode(inventory), indent=1) + b"\n")


def read(fleet: Path) -> Inventory:
    """The inventory of the fleet in that folder.

    Raises:
        LocalError: there is none, or it is not one.
    """
    path = _path(fleet)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Inventory)
    except FileNotFoundError:
        raise LocalError(f"{path}: not there: {fleet} holds no fleet; gossipfl city init makes one") from None
    except OSError as error:
        raise LocalError(f"{path}: can't be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LocalError(f"{path}: damaged: {error}") from error
    if found.format != FORMAT:
        raise LocalError(f"{path}: format {found.format}; this version reads {FORMAT}: use the one that wrote it")
    return found


def _path(fleet: Path) -> Path:
    return fleet / "inventory.json"
