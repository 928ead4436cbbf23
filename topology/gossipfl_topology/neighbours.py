"""From a live view to neighbours, with no coordinator: to whom do I publish now?

Owns the choice of recipients. Pure functions of the caller's id, the ids it believes alive, and a random generator:
nodes with the same view agree wherever the topology needs agreement. Knows nothing of models, links or time.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Collection

TOPOLOGIES = ("random", "ring", "complete")


def neighbours(topology: str, me: str, live: Collection[str], k: int, rng: random.Random) -> tuple[str, ...]:
    """The recipients of one publish, without `me` and without repetition.

    * `random`: k live peers, drawn afresh each time (EL-Local: de Vos et al., NeurIPS 2023). At any moment an expander
      in expectation, and it needs no repair under churn.
    * `ring`: the two peers next to me among all ids in sorted order, the last one next to the first.
    * `complete`: everybody.

    Args:
        topology: one of TOPOLOGIES.
        me: the caller's id.
        live: ids of the live peers; `me` may be among them.
        k: out-degree of `random`, ≥ 1; the other topologies don't use it.
        rng: the randomness of `random`.

    Raises:
        ValueError: an unknown topology.

    >>> neighbours("ring", "b", ["a", "c", "d"], k=2, rng=random.Random(0))
    ('a', 'c')
    """
    others = sorted(set(live) - {me})
    if topology == "random":
        return tuple(rng.sample(others, min(k, len(others))))
    if topology == "complete":
        return tuple(others)
    if topology == "ring":
        here = bisect_left(others, me)
        return tuple(dict.fromkeys((others[here - 1], others[here % len(others)]))) if others else ()
    raise ValueError(f"topology: no topology {topology!r}; one of {', '.join(TOPOLOGIES)}")


def chance(topology: str, live: int, k: int) -> float:
    """The probability that one publish of a node goes to a given one of its neighbours, with `live` peers alive.

    >>> chance("random", live=8, k=2)
    0.25
    """
    return min(1.0, k / live) if topology == "random" and live else 1.0
