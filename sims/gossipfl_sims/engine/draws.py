"""Randomness: one stream of numbers for each cause, all from one seed.

A stream of its own for each cause means that more loss, say, changes nothing but who loses: latencies, crashes and
training draw what they drew before. Numbers come in blocks: one by one a numpy generator costs ten times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

BLOCK = 4096
CAUSES = (
    "latency", "loss", "duplication", "reordering", "corruption", "peers", "training", "devices", "faults", "lies",
    "keys",
)  # fmt: skip
"""In this order they take their streams from the seed: append only, or every recorded seed tells another story."""


class Draws:
    """The streams of one run.

    Args:
        seed: of all of them.
    """

    def __init__(self, seed: int) -> None:
        streams = np.random.SeedSequence(seed).spawn(len(CAUSES))
        self._generators = {cause: np.random.default_rng(one) for cause, one in zip(CAUSES, streams, strict=True)}

    def generator(self, cause: str) -> np.random.Generator:
        """The stream of `cause`, to draw anything from."""
        return self._generators[cause]

    def uniform(self, cause: str) -> Callable[[], float]:
        """A function that draws from U[0, 1); it must be the only one to use the stream of `cause`."""
        return _blocks(self._generators[cause].random).__next__

    def normal(self, cause: str) -> Callable[[], float]:
        """A function that draws from N(0, 1); it must be the only one to use the stream of `cause`."""
        return _blocks(self._generators[cause].standard_normal).__next__


def _blocks(draw: Callable[[int], np.ndarray[tuple[int], np.dtype[np.float64]]]) -> Iterator[float]:
    while True:
        yield from draw(BLOCK).tolist()
