"""The one error of this package."""

from __future__ import annotations


class TopologyError(ValueError):
    """A topology that can't be built, read or used as asked; the message says what is allowed or would work."""
