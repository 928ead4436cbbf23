"""Everybody with everybody: for meshes of a dozen, and to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gossipfl_topology.live.topology import View


@dataclass(frozen=True)
class Complete:
    """Everybody with everybody.

    >>> Complete().neighbours("b", {"a": "", "b": "", "c": ""}, epoch=0)
    ('a', 'c')
    """

    fresh: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """See Topology."""
        return "complete"

    def neighbours(self, me: str, view: View, epoch: int) -> tuple[str, ...]:  # noqa: ARG002 - it stays as it is
        """All live ids but `me`, ascending."""
        return tuple(sorted(node for node in view if node != me))

    def chance(self, others: int) -> float:  # noqa: ARG002
        """Every publish goes to all."""
        return 1.0
