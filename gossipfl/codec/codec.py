"""A codec: which coordinates of a model are sent, and with how many bits each.

Its name is a quantiser's, with a selection's behind a plus: `int8`, `int4+top-k:0.2`, `int2+round-robin:5`. Any two go
together. What they make is a `Delta`, the difference to a base; zstd then takes out what is left of redundancy. A delta
says itself how it was made, so every node can read every codec. Knows no peers.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Annotated

from msgspec import Meta, Struct

from gossipfl.codec.coordinates import Coordinates, count
from gossipfl.codec.packing import pack, unpack
from gossipfl.codec.quantisers import BY_NUMBER, Quantiser, quantiser
from gossipfl.codec.selections import Selection, selection
from gossipfl.errors import LocalError, RemoteError
from gossipfl.kernels import Codes, Floats, Index, Kernel, gather
from gossipfl.model.schema import Vector


class Delta(Struct, frozen=True, array_like=True, gc=False, tag=1, forbid_unknown_fields=True):
    """Some coordinates of a vector, as their difference to a base. `data` of a frame is a view of it."""

    coordinates: Coordinates
    quantiser: Annotated[int, Meta(ge=0, le=255)]
    packed: bool
    data: memoryview


class Codec(Struct, frozen=True):
    """A quantiser and a selection."""

    quantiser: Quantiser
    selection: Selection

    @property
    def bits(self) -> float:
        """For each coordinate of the model, on average over publishes and before zstd."""
        return self.quantiser.bits * self.selection.share


@lru_cache(maxsize=64)  # names come from the network, too
def codec(name: str) -> Codec:
    """The codec of that name.

    Raises:
        LocalError: no such codec; the message says what is allowed.
    """
    bits, _, which = name.partition("+")
    try:
        return Codec(quantiser(bits), selection(which or "all"))
    except LocalError as error:
        raise LocalError(f"codec = {name!r}: {error}") from None


def cheaper(own: str, theirs: str) -> str:
    """The codec for a link whose ends ask for `own` and `theirs`, by name; one that is not known doesn't count."""
    try:
        return theirs if codec(theirs).bits < codec(own).bits else own
    except LocalError:
        return own


def encode(
    made_by: Quantiser, where: Coordinates, x: Vector, base: Vector, rng: random.Random, kernel: Kernel
) -> tuple[Delta, memoryview]:
    """The coordinates `where` of x − base, shapes (d,), and the quantised ones before zstd. `rng` decides rounding."""
    index = where.index(x.size)
    raw = made_by.encode(gather(x, index), gather(base, index), rng, kernel)
    packed, data = pack(raw)
    return Delta(where, made_by.number, packed, memoryview(data)), raw


def decode(delta: Delta, size: int) -> tuple[Index, Floats, Codes | Floats]:
    """Which coordinates of a vector of shape (size,) `delta` carries, their scales, and their codes.

    Raises:
        RemoteError: it is no delta of such a vector, or empty. Bad scales are left to whoever uses them.
    """
    made_by = BY_NUMBER.get(delta.quantiser)
    if made_by is None:
        raise RemoteError(f"delta by quantiser {delta.quantiser}; known are {', '.join(map(str, BY_NUMBER))}")
    index = delta.coordinates.index(size)
    n = count(index)
    if not n:
        raise RemoteError("delta without coordinates")
    data = unpack(delta.data, made_by.size(n)) if delta.packed else delta.data
    return index, *made_by.decode(data, n)
