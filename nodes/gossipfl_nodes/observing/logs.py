"""Log lines: for people on a terminal, JSON for a service manager; always on stderr. The last ones are kept in memory.

What is kept is bounded in number, size and rate, and in what a line may hold: short texts and numbers, whatever
somebody logs one day.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from typing import Any

import msgspec
import structlog

from gossipfl_nodes.network.limits import Bucket, Rate
from gossipfl_nodes.observing.ring import Ring

MAX_TEXT = 300
"""Characters of one value; no text of a peer's is longer."""
MAX_VALUES = 16
"""Of one line."""
KEPT = Rate(20, 200)
"""Lines a second; a start and a stop together have fewer than fifty."""


class Logs:
    """The level of what is logged, and the last lines."""

    def __init__(self, level: str) -> None:
        self.ring = Ring()
        self.life = f"{time.time_ns() // 1_000_000:x}"
        """Another one with each start."""
        self._bucket = Bucket(KEPT, time.monotonic())
        self._left_out = 0
        on_terminal = sys.stderr.isatty()
        self._renderers = (
            [structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ)]
            if on_terminal
            else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        )
        for library in ("libp2p", "async_service", "zeroconf"):  # their inner life
            logging.getLogger(library).setLevel(logging.CRITICAL)
        self.show(level)

    def show(self, level: str) -> None:
        """Log lines of at least `level`, one of `gossipfl_nodes.daemon.config.LEVELS`, from now on."""
        self.level = level
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                self._keep,
                *self._renderers,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            # A logger that is cached keeps its level for good; made anew it costs microseconds, and lines are rare.
            cache_logger_on_first_use=False,
        )

    def _keep(self, _: Any, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        now = time.monotonic()
        if self._bucket.wait(1, now) > 0:
            self._left_out += 1
            return line
        self._bucket.take(1, now)
        names = dict.fromkeys(("timestamp", "level", "event", *line))
        kept = {name: _plain(line[name]) for name in list(names)[:MAX_VALUES]}
        if self._left_out:
            kept["left_out"], self._left_out = self._left_out, 0
        self.ring.add(msgspec.json.encode(kept))
        return line


def _plain(value: Any) -> str | float | bool | None:
    """`value` as a line may hold it."""
    match value:
        case None | bool():
            return value
        case int() | float():
            return value if math.isfinite(value) and abs(value) < 1 << 63 else str(value)[:MAX_TEXT]
        case str():
            return value[:MAX_TEXT]
        case _:
            return f"<{type(value).__name__}>"
