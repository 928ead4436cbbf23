"""Quantisers: floats to few bits and back, one algorithm per file."""

from __future__ import annotations

from gossipfl.codec.quantisers.floats import BFLOAT16, FLOAT16, FLOAT32
from gossipfl.codec.quantisers.qsgd import INT2, INT3, INT4, INT8
from gossipfl.codec.quantisers.quantiser import Quantiser, check, values
from gossipfl.codec.quantisers.sign import SIGN
from gossipfl.errors import LocalError

_ALL: tuple[Quantiser, ...] = (INT8, INT4, INT3, INT2, SIGN, FLOAT32, FLOAT16, BFLOAT16)
QUANTISERS = {one.name: one for one in _ALL}
BY_NUMBER = {one.number: one for one in _ALL}


def quantiser(name: str) -> Quantiser:
    """The quantiser of that name.

    Raises:
        LocalError: no such quantiser.
    """
    try:
        return QUANTISERS[name]
    except KeyError:
        raise LocalError(f"quantiser {name!r}: allowed is one of {', '.join(QUANTISERS)}") from None


__all__ = ["BY_NUMBER", "QUANTISERS", "Quantiser", "check", "quantiser", "values"]
