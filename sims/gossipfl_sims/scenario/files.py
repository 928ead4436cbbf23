"""Scenario files: TOML in, a Scenario out, and errors that name file, line and key.

The files that ship are in `scenarios/`; any path to a .toml file is a scenario as well. `--set KEY=VALUE` changes one
key; a key may be written without its table where only one table has it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from gossipfl.errors import LocalError
from gossipfl_sims.nemesis.faults import AnyFault
from gossipfl_sims.scenario.plan import check
from gossipfl_sims.scenario.scenario import Scenario

FOLDER = Path(__file__).parent.parent / "scenarios"
FAULTS = {str(kind.__struct_config__.tag): kind for kind in AnyFault.__args__}
"""By the name that `kind` gives them."""
PLACE = re.compile(r" - at `\$(.*)`$")
"""Where msgspec says that a value is."""
HEADER = re.compile(r"\s*\[(\[?)\s*([A-Za-z0-9_.-]+)\s*\]")


def shipped() -> list[str]:
    """The names of the scenarios that ship."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str, changes: Sequence[str] = ()) -> Scenario:
    """The scenario called `name`, or in the file `name`, with `KEY=VALUE` changes.

    Raises:
        LocalError: no such scenario, or anything in it that is not allowed; names file, line and key.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        near = get_close_matches(name, shipped(), 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(shipped())}, or a .toml file"
        raise LocalError(f"scenario {name!r}: there is none of that name{hint}")
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LocalError(f"{path}: {error}") from error
    for change in changes:
        _change(raw, change)
    scenario = _convert(raw, path, text)
    for key, problem in check(scenario):
        raise LocalError(f"{_where(path, text, key)}{problem}")
    return scenario


def _convert(raw: dict[str, Any], path: Path, text: str) -> Scenario:
    for number, fault in enumerate(raw.get("faults", ())):
        _check_kind(fault, number, path, text)
    try:
        return msgspec.convert(raw, Scenario)
    except (msgspec.ValidationError, LocalError) as error:
        problem = str(error)
        found = PLACE.search(problem)
        key = found[1].lstrip(".") if found else "gossip." + problem.partition(" ")[0]
        problem = PLACE.sub("", problem)
        if unknown := re.search(r"unknown field `(\w+)`", problem):
            key = f"{key}.{unknown[1]}".lstrip(".")
            problem = f"there is no such key{_allowed(unknown[1], _keys_at(key))}"
        raise LocalError(f"{_where(path, text, key)}{problem}") from None


def _check_kind(fault: Any, number: int, path: Path, text: str) -> None:
    kind = fault.get("kind") if isinstance(fault, dict) else None
    if kind not in FAULTS:
        where = _where(path, text, f"faults[{number}].kind" if kind is not None else f"faults[{number}]")
        raise LocalError(
            f"{where}kind = {kind!r}: allowed are {', '.join(FAULTS)}{_allowed(str(kind), list(FAULTS), ';')}"
        )


def _allowed(word: str, words: Sequence[str], glue: str = "; allowed are ") -> str:
    near = get_close_matches(word, words, 1)
    if near:
        return f"; did you mean {near[0]}?"
    return glue + ", ".join(words) if glue != ";" else ""


def _keys_at(key: str) -> list[str]:
    """The keys that are allowed beside `key`."""
    table = key.rpartition(".")[0]
    if table.startswith("faults["):
        return sorted({field for kind in FAULTS.values() for field in kind.__struct_fields__})
    kind: Any = Scenario
    for part in filter(None, table.split(".")):
        kind = type(getattr(kind(), part))
    return list(kind.__struct_fields__)


def _where(path: Path, text: str, key: str) -> str:
    line = next((number for found, number in _lines(text) if found == key), None)
    return f"{path}:{line}: {key}: " if line else f"{path}: {key}: "


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """Each key of a TOML text as msgspec spells it, with its line, from 1. Enough for what people write by hand."""
    table, counts = "", dict[str, int]()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := HEADER.match(line):
            table = header[2]
            if header[1]:
                counts[table] = counts.get(table, -1) + 1
                table = f"{table}[{counts[table]}]"
            yield table, number
        elif found := re.match(r"\s*([A-Za-z0-9_.-]+)\s*=", line):
            yield f"{table}.{found[1]}".lstrip("."), number


# --- changes from the command line


def _change(raw: dict[str, Any], change: str) -> None:
    key, found, value = change.partition("=")
    if not found:
        raise LocalError(f"--set {change}: write KEY=VALUE, as in --set gossip.topology=ring")
    *tables, last = full_key(key).split(".")
    inner = raw
    for table in tables:
        inner = inner.setdefault(table, {})
    inner[last] = parse(value)


def full_key(key: str) -> str:
    """`key` with its table: `loss` is `network.loss`.

    Raises:
        LocalError: no table has it, or several.
    """
    keys = settable()
    if key in keys:
        return key
    ending = [full for full in keys if full.endswith(f".{key}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise LocalError(f"--set {key}: which of {', '.join(ending)}?")
    near = get_close_matches(key, [*keys, *(full.rpartition(".")[2] for full in keys)], 1)
    raise LocalError(f"--set {key}: there is no such key" + (f"; did you mean {near[0]}?" if near else ""))


def settable() -> Mapping[str, Any]:
    """Every key that `--set` and `--grid` can change, with its default."""
    found: dict[str, Any] = {}
    for field, value in structs.asdict(Scenario()).items():
        if isinstance(value, msgspec.Struct):
            found |= {f"{field}.{key}": default for key, default in structs.asdict(value).items()}
        elif field not in ("about", "faults"):
            found[field] = value
    return found


def parse(value: str) -> Any:
    """A value as it would be in a TOML file; text needs no quotes."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value
