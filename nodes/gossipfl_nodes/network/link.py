"""A link: frames to and from one peer, for as long as both ends live.

Each end opens one stream and only writes to it, so no stream is read and written at once. Owns the outgoing queue, the
keep-alives, and the rule of life: a link is dead when not a single byte has come for SILENCE seconds. A slow transfer
keeps a link alive, and so do keep-alives, which don't wait behind the other direction's data as ping replies do.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast

import trio
from libp2p.abc import IMuxedConn, INetStream

from gossipfl.errors import RemoteError
from gossipfl.wire.frames import KEEP_ALIVE, FrameDecoder, parts
from gossipfl_nodes.network import limits
from gossipfl_nodes.network.door import socket_stream
from gossipfl_nodes.network.limits import Bucket, Limits

KEEP_ALIVE_EVERY = 3.0
SILENCE = 12.0
"""Seconds without a byte: four keep-alives. A TCP retransmission at 5 % loss takes up to 5.5 s."""
MAX_QUEUED = 256
"""Frames waiting for a slow peer; beyond, as beyond the bytes that the link is made for, the oldest is dropped: every
frame can be lost, none may pile up."""
ROUND_TRIP = 68
"""Where in Linux's struct tcp_info the smoothed round-trip time stands, in microseconds."""
READ_SIZE = 1 << 18
"""Bytes read from a stream at once."""


class Link:
    """The outgoing queue and counters of one peer's link.

    Args:
        allowed: what the peer may send, and how much may wait to be sent to it: two of the largest frames.
        dialled: have we made it?
        admitted: is the peer no stranger? Those may send small frames only.
    """

    def __init__(self, allowed: Limits, *, dialled: bool = False, admitted: bool = True) -> None:
        self._allowed = allowed
        self.dialled, self.admitted = dialled, admitted
        self._decoder = FrameDecoder(allowed.max_body if admitted else limits.STRANGER_FRAME)
        self._frames = Bucket(allowed.frames, trio.current_time())
        self.bytes_sent = 0
        self.bytes_received = 0
        self.scope = trio.CancelScope()
        self.read = False
        """Is the peer's stream being read?"""
        self.connections: set[IMuxedConn] = set()
        """That its streams are on: one, or two after a mutual dial."""
        self.unfinished = 0
        """Bytes of frames that came and that nobody has taken yet."""
        self.queued = 0
        """Bytes that wait to be sent."""
        self._queue: deque[tuple[bytes, bool]] = deque()
        self._wake = trio.Event()
        self._sending = False

    def admit(self) -> None:
        """The peer is no stranger any more."""
        self.admitted, self._decoder.max_body = True, self._allowed.max_body

    def put(self, body: bytes, *, supersedes: bool) -> None:
        """Queue a frame; with `supersedes`, instead of an earlier such frame that is still waiting."""
        if supersedes:
            self._queue = deque(item for item in self._queue if not item[1])
        self._queue.append((body, supersedes))
        self.queued = sum(len(waiting) for waiting, _ in self._queue)
        while len(self._queue) > MAX_QUEUED or self.queued > 2 * self._allowed.max_body:
            self.take()
        self._wake.set()

    def take(self) -> bytes:
        """The frame that has waited longest, which waits no more."""
        body, _ = self._queue.popleft()
        self.queued -= len(body)
        return body

    @property
    def round_trip(self) -> float | None:
        """Seconds to the peer and back, as the kernel has smoothed them; None if it doesn't know."""
        found = []
        for connection in self.connections:
            if (stream := socket_stream(connection)) is not None:
                with contextlib.suppress(OSError):  # closed meanwhile
                    info = stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, ROUND_TRIP + 4)
                    found.append(struct.unpack_from("=I", info, ROUND_TRIP)[0] / 1e6)
        return min(found, default=None)

    @property
    def idle(self) -> bool:
        """Is nothing waiting to be sent?"""
        return not (self._queue or self._sending)

    async def write_to(self, stream: INetStream) -> None:
        """Send what is queued, and keep-alives in between, until cancelled or the stream breaks."""
        while True:
            while self._queue:
                self._sending = True
                for part in parts(self.take()):
                    await stream.write(cast("bytes", part))  # a view will do, too
                    self.bytes_sent += len(part)
                    del part  # it may be as large as a model
                self._sending = False
            self._wake = trio.Event()
            with trio.move_on_after(KEEP_ALIVE_EVERY) as waited:
                await self._wake.wait()
            if waited.cancelled_caught:
                await stream.write(KEEP_ALIVE)
                self.bytes_sent += len(KEEP_ALIVE)

    async def read_from(
        self, stream: INetStream, deliver: Callable[[bytes], Awaitable[None]], crowd: Callable[[], None]
    ) -> None:
        """Deliver each frame body from the peer's stream, until it ends. `crowd` is called when there is more to keep.

        Raises:
            RemoteError: the stream breaks the framing, or nothing comes at all.
            Exception: whatever libp2p raises when a stream ends.
        """
        decoder = self._decoder
        with trio.CancelScope(deadline=trio.current_time() + limits.FIRST_WORD) as first:
            while True:
                data = await stream.read(READ_SIZE)
                if not data:
                    raise RemoteError("stream ended")
                self.bytes_received += len(data)
                bodies, self.unfinished = decoder.feed(data), decoder.held
                crowd()
                for body in bodies:
                    await self._frames_allow()
                    if body:
                        first.deadline = float("inf")
                        await deliver(body)
                    del body  # it may be as large as a model
                    self.unfinished = decoder.held
        raise RemoteError("it opened a stream and said nothing")

    async def _frames_allow(self) -> None:
        while (pause := self._frames.wait(1, trio.current_time())) > 0:
            await trio.sleep(pause)
        self._frames.take(1, trio.current_time())


async def watch(silence: Callable[[], float]) -> None:
    """Return when the peer has been silent for too long; `silence` tells for how many seconds it has been."""
    begun = trio.current_time()
    while True:
        quiet = min(silence(), trio.current_time() - begun)
        if quiet >= SILENCE:
            return
        await trio.sleep(SILENCE - quiet)
