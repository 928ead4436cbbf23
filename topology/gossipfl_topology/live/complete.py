"""Everybody with everybody: for meshes of a dozen, and to compare with."""

from __future__ import annotations

from dataclasses import dataclass

from gossipfl_topology.live.topology import Still, View


@dataclass(frozen=True)
class Complete(Still):
    """Everybody with everybody.

    >>> Complete().neighbours("b", {"a": "", "b": "", "c": ""}, epoch=0)
    ('a', 'c')
    """

    @property
    def name(self) -> str:
        """See Topology."""
        return "complete"

    def neighbours(self, me: str, view: View, epoch: int) -> tuple[str, ...]:  # noqa: ARG002 - it stays as it is
        """All live ids but `me`, ascending."""
        return tuple(sorted(node for node in view if node != me))
