"""From a task's name to its factory, for the simulator: what a daemon can learn, and the protocol studies."""

from __future__ import annotations

from difflib import get_close_matches

from gossipfl.errors import LocalError
from gossipfl.tasks import load as tasks
from gossipfl.tasks.task import Factory
from gossipfl_sims.tasks.consensus import consensus
from gossipfl_sims.tasks.quadratic import quadratic

STUDIES: dict[str, Factory] = {"consensus": consensus, "quadratic": quadratic}


def load(name: str) -> Factory:
    """The factory that `name` stands for. Runs the user's file if it names one.

    Raises:
        LocalError: no such task, file or factory; the message says what there is.
    """
    if name in STUDIES:
        return STUDIES[name]
    if ":" not in name and name not in tasks.BUILT_IN:
        names = [*STUDIES, *tasks.BUILT_IN]
        near = get_close_matches(name, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise LocalError(f"task.name = {name!r}: allowed are {', '.join(names)}, or file.py:factory{hint}")
    return tasks.load(name)
