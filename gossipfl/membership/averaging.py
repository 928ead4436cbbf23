"""Flow updating: the average of a number over all members, kept exactly under loss, duplication and reordering.

Jesus, Baquero, Almeida (2009). Node i has a value v, and for each neighbour j the flow f of value from i to j. Its
estimate is e = v − Σ f. Neighbours tell each other flow and estimate, not changes, so the last message makes up for all
that were lost; where the two flows of each pair add up to nothing, the sum of the estimates is that of the values. A
neighbour that is gone takes its flow along, and the others find the average of those who are left.

Who is asked comes to the mean, and who asked takes over the flow that the answer tells, and moves no further: so the
two flows add up to nothing when a pair falls silent after an answer, as pairs whose links are renewed do.
"""

from __future__ import annotations


class FlowAverage:
    """One node's part in it."""

    def __init__(self, value: float) -> None:
        self.value = value
        """v, which may change at any time."""
        self._flows: dict[str, float] = {}

    @property
    def estimate(self) -> float:
        """e."""
        return self.value - sum(self._flows.values())

    def asked(self, neighbour: str, flow: float, estimate: float) -> None:
        """`neighbour` says how much flows from it to here, and what it estimates: both ends shall have the mean."""
        self._flows[neighbour] = -flow
        own = self.estimate
        self._flows[neighbour] += own - (own + estimate) / 2

    def answered(self, neighbour: str, flow: float) -> None:
        """`neighbour` says how much flows from it to here now."""
        self._flows[neighbour] = -flow

    def tell(self, neighbour: str) -> tuple[float, float]:
        """What to say to `neighbour`: the flow from here to it, and the estimate."""
        return self._flows.get(neighbour, 0.0), self.estimate

    def forget(self, neighbour: str) -> None:
        """`neighbour` is gone."""
        self._flows.pop(neighbour, None)
