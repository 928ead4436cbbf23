"""A link: frames to and from one peer, for as long as both ends live.

Each end opens one stream and only writes to it, so no stream is read and written at once. Owns the outgoing queue, the
keep-alives, and the rule of life: a link is dead when not a single byte has come for SILENCE seconds. A slow transfer
keeps a link alive, and so do keep-alives, which don't wait behind the other direction's data as ping replies do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import trio
from libp2p.abc import IMuxedConn, INetStream

from gossipfl.errors import RemoteError
from gossipfl.wire.frames import KEEP_ALIVE, FrameDecoder, frame

KEEP_ALIVE_EVERY = 3.0
SILENCE = 12.0
"""Seconds without a byte: four keep-alives. A TCP retransmission at 5 % loss takes up to 5.5 s."""
MAX_QUEUED = 256
"""Frames waiting for a slow peer; beyond, as beyond the bytes that the link is made for, the oldest is dropped: every
frame can be lost, none may pile up."""
READ_SIZE = 1 << 18


class Link:
    """The outgoing queue and counters of one peer's link.

    Args:
        max_bytes: how much may wait to be sent.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.bytes_sent = 0
        self.bytes_received = 0
        self.scope = trio.CancelScope()
        self.read = False
        """Is the peer's stream being read?"""
        self.connections: set[IMuxedConn] = set()
        """That its streams are on: one, or two after a mutual dial."""
        self._queue: deque[tuple[bytes, bool]] = deque()
        self._wake = trio.Event()
        self._sending = False

    def put(self, body: bytes, *, supersedes: bool) -> None:
        """Queue a frame; with `supersedes`, instead of an earlier such frame that is still waiting."""
        if supersedes:
            self._queue = deque(item for item in self._queue if not item[1])
        self._queue.append((body, supersedes))
        while len(self._queue) > MAX_QUEUED or sum(len(waiting) for waiting, _ in self._queue) > self._max_bytes:
            self._queue.popleft()
        self._wake.set()

    @property
    def idle(self) -> bool:
        """Is nothing waiting to be sent?"""
        return not (self._queue or self._sending)

    async def write_to(self, stream: INetStream) -> None:
        """Send what is queued, and keep-alives in between, until cancelled or the stream breaks."""
        while True:
            while self._queue:
                data = frame(self._queue.popleft()[0])
                self._sending = True
                await stream.write(data)
                self._sending = False
                self.bytes_sent += len(data)
            self._wake = trio.Event()
            with trio.move_on_after(KEEP_ALIVE_EVERY) as waited:
                await self._wake.wait()
            if waited.cancelled_caught:
                await stream.write(KEEP_ALIVE)
                self.bytes_sent += len(KEEP_ALIVE)

    async def read_from(self, stream: INetStream, max_body: int, deliver: Callable[[bytes], Awaitable[None]]) -> None:
        """Deliver each frame body from the peer's stream, until it ends.

        Raises:
            RemoteError: the stream breaks the framing.
            Exception: whatever libp2p raises when a stream ends.
        """
        decoder = FrameDecoder(max_body)
        while True:
            data = await stream.read(READ_SIZE)
            if not data:
                raise RemoteError("stream ended")
            self.bytes_received += len(data)
            for body in decoder.feed(data):
                await deliver(body)


async def watch(silence: Callable[[], float]) -> None:
    """Return when the peer has been silent for too long; `silence` tells for how many seconds it has been."""
    begun = trio.current_time()
    while True:
        quiet = min(silence(), trio.current_time() - begun)
        if quiet >= SILENCE:
            return
        await trio.sleep(SILENCE - quiet)
