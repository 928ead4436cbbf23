"""Budget: at most so many bytes in any day (or hour, or week …), as a token bucket.

A bucket that fills at rate r and holds C lets through at most C + r·T in any time T. With C a part of the budget and r
the rest of it per period, no period sees more than the budget, wherever it begins. What has to be said (greetings,
questions) is said even if the bucket is empty; then it is paid back before the next publish. Knows no messages.
"""

from __future__ import annotations

import re

from gossipfl.errors import LocalError

_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_PERIODS = {"minute": 60.0, "hour": 3600.0, "day": 86400.0, "week": 604800.0}
_ALLOWED = f"{', '.join(_UNITS)} per {', '.join(_PERIODS)}"
SAVED = 1 / 8
"""Part of a period's bytes that can be saved up: enough to speak when there is something to say, and at the start."""


class Budget:
    """Bytes left to spend, from `text`, as "50 MB/day"; nothing at all in it means without a limit.

    Args:
        text: of the settings.
        saved: the `state` of an earlier life, so that a restart does not fill the bucket.

    Raises:
        LocalError: not such a text.
    """

    def __init__(self, text: str, saved: tuple[float, float] | None = None) -> None:
        self.limit = float("inf")
        """Bytes in any period."""
        self.period = 86400.0
        """Seconds."""
        self.spent = 0
        """Bytes since the node runs."""
        if text:
            match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?(B|kB|MB|GB)/(minute|hour|day|week)", text)
            if match is None or not float(match[1]):
                raise LocalError(f"budget = {text!r}: allowed is nothing, or as in '50 MB/day': {_ALLOWED}")
            self.limit, self.period = float(match[1]) * _UNITS[match[2]], _PERIODS[match[3]]
        self.capacity = SAVED * self.limit
        """Bytes that can be saved up."""
        filled, self._at = saved or (1.0, float("-inf"))
        self._tokens = min(filled, 1.0) * self.capacity if self.limited else self.capacity

    @property
    def limited(self) -> bool:
        """Is there a limit?"""
        return self.limit != float("inf")

    def spend(self, size: int) -> None:
        """`size` bytes go out."""
        self.spent += size
        self._tokens -= size

    @property
    def state(self) -> tuple[float, float]:
        """How full the bucket is, not counting what flowed in since somebody asked; and when that was."""
        return self._tokens / self.capacity if self.limited else 1.0, self._at

    def left(self, now: float) -> float:
        """Bytes that may go out at `now`, seconds; negative while what had to be said is paid back."""
        self._at = min(self._at, now)  # an earlier life had a clock that was ahead
        if self.limited and now > self._at:
            rate = (1 - SAVED) * self.limit / self.period
            self._tokens = min(self.capacity, self._tokens + rate * (now - max(self._at, now - self.period)))
            self._at = now
        return self._tokens
