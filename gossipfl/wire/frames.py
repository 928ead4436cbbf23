"""Frames: how one message lies on a byte stream, and how a stream is cut into messages again.

    stream = (length:u32 body)*      length 0 is a keep-alive
    body   = magic:2 version:u8 crc32:u32 message

Owns lengths, the version byte and the checksum. Knows no socket (like h11: bytes in, bodies out) and no message.
Memory is bounded before it is allocated: a length over the limit is refused as soon as its four bytes are there.
"""

from __future__ import annotations

import io
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
HEAD = 1 << 15
"""Bytes of a body that go out with its length: most bodies whole, as each write costs a packet."""
OVERHEAD = _HEADER.size
"""Bytes that a body has beside its message."""


def wrap(message: bytes, rest: bytes | memoryview = b"") -> bytes:
    """The body that carries `message`, which may be in two parts: so a large one is copied once."""
    return b"".join((_HEADER.pack(MAGIC, PROTOCOL_VERSION, zlib.crc32(rest, zlib.crc32(message))), message, rest))


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


def parts(body: bytes) -> list[bytes | memoryview]:
    """`body` with its length in front, ready for a byte stream: the first HEAD bytes, and a view of the rest."""
    if not body:
        raise LocalError("frame: an empty body is a keep-alive; send KEEP_ALIVE")
    rest = memoryview(body)[HEAD:]
    return [_LENGTH.pack(len(body)) + body[:HEAD], *([rest] if rest else [])]


class FrameDecoder:
    """Cuts a byte stream into bodies. Holds one unfinished body of `max_body` bytes, and what was fed beyond it.

    Args:
        max_body: the largest body, in bytes, that this stream may carry.
    """

    def __init__(self, max_body: int) -> None:
        self.max_body = max_body
        """May be raised meanwhile."""
        self._ahead = b""
        """What came last."""
        self._start = 0
        """Bytes of it that are cut already."""
        self._begun = io.BytesIO()
        """What is there of a body; it grows as bytes come, and becomes the body without being copied."""
        self._missing = 0
        """Bytes that it lacks."""
        self.held = 0
        """Bytes that are not cut yet."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are complete with `data`, oldest first; a keep-alive is an empty one.

        They are cut one by one as they are asked for: a stream of tiny ones costs nobody more than it takes.

        Raises:
            RemoteError: a length over `max_body`. The stream can't be read on: close it.
        """
        self._ahead, self._start = self._ahead[self._start :] + data, 0
        self.held += len(data)
        return self._cut()

    def _cut(self) -> Iterator[bytes]:
        while True:
            if self._missing:
                part = memoryview(self._ahead)[self._start : self._start + self._missing]
                self._begun.write(part)
                self._start += len(part)
                self._missing -= len(part)
                if self._missing:
                    break
                body, self._begun = self._begun.getvalue(), io.BytesIO()
            else:
                left = len(self._ahead) - self._start - LENGTH_BYTES
                if left < 0:
                    break
                (length,) = _LENGTH.unpack_from(self._ahead, self._start)
                if length > self.max_body:
                    raise RemoteError(f"frame of {length} bytes; at most {self.max_body} are allowed")
                self._start += LENGTH_BYTES
                if left < length:
                    self._missing = length
                    continue
                body = self._ahead[self._start : self._start + length]
                self._start += length
            self.held -= LENGTH_BYTES + len(body)
            yield body
        self._ahead, self._start = self._ahead[self._start :], 0
