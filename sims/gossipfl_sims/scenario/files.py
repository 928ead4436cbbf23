"""Scenario files: TOML in, a Scenario out, and errors that name file, line and key.

The files that ship are in `scenarios/`; any path to a .toml file is a scenario as well. `--set KEY=VALUE` changes one
key; a key may be written without its table where only one table has it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from gossipfl.errors import LocalError
from gossipfl.tasks.load import options_of, parse
from gossipfl_sims.nemesis.faults import AnyFault
from gossipfl_sims.scenario.plan import check
from gossipfl_sims.scenario.scenario import Scenario
from gossipfl_sims.tasks.load import find

FOLDER = Path(__file__).parent.parent / "scenarios"
FAULTS = {str(kind.__struct_config__.tag): kind for kind in AnyFault.__args__}
"""By the name that `kind` gives them."""
PLACE = re.compile(r" - at `\$(.*)`$")
"""Where msgspec says that a value is."""
OPTIONS = "task.options."
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

    def in_file(key: str) -> str:
        return _where(path, text, key)

    scenario = _convert(raw, in_file)
    for change in changes:
        raw = _changed(raw, change)
        scenario = _convert(raw, partial(_in_change, change))
    for key, problem in check(scenario):
        raise LocalError(f"{in_file(key)}{problem}")
    return scenario


def _in_change(change: str, key: str) -> str:
    return f"--set {change}: {key}: "


def _convert(raw: dict[str, Any], where: Callable[[str], str]) -> Scenario:
    """The scenario, whose keys are `where`.

    Raises:
        LocalError: something is not allowed; the message begins with where it is.
    """
    faults = raw.get("faults", [])
    if not isinstance(faults, list):
        raise LocalError(f"{where('faults')}write [[faults]] for each fault, with two brackets")
    for number, fault in enumerate(faults):
        kind = fault.get("kind") if isinstance(fault, dict) else None
        if kind is None:
            raise LocalError(f"{where(f'faults[{number}]')}it has no kind; allowed are {', '.join(FAULTS)}")
        if not isinstance(kind, str) or kind not in FAULTS:
            raise LocalError(f"{where(f'faults[{number}].kind')}kind = {kind!r}{_allowed(str(kind), list(FAULTS))}")
    try:
        return msgspec.convert(raw, Scenario)
    except (msgspec.ValidationError, LocalError) as error:
        key, problem = _explained(error, faults)
        raise LocalError(f"{where(key)}{problem}") from None


def _explained(error: Exception, faults: list[dict[str, Any]]) -> tuple[str, str]:
    """The key that `error` is about, and what is wrong there."""
    problem = str(error)
    if re.match(r"\w+ = ", problem):  # from Settings, which names its own key
        return "gossip." + problem.partition(" ")[0], PLACE.sub("", problem)
    found = PLACE.search(problem)
    key, problem = found[1].lstrip(".") if found else "", PLACE.sub("", problem)
    if unknown := re.search(r"unknown field `(.*)`", problem):
        allowed = _keys_in(key, faults)
        return f"{key}.{unknown[1]}".lstrip("."), f"there is no such key{_allowed(unknown[1], allowed)}"
    return key, problem


def _allowed(word: str, words: Sequence[str]) -> str:
    near = get_close_matches(word, words, 1)
    return f"; did you mean {near[0]}?" if near else f"; allowed are {', '.join(words)}"


def _keys_in(table: str, faults: list[dict[str, Any]]) -> list[str]:
    """The keys that are allowed in `table`."""
    if number := re.fullmatch(r"faults\[(\d+)\]", table):
        return ["kind", *FAULTS[faults[int(number[1])]["kind"]].__struct_fields__]
    kind: Any = Scenario
    for part in filter(None, table.split(".")):
        kind = type(getattr(kind(), part))
    return list(kind.__struct_fields__)


def _where(path: Path, text: str, key: str) -> str:
    """File, line if it can be told, and key."""
    lines, outer = dict(_lines(text)), key
    while outer and outer not in lines:
        outer = outer.rpartition("[" if outer.endswith("]") else ".")[0]
    place = f"{path}:{lines[outer]}" if outer else f"{path}"
    return f"{place}: {key}: " if key else f"{place}: "


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
        elif found := re.match(r"\s*([\"']?)([A-Za-z0-9_.-]+)\1\s*=", line):
            yield f"{table}.{found[2]}".lstrip("."), number


# --- changes from the command line


def _changed(raw: dict[str, Any], change: str) -> dict[str, Any]:
    """A copy of `raw` with one key changed."""
    key, found, value = change.partition("=")
    if not found:
        raise LocalError(f"--set {change}: write KEY=VALUE, as in --set gossip.topology=ring")
    *tables, last = full_key(key, raw.get("task", {}).get("name", "")).split(".")
    made = table = dict(raw)
    for name in tables:
        inner = dict(table.get(name, {}))
        table[name] = inner
        table = inner
    table[last] = parse(value)
    return made


def full_key(key: str, task: str = "") -> str:
    """`key` with its table: `loss` is `network.loss`, and an option of the task is one of `task.options`.

    Args:
        key: with or without its table.
        task: its name, if it is known; otherwise options are known by their full names only.

    Raises:
        LocalError: no table has it, or several.
    """
    keys = list(settable())
    if key in keys or key.startswith(OPTIONS):
        return key
    keys += [f"{OPTIONS}{name}" for name in (options_of(find(task)) if task else ())]
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
