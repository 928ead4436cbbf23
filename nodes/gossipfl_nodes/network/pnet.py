"""A private network, by libp2p's specification (specs/pnet): who does not have the mesh's key sees noise.

All bytes of a connection are enciphered with a key that all devices of a mesh share, from the first one on. XSalsa20
(Bernstein, 2011), a stream for each direction after 24 bytes of nonce. It keeps others out, no more: Noise above it is
what protects and authenticates. py-libp2p's own has Salsa20 and a nonce of 8 bytes, which other implementations don't
understand.
"""

from __future__ import annotations

import os
import struct

import numpy as np
from Crypto.Cipher import Salsa20

NONCE_BYTES = 24
SIGMA = b"expand 32-byte k"
_WORDS, _FULL = struct.Struct("<8I"), 0xFFFFFFFF
_COLUMNS = ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11))
_ROWS = ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14))
_REGISTERS = np.zeros(64, np.float32)


class Cipher:
    """Both directions of one connection under `key`, 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._out: Salsa20.Salsa20Cipher | None = None
        self._in: Salsa20.Salsa20Cipher | None = None
        self._nonce = b""
        """As much of the other end's as there is."""

    def encrypt(self, data: bytes) -> bytes:
        """What goes on the wire for `data`, the nonce before the first."""
        if self._out is None:
            nonce = os.urandom(NONCE_BYTES)
            self._out = xsalsa20(self._key, nonce)
            return nonce + self._out.encrypt(data)
        _clear_registers()
        return self._out.encrypt(data)

    def decrypt(self, data: bytes | memoryview) -> bytes:
        """What `data` from the wire says; empty while the nonce is not complete."""
        if self._in is None:
            missing = NONCE_BYTES - len(self._nonce)
            self._nonce, data = self._nonce + bytes(data[:missing]), data[missing:]
            if len(self._nonce) < NONCE_BYTES:
                return b""
            self._in = xsalsa20(self._key, self._nonce)
        _clear_registers()
        return self._in.decrypt(data)


def xsalsa20(key: bytes, nonce: bytes) -> Salsa20.Salsa20Cipher:
    """The stream of a 32-byte `key` and a 24-byte `nonce`."""
    return Salsa20.new(key=_hsalsa20(key, nonce[:16]), nonce=nonce[16:])


def _clear_registers() -> None:
    """Any sum in numpy: it ends with vzeroupper.

    OpenSSL's ChaCha20-Poly1305, Noise's cipher, leaves the upper halves of the vector registers full where the
    processor has AVX-512, and Salsa20 then takes four times as long (.33 for .08 s per 100 MB on a Zen 5).
    """
    np.add(_REGISTERS, _REGISTERS, out=_REGISTERS)


def _hsalsa20(key: bytes, nonce: bytes) -> bytes:
    """A key of its own for each nonce of 16 bytes; in the paper's words."""
    s, k, n = struct.unpack("<4I", SIGMA), _WORDS.unpack(key), struct.unpack("<4I", nonce)
    z = [s[0], *k[:4], s[1], *n, s[2], *k[4:], s[3]]
    for _ in range(10):
        for a, b, c, d in _COLUMNS + _ROWS:
            z[b] ^= _rotated(z[a] + z[d], 7)
            z[c] ^= _rotated(z[b] + z[a], 9)
            z[d] ^= _rotated(z[c] + z[b], 13)
            z[a] ^= _rotated(z[d] + z[c], 18)
    return _WORDS.pack(*(z[at] for at in (0, 5, 10, 15, 6, 7, 8, 9)))


def _rotated(word: int, bits: int) -> int:
    word &= _FULL
    return (word << bits | word >> (32 - bits)) & _FULL
