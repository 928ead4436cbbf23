"""Lies: what a corrupt or lying peer sends instead of its frames.

A liar runs the honest protocol and changes what leaves it, so its frames are as well-formed as it wants them to be.
Everything here must be refused, or do no more harm than the protocol promises; see `checks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random

import numpy as np
from msgspec import structs

from gossipfl.codec.codec import decode
from gossipfl.codec.quantisers import BY_NUMBER, values
from gossipfl.kernels import numpy as reference
from gossipfl.wire import messages as msg
from gossipfl.wire.messages import MAX_RATE
from gossipfl_sims.nemesis.faults import LieName

KEPT = 16
"""Old frames that a liar can say again."""


class Liar:
    """What one machine sends while it lies.

    Args:
        how: which lies it knows.
        every: it tells one instead of every so many frames.
        rng: which one, when, and with what.
        told: counts them.
        size: d, of the model that it lies about.
    """

    def __init__(
        self, how: Sequence[LieName], every: int, rng: np.random.Generator, told: Counter[str], size: int
    ) -> None:
        self._how = how
        self._every = every
        self._rng = rng
        self._told = told
        self._size = size
        self._old: list[bytes] = []

    def __call__(self, body: bytes, receiver: str) -> Iterator[bytes]:
        """What goes to `receiver` instead of `body`."""
        del receiver  # each frame is drawn anew, so different neighbours hear different things
        self._old = [*self._old[1 - KEPT :], body]
        if self._rng.integers(self._every):
            yield body
            return
        name = self._how[int(self._rng.integers(len(self._how)))]
        yield from self._lie(name, body)

    def _lie(self, name: LieName, body: bytes) -> Iterator[bytes]:
        message = msg.decode(body)
        if name in ABOUT_UPDATES and not isinstance(message, msg.Update):
            yield body
            return
        self._told[f"lie: {name}"] += 1
        if name == "garbage":
            yield self._rng.bytes(int(self._rng.integers(1, 200)))
        elif name == "replay":
            yield self._old[int(self._rng.integers(len(self._old)))]
            yield body
        else:
            assert isinstance(message, msg.Update)
            yield msg.encode(ABOUT_UPDATES[name](message, self._size))


def _scaled(factor: float) -> Callable[[msg.Update, int], msg.Update]:
    def change(update: msg.Update, size: int) -> msg.Update:
        _, scales, codes = decode(update.payload, size)
        with np.errstate(invalid="ignore", over="ignore"):
            moved = values(scales, codes) * np.float32(factor)
            raw = BY_NUMBER[update.payload.quantiser].encode(moved, np.zeros_like(moved), Random(update.seq), reference)
        return structs.replace(update, payload=structs.replace(update.payload, packed=False, data=raw))

    return change


ABOUT_UPDATES: dict[str, Callable[[msg.Update, int], msg.Update]] = {
    "nan": _scaled(float("nan")),
    "huge": _scaled(1e8),
    "flip": _scaled(-3.0),
    "leap": lambda update, _: structs.replace(update, seq=update.seq + (1 << 40)),
    "age": lambda update, _: structs.replace(update, age=min(update.age + 1e9, 1e15)),
    "rate": lambda update, _: structs.replace(update, rate=MAX_RATE if update.seq % 2 else 1e-9),
    "schema": lambda update, _: structs.replace(update, schema=bytes(len(update.schema))),
}
