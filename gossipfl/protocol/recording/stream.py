r"""How records lie in a file, appended one by one: one that ends anywhere, even by kill -9, is read up to there.

Bytes in, records out (as h11 does), and back; knows no file. Lengths are checked before anything is allocated, and each
head has a checksum of its own, so that a damaged length is never taken for a torn end.

    recording = "gossipfl recording\0" version:u16 record*     the first record is the Origin; all is little-endian
    record    = kind:u8 stored:u32 size:u32 body_crc:u32 head_crc:u32 body
    body        `stored` bytes; unless that is `size`, deflated from `size` bytes
"""

from __future__ import annotations

import struct
import zlib

from gossipfl.errors import LocalError
from gossipfl.protocol.recording.records import MAX_BODY, Followed, Happened, Origin, Raw, Record, State, decode

VERSION = 1
MAGIC = b"gossipfl recording\0" + struct.pack("<H", VERSION)
_HEAD = struct.Struct("<BIII")
_CRC = struct.Struct("<I")
OVERHEAD = _HEAD.size + _CRC.size
"""Bytes that a record has beside its body."""


def pack(raw: Raw) -> bytes:
    """The bytes of a record, ready to be appended to MAGIC and the records before."""
    # Runs of zeros (inputs that are never lit) and the few exponents are all that can be saved in a float32 delta:
    # run lengths and Huffman codes find both, in half the time of a search for repetitions.
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    body = deflate.compress(raw.body) + deflate.flush()
    if len(body) >= len(raw.body):
        body = raw.body
    head = _HEAD.pack(raw.kind, len(body), len(raw.body), zlib.crc32(body))
    return head + _CRC.pack(zlib.crc32(head)) + body


class Reader:
    """Cuts the bytes of a recording into records, and refuses what is none. Holds one unfinished record at most."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0
        self._before: type | None = None
        self.offset = 0
        """Where the next record begins, in bytes from the start of the recording."""

    def feed(self, data: bytes) -> None:
        """Take in the next bytes, of any number."""
        del self._buffer[: self._start]
        self._start = 0
        self._buffer += data

    @property
    def left(self) -> int:
        """Bytes taken in that belong to no record yet; once there are no more to come, these are cut off."""
        return len(self._buffer) - self._start

    def next(self) -> Record | None:
        """The next record, or None until more bytes have been fed.

        Raises:
            LocalError: this is no recording, or is damaged; the message says at which byte, and what is wrong.
        """
        try:
            if self.offset == 0 and not self._open():
                return None
            found = self._cut()
            if found is None:
                return None
            record = decode(found[0])
            self._check_order(record)
        except LocalError as error:
            raise LocalError(f"byte {self.offset}: {error}") from error
        self._before = type(record)
        self._advance(OVERHEAD + found[1])
        return record

    def _advance(self, count: int) -> None:
        self._start += count
        self.offset += count

    def _open(self) -> bool:
        """Is what every recording starts with there already?"""
        begun = bytes(self._buffer[: len(MAGIC)])
        if not MAGIC.startswith(begun):
            if len(begun) == len(MAGIC) and begun[:-2] == MAGIC[:-2]:
                (version,) = struct.unpack("<H", begun[-2:])
                raise LocalError(f"a recording of format version {version}; {VERSION} is the one that is known here")
            raise LocalError("this is not a recording of gossipfl")
        if len(begun) < len(MAGIC):
            return False
        self._advance(len(MAGIC))
        return True

    def _cut(self) -> tuple[Raw, int] | None:
        """The next record and its stored length, if it is whole."""
        if self.left < OVERHEAD:
            return None
        head = bytes(self._buffer[self._start : self._start + _HEAD.size])
        kind, stored, size, check = _HEAD.unpack(head)
        if _CRC.unpack_from(self._buffer, self._start + _HEAD.size) != (zlib.crc32(head),):
            raise LocalError("the head of a record is damaged: its checksum differs")
        if not stored <= size <= MAX_BODY:
            raise LocalError(f"a record of {size} bytes in {stored}; allowed are at most {MAX_BODY} in no more")
        if self.left < OVERHEAD + stored:
            return None
        begin = self._start + OVERHEAD
        body = bytes(memoryview(self._buffer)[begin : begin + stored])
        if zlib.crc32(body) != check:
            raise LocalError("a record is damaged: its checksum differs")
        return Raw(kind, _inflate(body, size)), stored

    def _check_order(self, record: Record) -> None:
        match record:
            case Origin():
                ok = self._before is None
            case Happened():
                ok = self._before in (Origin, Followed, State)
            case Followed():
                ok = self._before is Happened
            case State():
                ok = self._before is Followed
        if not ok:
            before = "at the start" if self._before is None else f"after {self._before.__name__}"
            raise LocalError(f"{type(record).__name__} can't stand {before}")


def _inflate(body: bytes, size: int) -> bytes:
    if len(body) == size:
        return body
    inflate = zlib.decompressobj()
    try:
        whole = inflate.decompress(body, size)
        if len(whole) == size and not inflate.eof:
            whole += inflate.decompress(inflate.unconsumed_tail, 1)  # the end mark may stand alone
    except zlib.error as error:
        raise LocalError(f"a record can't be inflated: {error}") from error
    if len(whole) != size or not inflate.eof or inflate.unused_data:
        raise LocalError(f"a record does not inflate to the {size} bytes that it promises")
    return whole
