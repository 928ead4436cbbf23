"""The authority of a closed mesh in a world: keys for its devices, made from the seed, and the founder's word for them.

In reality each device makes its own key and an administrator admits it; here it is all in one place.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gossipfl.membership.charter import Charter, Members, Revocation
from gossipfl.membership.ids import KEY_BYTES, id_of


class Authority:
    """Who admits devices to `mesh`: the first of them, which has founded it."""

    def __init__(self, mesh: str, generator: np.random.Generator) -> None:
        self._generator = generator
        self.founder, self._key = self._device()
        self._members = Members(self.founder, mesh, Charter(self.founder))

    def admit(self) -> tuple[str, Charter]:
        """A new device: its id, and its charter."""
        device, _ = self._device()
        return device, Charter(self.founder, self._members.admit(device, self.founder, self._key.sign))

    def stranger(self) -> tuple[str, Charter]:
        """A device that has founded a mesh of that name for itself."""
        device, _ = self._device()
        return device, Charter(device)

    def ban(self, device: str) -> Revocation:
        """The founder's word that `device` is of the mesh no more."""
        return self._members.revoke(device, self.founder, self._key.sign)

    def _device(self) -> tuple[str, Ed25519PrivateKey]:
        key = Ed25519PrivateKey.from_private_bytes(self._generator.bytes(KEY_BYTES))
        return id_of(key.public_key().public_bytes_raw()), key
