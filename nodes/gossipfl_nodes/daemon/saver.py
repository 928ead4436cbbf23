"""The saver: writes what the peer must remember, now and then, and for the last time when the daemon stops.

The event loop waits for none of it: what is written is lent by the peer, which copies a vector that is still held
before it changes it, and a thread encodes and writes it. A large model is rather written than copied, so its peer is
left alone until the kernel has it all, but not for long. Trouble with the disk is told of, and tried again; the node
goes on meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator

import structlog
import trio

from gossipfl.errors import LocalError
from gossipfl.protocol.peer import Peer
from gossipfl.protocol.saved import Saved, Schedule
from gossipfl_nodes.daemon.process import BIG_MODEL
from gossipfl_nodes.daemon.telemetry import Telemetry
from gossipfl_nodes.disk.store import Store

LAST = 5.0
"""Seconds that the last save may take, by what the one before took: a daemon that stops has ten for everything."""
HOLD = 1.0
"""Seconds that the peer of a large model is left alone. Others ask about one that is silent for so long, and no more. A
disk that takes no 300 MB/s costs copies of what is not written yet."""

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

    async def begin_interval(self, nursery: trio.Nursery) -> None:
        """A publish interval of the peer begins; it must not change before this returns. Saves in `nursery` if due."""
        if not self._busy and self._schedule.due(trio.current_time()):
            self._busy = True
            taken = trio.Event()
            nursery.start_soon(self._save, self._peer.save(), taken)
            if self._peer.replica.x.size >= BIG_MODEL:
                with trio.move_on_after(HOLD):
                    await taken.wait()

    async def finish(self) -> None:
        """Save for the last time; the peer does not change any more."""
        if self._schedule.seconds <= LAST:
            await self._save(self._peer.save(), trio.Event())
        else:
            log.warning("not saved once more: it takes too long", seconds=round(self._schedule.seconds, 1))

    async def _save(self, saved: Saved, taken: trio.Event) -> None:
        """Write `saved`; it is `taken` when there is nothing of it here any more."""
        chunks = self._store.encode(saved)
        del saved  # the peer copies what somebody holds

        def written() -> Iterator[bytes | memoryview]:
            yield from chunks
            trio.from_thread.run_sync(taken.set)

        async with self._turn:
            begun = trio.current_time()
            try:
                await trio.to_thread.run_sync(self._store.write, written())
            except LocalError as error:
                self._telemetry.note_save(str(error))
            else:
                self._telemetry.note_save("")
            self._schedule.saved(begun, trio.current_time())
            self._busy = False
            taken.set()
