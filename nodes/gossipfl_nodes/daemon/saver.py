"""The saver: writes what the peer must remember, now and then, and for the last time when the daemon stops.

The event loop waits for none of it: what is written is lent by the peer, which copies a vector before it changes one,
and a thread encodes and writes it. Trouble with the disk is told of, and tried again; the node goes on meanwhile.
"""

from __future__ import annotations

import structlog
import trio

from gossipfl.errors import LocalError
from gossipfl.protocol.peer import Peer
from gossipfl.protocol.saved import Saved, Schedule
from gossipfl_nodes.daemon.telemetry import Telemetry
from gossipfl_nodes.disk.store import Store

LAST = 5.0
"""Seconds that the last save may take, by what the one before took: a daemon that stops has ten for everything."""

log = structlog.get_logger("saver")


class Saver:
    """Saves `peer` in `store`, at the latest every so many seconds."""

    def __init__(self, peer: Peer, store: Store, telemetry: Telemetry, every: float) -> None:
        self._peer, self._store, self._telemetry = peer, store, telemetry
        self._schedule = Schedule(every)
        self._turn = trio.Lock()
        self._busy = False

    def joined(self) -> None:
        """The peer has joined."""
        self._schedule.joined()

    def begin_interval(self, nursery: trio.Nursery) -> None:
        """A publish interval of the peer begins; it must not change before this returns. Saves in `nursery` if due."""
        if not self._busy and self._schedule.due(trio.current_time()):
            self._busy = True
            nursery.start_soon(self._save, self._peer.save())

    async def finish(self) -> None:
        """Save for the last time; the peer does not change any more."""
        if self._schedule.seconds <= LAST:
            await self._save(self._peer.save())
        else:
            log.warning("not saved once more: it takes too long", seconds=round(self._schedule.seconds, 1))

    async def _save(self, saved: Saved) -> None:
        chunks = self._store.encode(saved)
        del saved  # the peer copies what somebody holds
        async with self._turn:
            begun = trio.current_time()
            try:
                await trio.to_thread.run_sync(self._store.write, chunks)
            except LocalError as error:
                self._telemetry.note_save(str(error))
            else:
                self._telemetry.note_save("")
            self._schedule.saved(begun, trio.current_time())
            self._busy = False
