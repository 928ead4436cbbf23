"""Bases: the few vectors against which deltas are measured, named by their content.

A base's name is the hash of its bytes, so two peers that hold the same name hold the same vector, whatever was lost,
duplicated or reordered on the way, and a peer can't pass off one vector as another. Memory is bounded: the node's own
base, and the last two that others used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from weakref import WeakValueDictionary

from gossipfl.model.schema import FINGERPRINT_BYTES, Vector

MAX_HELD = 3
"""The own base, the base of a healing partition, and one more."""


def name_of(vector: Vector) -> bytes:
    """The 16-byte name of a base: BLAKE2b of its float32 little-endian bytes."""
    return hashlib.blake2b(vector.astype("<f4", copy=False).data, digest_size=FINGERPRINT_BYTES).digest()


class Bases:
    """The bases that one node holds, each of shape (d,). `own` names the one that it publishes against.

    Args:
        vector: the first one, which is copied unless it can only be read.
    """

    def __init__(self, vector: Vector) -> None:
        self.own = name_of(vector)
        self._held = {self.own: _shared(self.own, vector.copy() if vector.flags.writeable else vector)}

    def __contains__(self, name: bytes) -> bool:
        return name in self._held

    def __getitem__(self, name: bytes) -> Vector:
        return self._held[name]

    def __len__(self) -> int:
        return len(self._held)

    def get(self, name: bytes) -> Vector | None:
        """The base of that name, if it is held."""
        return self._held.get(name)

    def adopt(self, name: bytes) -> None:
        """Publish against the held base `name` from now on."""
        self._held[name] = self._held.pop(name)
        self.own = name

    def hold(self, vector: Vector, used: Collection[bytes] = ()) -> bytes:
        """Hold `vector`, which must not change any more, as a base, and return its name.

        Of the others stay the own one and those that are `used` by others; the oldest of these makes room.
        """
        name = name_of(vector)
        self._held = {held: base for held, base in self._held.items() if held == self.own or held in used}
        self._held[name] = _shared(name, vector)
        while len(self._held) > MAX_HELD:
            del self._held[next(held for held in self._held if held != self.own)]
        return name


_everybodys: WeakValueDictionary[bytes, Vector] = WeakValueDictionary()
"""What all nodes of this process hold: the name says that it is the same, so one read-only vector serves them all."""


def _shared(name: bytes, vector: Vector) -> Vector:
    held = _everybodys.get(name)
    if held is None:
        held = vector
        held.flags.writeable = False
        _everybodys[name] = held
    return held
