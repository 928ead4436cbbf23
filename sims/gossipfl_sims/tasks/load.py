"""From a task's name to its factory, for the simulator: what a daemon can learn, and the protocol studies."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from gossipfl.errors import LocalError
from gossipfl.tasks import load as tasks
from gossipfl.tasks.task import Factory
from gossipfl_sims.tasks.consensus import consensus
from gossipfl_sims.tasks.quadratic import quadratic

STUDIES: dict[str, Factory] = {"consensus": consensus, "quadratic": quadratic}


def load(name: str, options: Mapping[str, Any] = tasks.NO_OPTIONS) -> Factory:
    """The factory that `name` stands for, with `options`. Runs the user's file if it names one.

    Raises:
        LocalError: no such task, file, factory or option; the message says what there is.
    """
    return tasks.with_options(name, find(name), options)


def find(name: str) -> Factory:
    """The factory that `name` stands for, as it is."""
    if name in STUDIES:
        return STUDIES[name]
    if ":" not in name and name not in tasks.BUILT_IN:
        names = [*STUDIES, *tasks.BUILT_IN]
        near = get_close_matches(name, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise LocalError(f"task.name = {name!r}: allowed are {', '.join(names)}, or file.py:factory{hint}")
    return tasks.find(name)
