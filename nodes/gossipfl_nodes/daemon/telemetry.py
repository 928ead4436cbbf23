"""Telemetry: what a daemon has seen of itself: counters, the served model's metrics, and log lines.

Takes the peer's reports and turns them into what `gossipfl status` shows and what is logged. Lines that a peer can
provoke are rate-limited, and no line ever holds a datum or a tensor.
"""

from __future__ import annotations

import time
from typing import TypeVar

import structlog
import trio

from gossipfl.protocol import events as ev
from gossipfl.protocol.neighbourhood import MAX_KNOWN
from gossipfl.protocol.parts.links import ENOUGH
from gossipfl_nodes.observing.diary import Diary

LOG_EVERY = 10.0
"""Seconds between two lines about the same peer's refused frames."""
SAVE_LOG_EVERY = 600.0
"""Seconds between two lines about a disk that stays full."""

log = structlog.get_logger("daemon")
Value = TypeVar("Value")


class Telemetry:
    """Counters and times, by trio's clock, and the diary of what happens."""

    def __init__(self, diary: Diary) -> None:
        self.diary = diary
        self.started = trio.current_time()
        self.joined_after: float | None = None
        """Seconds from the start until the first local training."""
        self.rebases = 0
        self.publishes = 0
        self.merges = 0
        self.refused = 0
        self.failures = 0
        self.last_failure = ""
        self.longest_gap = 0.0
        """Longest time without a merge, since the first one."""
        self.metrics: dict[str, float] = {}
        """Of the served model, on held-out data."""
        self.saved_at: float | None = None
        """Seconds since 1970, by this device's clock, when the peer was saved last."""
        self.save_error = ""
        """Why the last save failed; nothing if it didn't."""
        self._last_merge: float | None = None
        self.peer_merged_at: dict[str, float] = {}
        """By peer, when it was merged last."""
        self.peer_merges: dict[str, int] = {}
        self.peer_refused: dict[str, int] = {}
        """By peer; for the last MAX_KNOWN of them."""
        self._logged: dict[str, float] = {}
        self._cut: dict[str, float] = {}
        self._failure_logged = self._save_logged = float("-inf")

    def note(self, report: ev.Report) -> None:
        """Take in one report of the peer."""
        now = trio.current_time()
        self.diary.reported(report)
        match report:
            case ev.Merged(peer, _, _):
                self.merges += 1
                _put(self.peer_merges, peer, self.peer_merges.get(peer, 0) + 1)
                _put(self.peer_merged_at, peer, now)
                self.longest_gap = max(self.longest_gap, self.gap(now))
                self._last_merge = now
            case ev.Published():
                self.publishes += 1
            case ev.Joined(sources):
                if self.joined_after is None:
                    self.joined_after = now - self.started
                self.rebases += bool(sources)
                log.info("learning", rebased_on=len(sources))
            case ev.Died(peer):
                log.info("peer is gone", peer=peer)
            case ev.Partitioned(missing, there):
                log.warning("the mesh looks split", missing=missing, there=there)
            case ev.Healed(missing, there):
                log.info("the mesh is whole again", missing=missing, there=there)
            case ev.Refused(peer, reason):
                self.refuse(peer, reason)
            case ev.Failed(reason):
                self.failures += 1
                self.last_failure = reason
                if now - self._failure_logged >= LOG_EVERY:
                    self._failure_logged = now
                    log.error("local training failed", reason=reason, so_far=self.failures)

    def refuse(self, peer: str, reason: str) -> None:
        """Something from `peer` was refused, by the core or by its link."""
        self.refused += 1
        self.diary.tell("refused", peer=peer, reason=reason)
        _put(self.peer_refused, peer, self.peer_refused.get(peer, 0) + 1)
        now = trio.current_time()
        if now - self._logged.get(peer, float("-inf")) >= LOG_EVERY:
            _put(self._logged, peer, now)
            log.warning("refused", peer=peer, reason=reason, so_far=self.peer_refused[peer])

    def note_disconnect(self, peer: str, reason: str) -> None:
        """The peer wants the link to `peer` cut."""
        if reason == ENOUGH:
            return  # this happens all the time
        now = trio.current_time()
        if now - self._cut.get(peer, float("-inf")) >= LOG_EVERY:
            _put(self._cut, peer, now)
            log.warning("disconnecting", peer=peer, reason=reason)

    def note_save(self, error: str) -> None:
        """The peer was saved, or was not because of `error`."""
        now = trio.current_time()
        if not error:
            self.saved_at = time.time()
            self.diary.tell("saved")
            if self.save_error:
                log.info("saved again")
        elif not self.save_error or now - self._save_logged >= SAVE_LOG_EVERY:
            self._save_logged = now
            log.warning("can't be saved; a crash would cost more than usual", reason=error)
        if error:
            self.diary.tell("not saved", reason=error)
        self.save_error = error

    def gap(self, now: float) -> float:
        """Seconds since the last merge; 0 before the first."""
        return now - self._last_merge if self._last_merge is not None else 0.0


def _put(table: dict[str, Value], peer: str, value: Value) -> None:
    """Keep `value` for `peer`; the peer that has been there longest makes room, since ids cost their makers nothing."""
    table[peer] = value
    if len(table) > MAX_KNOWN:
        del table[next(iter(table))]
