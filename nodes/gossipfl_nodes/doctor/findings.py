"""What the doctor looks at, and what it finds."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from gossipfl_nodes.daemon.config import Config
from gossipfl_nodes.disk.home import Home


class Patient(NamedTuple):
    """One device."""

    home: Home
    config: Config
    status: dict[str, Any] | None
    """What its daemon says of itself, if it runs."""


class Finding(NamedTuple):
    """What was looked at, and whether that is as it should be."""

    name: str
    verdict: Literal["ok", "hint", "wrong"]
    """A hint is about what may be meant so."""
    text: str
    fix: str = ""
    """What to do, for all but "ok"."""
