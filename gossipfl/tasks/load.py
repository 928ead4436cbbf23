"""From a task's name to its factory: a built-in name, or a user's own `file.py:factory`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from gossipfl.errors import LocalError
from gossipfl.tasks.task import Factory

BUILT_IN = {
    "digits": "gossipfl.tasks.digits",
    "softmax": "gossipfl.tasks.digits",
    "npz": "gossipfl.tasks.npz",
    "sensors": "gossipfl.tasks.sensors.task",
}
"""Built-in tasks: the module, which has a factory of the same name."""


def load(name: str) -> Factory:
    """The factory that `name` stands for. Runs the user's file if it names one.

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
