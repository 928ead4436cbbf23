"""From a task's name to its factory: a built-in name, or a user's own `file.py:factory`, and its options.

A factory's options are its keyword parameters: `def factory(node, *, train_hours: float = 0)` has one. They are checked
against their annotations before the factory sees them.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import msgspec

from gossipfl.errors import LocalError
from gossipfl.tasks.task import Factory

BUILT_IN = {
    "digits": "gossipfl.tasks.digits",
    "softmax": "gossipfl.tasks.digits",
    "npz": "gossipfl.tasks.npz",
    "sensors": "gossipfl.tasks.sensors.task",
}
"""Built-in tasks: the module, which has a factory of the same name."""


NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def load(name: str, options: Mapping[str, Any] = NO_OPTIONS) -> Factory:
    """The factory that `name` stands for, with `options`. Runs the user's file if it names one.

    Raises:
        LocalError: no such task, file, factory or option, or a wrong value; the message says what there is.
    """
    return with_options(name, find(name), options)


def find(name: str) -> Factory:
    """The factory that `name` stands for, as it is.

    Raises:
        LocalError: no such task, file or factory; the message says what there is.
    """
    if name in BUILT_IN:
        return cast("Factory", getattr(importlib.import_module(BUILT_IN[name]), name))
    path, colon, factory = name.rpartition(":")
    if not colon:
        near = get_close_matches(name, BUILT_IN, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise LocalError(f"task {name!r}: allowed are {', '.join(BUILT_IN)}, or file.py:factory{hint}")
    return _from_file(Path(path), factory)


def parse(text: str) -> Any:
    """The value of an option as it would be in a TOML file; text needs no quotes.

    >>> parse("12"), parse("gru")
    (12, 'gru')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def options_of(factory: Factory) -> dict[str, Any]:
    """The options of `factory`: their names, and what annotates them."""
    try:
        parameters = inspect.signature(factory, eval_str=True).parameters
    except NameError:  # an annotation that is there for type checkers only
        parameters = inspect.signature(factory).parameters
    return {
        name: Any if isinstance(one.annotation, str) or one.annotation is one.empty else one.annotation
        for name, one in parameters.items()
        if one.kind is one.KEYWORD_ONLY
    }


def with_options(task: str, factory: Factory, options: Mapping[str, Any]) -> Factory:
    """`factory` with checked `options`; `task` is its name.

    Raises:
        LocalError: an option that it does not have, or a value of another kind than allowed.
    """
    if not options:
        return factory
    known, checked = options_of(factory), {}
    for name, value in options.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
            raise LocalError(f"task {task}: option {name} = {value!r}: no such option; {hint}")
        # A name of digits reads like a number on a command line.
        given = str(value) if known[name] is str and isinstance(value, int) else value
        try:
            checked[name] = msgspec.convert(given, known[name])
        except msgspec.ValidationError as error:
            raise LocalError(f"task {task}: option {name} = {value!r}: {error}") from None
    return partial(factory, **checked)


def _from_file(path: Path, factory: str) -> Factory:
    if not path.is_file():
        raise LocalError(f"task {path}:{factory}: there is no file {path}")
    name = f"gossipfl_task_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LocalError(f"task {path}:{factory}: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise LocalError(f"task {path}:{factory}: {path} fails: {type(error).__name__}: {error}") from error
    made = getattr(module, factory, None)
    if not callable(made):
        raise LocalError(f"task {path}:{factory}: {path} has no function {factory!r}")
    return cast("Factory", made)
