"""How a topology is named with its parameters: `regular:k=4`, in a command, a configuration or a call.

A parameter's name, type and default stand in the signature of the function that it is for, and nowhere else.
"""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_type_hints

from gossipfl_topology.errors import TopologyError

Function = TypeVar("Function", bound=Callable[..., Any])
NUMBERS = (int, float)


def parse(text: str) -> tuple[str, dict[str, str]]:
    """The name and the parameters in `NAME[:KEY=VALUE,…]`.

    Raises:
        TopologyError: a parameter without a value, or given twice.

    >>> parse("watts-strogatz:k=4,p=0.3")
    ('watts-strogatz', {'k': '4', 'p': '0.3'})
    """
    name, _, rest = text.partition(":")
    given: dict[str, str] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not value or not key or key in given:
            raise TopologyError(f"{text!r}: allowed is NAME:KEY=VALUE,KEY=VALUE with each key once, as regular:k=4")
        given[key] = value
    return name, given


def is_path(text: str) -> bool:
    """Does `text` mean a graph file, and not a topology by its name?

    >>> is_path("city.graphml"), is_path("/etc/gossipfl/mesh"), is_path("watts-strogatz:p=0.3")
    (True, True, False)
    """
    name = text.partition(":")[0]
    return "." in name or "/" in name


def find(name: str, functions: Mapping[str, Function]) -> Function:
    """The function called `name`.

    Raises:
        TopologyError: there is none; the message has the nearest name and all of them.

    >>> find("ring", {"ring": len})([1, 2])
    2
    """
    if name not in functions:
        near = get_close_matches(name, functions, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise TopologyError(f"no topology {name!r}; {hint}allowed: {', '.join(functions)}")
    return functions[name]


def parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """The keyword parameters that `function` takes from a user, with their defaults.

    >>> def small_world(n, *, k=4, p=0.1, rng): ...
    >>> parameters(small_world)
    {'k': 4, 'p': 0.1}
    """
    taken = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in taken if p.kind is p.KEYWORD_ONLY and p.name != "rng"}


def bind(name: str, function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` as `function` takes it: text becomes the number that the parameter's type asks for.

    Raises:
        TopologyError: an unknown parameter, or a text that is no such number.

    >>> def regular(n: int, *, k: int = 4): ...
    >>> bind("regular", regular, {"k": "6"})
    {'k': 6}
    """
    allowed = parameters(function)
    types = get_type_hints(function)
    made = dict(given)
    for key, value in given.items():
        if key not in allowed:
            near = get_close_matches(key, allowed, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            has = f"allowed: {', '.join(allowed)}" if allowed else "it takes no parameters"
            raise TopologyError(f"{name} has no parameter {key!r}; {hint}{has}")
        if isinstance(value, str):
            kind = next((kind for kind in NUMBERS if kind in _members(types.get(key))), None)
            if kind is None:
                raise TopologyError(f"{name}: {key} can't be given as text, only as an array in Python")
            try:
                made[key] = kind(value)
            except ValueError as error:
                raise TopologyError(f"{name}: {key} = {value!r}: allowed is {_called(kind)}") from error
        members = _members(types.get(key))
        number = isinstance(made[key], numbers.Real) and not isinstance(made[key], bool)
        if int in members and not isinstance(made[key], (numbers.Integral, type(None))):
            raise TopologyError(f"{name}: {key} = {value!r}: allowed is {_called(int)}")
        if float in members and made[key] is not None and not (number and math.isfinite(made[key])):
            raise TopologyError(f"{name}: {key} = {value!r}: allowed is {_called(float)}")
    return made


def check(name: str, key: str, value: object, ok: bool, allowed: str) -> None:  # noqa: FBT001
    """Refuse a value.

    Raises:
        TopologyError: if not `ok`; the message has topology, key, value, and what is allowed.

    >>> check("regular", "k", 9, 9 < 5, "k must be < n = 5")
    Traceback (most recent call last):
    gossipfl_topology.errors.TopologyError: regular: k = 9: k must be < n = 5
    """
    if not ok:
        raise TopologyError(f"{name}: {key} = {value}: {allowed}")


def _members(hint: Any) -> tuple[Any, ...]:
    """The types in a union, or the type alone."""
    return getattr(hint, "__args__", (hint,)) if hint is not None else ()


def _called(kind: type) -> str:
    return "a whole number" if kind is int else "a number"
