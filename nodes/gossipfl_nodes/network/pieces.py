"""Pieces: a byte queue that keeps what is put into it as it is, so that most bytes are never copied.

Stands where libp2p has bytearrays, from which it cuts copies. Knows no sockets.
"""

from __future__ import annotations

from collections import deque


class Pieces:
    """Bytes in the order in which they came."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._at = 0
        """Bytes of the first piece that are gone."""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def extend(self, data: bytes) -> None:
        """`data` comes after what is here."""
        if data:
            self._pieces.append(data)
            self._size += len(data)

    def take(self, n: int) -> bytes:
        """Take out the next `n` bytes, or all where there are fewer."""
        taken = self.some(n)
        if len(taken) == n or not self._size:
            return taken
        parts, missing = [taken], n - len(taken)
        while missing and self._size:
            parts.append(self.some(missing))
            missing -= len(parts[-1])
        return b"".join(parts)

    def some(self, n: int) -> bytes:
        """Take out the next bytes, at most `n`: as many as there are in one piece."""
        if not self._size:
            return b""
        piece = self._pieces[0]
        if self._at or n < len(piece):
            whole, piece = len(piece), piece[self._at : self._at + n]
            self._at += len(piece)
            if self._at == whole:
                self._pieces.popleft()
                self._at = 0
        else:
            self._pieces.popleft()
        self._size -= len(piece)
        return piece
