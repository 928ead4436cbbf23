"""Fresh k-out: in every epoch everybody sends to k others at random, and hears from k.

The ids stand on a circle by their hash; multiplied with an odd number that depends on the epoch alone, they stand there
in another order. Everybody sends to the k next ones: a random k-out graph whose in-degree is k as well, which the nodes
agree on without a word. With k = 1 this is OD-EquiDyn in random order (Song et al., "Communication-Efficient Topologies
for Decentralized Learning with O(1) Consensus Rate", NeurIPS 2022). Nodes whose epochs differ still draw uniformly, as
in EL-Local (de Vos et al., NeurIPS 2023), with random in-degrees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from gossipfl_topology.live.topology import DICE, MASK, View, places, position
from gossipfl_topology.parameters import check


@dataclass(frozen=True, kw_only=True)
class KOut:
    """k others at random, drawn afresh in every publish interval; everybody hears from k as well.

    Attributes:
        k: recipients of a publish, 1 to 32.

    >>> KOut(k=1).neighbours("a", {"a": "", "b": "", "c": ""}, epoch=3) != ("a",)
    True
    """

    fresh: ClassVar[bool] = True
    k: int = 3

    def __post_init__(self) -> None:
        check("k-out", "k", self.k, 1 <= self.k <= 32, "1 to 32")

    @property
    def name(self) -> str:
        """See Topology."""
        return f"k-out:k={self.k}"

    def neighbours(self, me: str, view: View, epoch: int) -> tuple[str, ...]:
        """The k live ids that follow `me` on the circle of this epoch."""
        return self.drawer(me, view)(epoch)

    def drawer(self, me: str, view: View) -> Callable[[int], tuple[str, ...]]:
        """See Topology."""
        others = sorted(node for node in view if node != me)
        here, place = position(me), places(0)
        ahead = np.array([place[node] - here & MASK for node in others], dtype=np.uint64)

        def draw(epoch: int) -> tuple[str, ...]:
            places = ahead * _stride(epoch)  # modulo 2⁶⁴
            return tuple(others[i] for i in places.argsort(kind="stable")[: self.k].tolist())

        return draw

    def chance(self, others: int) -> float:
        """A publish goes to k of the others.

        >>> KOut(k=2).chance(8)
        0.25
        """
        return min(1.0, self.k / others) if others else 1.0


@lru_cache(maxsize=16)
def _stride(epoch: int) -> np.uint64:
    """The odd number of an epoch, the same for all peers of the process."""
    return np.uint64(position(str(epoch), DICE) | 1)
