"""Grids: which settings are tried, each with each, as cells that are known to be runnable before anything runs.

A grid is written `KEY=VALUE,VALUE`, once for each key. A comma separates values, except where what follows it reads
`NAME=`: that goes on with the parameters of the value before, so `topology=ring,watts-strogatz:k=4,p=0.2,star` has
three values. A value with a comma of its own stands in double quotes, as in a CSV file.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import product
from operator import getitem
from typing import Any

import msgspec
from msgspec import Struct

from gossipfl.errors import LocalError
from gossipfl.tasks.load import parse
from gossipfl_sims.scenario.files import full_key, load
from gossipfl_sims.scenario.scenario import Scenario
from gossipfl_sims.tasks.load import load as load_task
from gossipfl_topology.errors import TopologyError
from gossipfl_topology.wiring import wire

PARAMETER = re.compile(r"\s*[A-Za-z_][\w-]*=")
"""How the next parameter of a topology begins. No value that a key can have begins like that."""


class Cell(Struct, frozen=True):
    """One place in the grid."""

    values: tuple[Any, ...]
    """In the order of the grid's keys, as the scenario has them: a 0 for a number with a point is 0.0."""
    scenario: Scenario


class Plan(Struct, frozen=True):
    """What a sweep runs: every cell with every seed."""

    name: str
    """The scenario's name or file, and what --set changed, as in a replay line."""
    keys: tuple[str, ...]
    """Of the grid, each with its table."""
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    fingerprint: str
    """Of all that the cells have in common: the scenario with its changes, but for the grid's keys and `about`."""


def parse_grid(texts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """The values of each key, with its table, in the order written.

    Raises:
        LocalError: no such key, a key or value twice, or no value; names the key, and the nearest one.
    """
    grid: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        short, equals, listed = text.partition("=")
        if not equals:
            raise LocalError(f"--grid {text}: write KEY=VALUE,VALUE, as in --grid loss=0,0.1,0.3")
        try:
            key = full_key(short)
        except LocalError as error:
            raise LocalError(str(error).replace("--set", "--grid", 1)) from None
        if key in grid:
            raise LocalError(f"--grid {text}: {key} is already in the grid; write all its values together")
        values: list[Any] = []
        for one in _split(text, listed):
            value = parse(one)
            if value in values:
                raise LocalError(f"--grid {text}: {key} = {one} is there twice")
            values.append(value)
        grid[key] = tuple(values)
    return grid


def plan(name: str, grid: Mapping[str, Sequence[Any]], seeds: Sequence[int], changes: Sequence[str] = ()) -> Plan:
    """Every cell of `grid`, loaded and checked.

    Args:
        name: of a scenario, or a .toml file.
        grid: as `parse_grid` gives it.
        seeds: at least one, each once.
        changes: KEY=VALUE, for all cells.

    Raises:
        LocalError: a cell that is no scenario, or whose topology or task can't be had; names the cell, key and value.
    """
    for change in changes:
        key = change.partition("=")[0]
        if full_key(key) in grid:
            raise LocalError(f"--set {change}: {full_key(key)} is in the grid as well; one of them must go")
    if not seeds or len(set(seeds)) < len(seeds):
        raise LocalError(f"seeds = {list(seeds)}: at least one, and each once")
    cells = tuple(_cell(name, dict(zip(grid, values, strict=True)), changes) for values in product(*grid.values()))
    common = msgspec.to_builtins(cells[0].scenario)
    common.pop("about")
    for key in grid:
        *tables, last = key.split(".")
        reduce(getitem, tables, common).pop(last)
    digest = hashlib.blake2b(json.dumps(common, sort_keys=True).encode(), digest_size=8).hexdigest()
    line = " ".join([name, *(f"--set {change}" for change in changes)])
    return Plan(line, tuple(grid), cells, tuple(seeds), digest)


def written(value: Any) -> str:
    """`value` such that `parse` gives it back: numbers and words as they are, anything else as in TOML."""
    text = value if isinstance(value, str) else repr(value)
    return text if parse(text) == value else json.dumps(value)


def _split(text: str, listed: str) -> list[str]:
    """The values in `listed`, which is the part of `text` after the key."""
    found: list[str] = []
    for part in next(csv.reader([listed], skipinitialspace=True)) or [""]:
        piece = part.strip()
        if not piece:
            raise LocalError(f"--grid {text}: there is an empty value; write KEY=VALUE,VALUE, as in loss=0,0.1,0.3")
        if not PARAMETER.match(piece):
            found.append(piece)
        elif found and ":" in found[-1]:
            found[-1] += f",{piece}"
        else:
            before = found[-1] if found else "NAME"
            raise LocalError(
                f"--grid {text}: {piece} reads like a parameter; write {before}:{piece}, or one --grid each"
            )
    return found


def _cell(name: str, chosen: dict[str, Any], changes: Sequence[str]) -> Cell:
    shown = ", ".join(f"{key} = {written(value)}" for key, value in chosen.items())
    try:
        scenario = load(name, [*changes, *(f"{key}={written(value)}" for key, value in chosen.items())])
        load_task(scenario.task.name, scenario.task.options)
        wire(scenario.gossip.topology, scenario.nodes, 0)
    except (LocalError, TopologyError) as error:
        raise LocalError(f"the cell {shown}: {error}" if shown else str(error)) from error
    return Cell(tuple(_value(scenario, key) for key in chosen), scenario)


def _value(scenario: Scenario, key: str) -> Any:
    value: Any = scenario
    for part in key.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value
