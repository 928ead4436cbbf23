"""Packing: zstd (Collet, RFC 8878) where it pays, with sizes known before anything is allocated.

What comes out of a quantiser is near its entropy only if every code is as likely as the next; they are not. zstd's
Huffman coding of whole bytes takes most of what is left, at a few hundred megabytes per second.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import zstandard

from gossipfl.errors import RemoteError

Data: TypeAlias = bytes | memoryview
_Data = TypeVar("_Data", bytes, memoryview)

LEVEL = 1
"""Higher ones find repetitions, which quantised differences don't have."""
WINDOW_BITS = 17
"""Memory of a decompressor: 128 kB; a frame that asks for more is not ours."""

_parameters = zstandard.ZstdCompressionParameters.from_level(
    LEVEL, window_log=WINDOW_BITS, write_checksum=False, write_content_size=True
)
_compressor = zstandard.ZstdCompressor(compression_params=_parameters)
_decompressor = zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_BITS)


def pack(data: _Data) -> tuple[bool, bytes | _Data]:
    """Whether packing makes `data` smaller, and the smaller one."""
    packed = _compressor.compress(data)
    return (True, packed) if len(packed) < len(data) else (False, data)


def unpack(data: Data, size: int) -> bytes:
    """What `pack` was given, which has `size` bytes.

    Raises:
        RemoteError: it has another size, or `data` is anything else.
    """
    try:
        if zstandard.frame_content_size(data) != size:
            raise RemoteError(f"packed payload does not say that it has {size} bytes")
        raw = _decompressor.decompress(data, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise RemoteError(f"packed payload can't be read: {error}") from error
    if len(raw) != size:
        raise RemoteError(f"packed payload of {len(raw)} bytes; expected {size}")
    return raw
