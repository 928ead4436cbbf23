"""Frames: how one message lies on a byte stream, and how a stream is cut into messages again.

    stream = (length:u32 body)*      length 0 is a keep-alive
    body   = magic:2 version:u8 crc32:u32 message

Owns lengths, the version byte and the checksum. Knows no socket (like h11: bytes in, bodies out) and no message.
Memory is bounded before it is allocated: a length over the limit is refused as soon as its four bytes are there.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from gossipfl.errors import LocalError, RemoteError

PROTOCOL_VERSION = 1
MAGIC = b"gf"
KEEP_ALIVE = b"\0\0\0\0"
_LENGTH = struct.Struct(">I")
LENGTH_BYTES = _LENGTH.size
_HEADER = struct.Struct(">2sBI")
SMALL = 4096
"""Bytes up to which pieces are put together at once: a stream of single bytes must not become as many objects."""
OVERHEAD = _HEADER.size
"""Bytes that a body has beside its message."""


def wrap(message: bytes) -> bytes:
    """The body that carries `message`."""
    return _HEADER.pack(MAGIC, PROTOCOL_VERSION, zlib.crc32(message)) + message


def unwrap(body: bytes) -> memoryview:
    """The message in a body, as a view into it.

    Raises:
        RemoteError: the body is too short, is not ours, speaks another protocol version, or is damaged.
    """
    if len(body) < OVERHEAD:
        raise RemoteError(f"frame of {len(body)} bytes is shorter than its header")
    magic, version, checksum = _HEADER.unpack_from(body)
    if magic != MAGIC:
        raise RemoteError(f"frame does not start with {MAGIC!r}")
    if version != PROTOCOL_VERSION:
        raise RemoteError(f"frame of protocol version {version}; this node speaks {PROTOCOL_VERSION}")
    message = memoryview(body)[OVERHEAD:]
    if zlib.crc32(message) != checksum:
        raise RemoteError("frame is damaged: checksum differs")
    return message


def frame(body: bytes) -> bytes:
    """`body` with its length in front, ready for a byte stream."""
    if not body:
        raise LocalError("frame: an empty body is a keep-alive; send KEEP_ALIVE")
    return _LENGTH.pack(len(body)) + body


class FrameDecoder:
    """Cuts a byte stream into bodies. Holds one unfinished body of `max_body` bytes, and what was fed beyond it.

    Args:
        max_body: the largest body, in bytes, that this stream may carry.
    """

    def __init__(self, max_body: int) -> None:
        self.max_body = max_body
        """May be raised meanwhile."""
        self._parts: list[bytes] = []
        """What is not cut yet: put together once, when there is a body in it."""
        self._start = 0
        """Bytes of the first part that are cut already."""
        self.held = 0
        """Bytes that are not cut yet."""
        self._wanted = LENGTH_BYTES
        """Bytes until there is something to do."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are complete with `data`, oldest first; a keep-alive is an empty one.

        They are cut one by one as they are asked for: a stream of tiny ones costs nobody more than it takes.

        Raises:
            RemoteError: a length over `max_body`. The stream can't be read on: close it.
        """
        if self._parts and len(self._parts[-1]) < SMALL > len(data):
            self._parts[-1] += data
        else:
            self._parts.append(data)
        self.held += len(data)
        return self._cut()

    def _cut(self) -> Iterator[bytes]:
        while self.held >= self._wanted:
            if len(self._parts) > 1:
                self._parts = [b"".join([self._parts[0][self._start :], *self._parts[1:]])]
                self._start = 0
            (stream,) = self._parts
            (length,) = _LENGTH.unpack_from(stream, self._start)
            if length > self.max_body:
                raise RemoteError(f"frame of {length} bytes; at most {self.max_body} are allowed")
            self._wanted = LENGTH_BYTES + length
            if self.held >= self._wanted:
                end = self._start + self._wanted
                body = stream[self._start + LENGTH_BYTES : end]
                self.held, self._start, self._wanted = self.held - self._wanted, end, LENGTH_BYTES
                yield body
        if self._start:  # let go of what is cut
            rest = self._parts[0][self._start :]
            self._parts[:1], self._start = [rest] if rest else [], 0
