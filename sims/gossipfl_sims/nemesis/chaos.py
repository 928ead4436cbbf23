"""Chaos: faults at random, for finding what nobody thought of. What the seed draws, a replay draws again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gossipfl_sims.nemesis import faults as ft

LONGEST = 20.0
"""Seconds that a fault lasts at the most: long enough for links to be given up, short enough for many in a run."""

Draw = Callable[[float, float, int, np.random.Generator], ft.AnyFault]


def draw(chaos: ft.Chaos, start: float, end: float, machines: int, rng: np.random.Generator) -> Iterator[ft.AnyFault]:
    """Faults at Poisson times between `start` and `end`, for a mesh of so many machines."""
    now = start
    while (now := now + float(rng.exponential(1 / chaos.rate))) < end:
        lasts = float(rng.uniform(0.1, LONGEST))
        yield KINDS[int(rng.integers(len(KINDS)))](now, lasts, int(rng.integers(1, 2 + machines // 3)), rng)


def _share(rng: np.random.Generator, most: float) -> float:
    return float(rng.uniform(0, most))


def _partition(at: float, lasts: float, nodes: int, rng: np.random.Generator) -> ft.Partition:
    shapes: tuple[ft.Shape, ...] = ("halves", "groups", "ring", "bridge")
    one_way = bool(rng.integers(2))
    return ft.Partition(at=at, lasts=lasts, shape=shapes[int(rng.integers(4))], groups=1 + nodes, one_way=one_way)


def _weather(at: float, lasts: float, nodes: int, rng: np.random.Generator) -> ft.Weather:
    del nodes  # weather is everywhere
    return ft.Weather(
        at=at, lasts=lasts, loss=_share(rng, 0.5), duplication=_share(rng, 0.3), reordering=_share(rng, 0.3),
        corruption=_share(rng, 0.1), latency=_share(rng, 1.0),
    )  # fmt: skip


KINDS: tuple[Draw, ...] = (
    _partition,
    _weather,
    lambda at, lasts, _, __: ft.Hold(at=at, lasts=lasts),
    lambda at, lasts, nodes, _: ft.Crash(at=at, lasts=lasts, nodes=nodes),
    lambda at, lasts, nodes, _: ft.Crash(at=at, lasts=lasts, nodes=nodes, disk=False),
    lambda at, _, nodes, __: ft.Bounce(at=at, lasts=0.5, nodes=nodes),
    lambda at, lasts, nodes, _: ft.Pause(at=at, lasts=lasts, nodes=nodes),
    lambda at, lasts, nodes, rng: ft.Slow(at=at, lasts=lasts, nodes=nodes, factor=1 + _share(rng, 50)),
    lambda at, lasts, nodes, rng: ft.Skew(at=at, lasts=lasts, nodes=nodes, rate=0.5 + _share(rng, 1.5)),
    lambda at, lasts, nodes, rng: ft.Upgrade(at=at, lasts=lasts, nodes=nodes, down=0.1 + _share(rng, 3)),
    lambda at, lasts, _, rng: ft.Lie(at=at, lasts=lasts, nodes=1, every=int(rng.integers(1, 6))),
)
