"""Selections: which coordinates of its model a node publishes, one rule per file.

What is not sent is not lost: the receiver keeps its own coordinates, and a later publish carries the rest. Names are
`all`, or a rule and its parameter: `top-k:0.2`, `round-robin:5`, `random:0.2`, `fragments:5`, `layers`.
"""

from __future__ import annotations

from collections.abc import Callable

from gossipfl.codec.selections.every import Every
from gossipfl.codec.selections.fragments import Fragments
from gossipfl.codec.selections.layers import Layers
from gossipfl.codec.selections.random_k import RandomK
from gossipfl.codec.selections.round_robin import RoundRobin
from gossipfl.codec.selections.selection import Selection
from gossipfl.codec.selections.top_k import TopK
from gossipfl.errors import LocalError

_SHARES: dict[str, Callable[[float], Selection]] = {"top-k": TopK, "random": RandomK}
_PARTS: dict[str, Callable[[int], Selection]] = {"round-robin": RoundRobin, "fragments": Fragments}
_ALLOWED = "all, layers, top-k:SHARE or random:SHARE (0.0001 to 1), round-robin:N or fragments:N (2 to 10000)"
LEAST_SHARE, MOST_PARTS = 1e-4, 10_000


def selection(name: str) -> Selection:
    """The selection of that name.

    Raises:
        LocalError: no such selection, or a parameter out of its range.
    """
    if name == "all":
        return Every()
    if name == "layers":
        return Layers()
    rule, _, parameter = name.partition(":")
    try:
        if rule in _SHARES and LEAST_SHARE <= (share := float(parameter)) <= 1:
            return _SHARES[rule](share)
        if rule in _PARTS and 2 <= (parts := int(parameter)) <= MOST_PARTS:
            return _PARTS[rule](parts)
    except ValueError:
        pass
    raise LocalError(f"selection {name!r}: allowed is {_ALLOWED}")


__all__ = ["Selection", "selection"]
