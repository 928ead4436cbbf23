"""The identity of a device: an Ed25519 key in a file that only its owner can read.

The file and the id are libp2p's own formats (specs/peer-ids), written out here because importing libp2p takes a second:
`gossipfl init` and `gossipfl id` answer at once. A test holds both against libp2p.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gossipfl.errors import LocalError
from gossipfl.membership.charter import Sign
from gossipfl.membership.ids import KEY_BYTES, PROTOBUF_KEY
from gossipfl.membership.ids import id_of as id_of_public
from gossipfl.output.files import read_private, write_durably


def create(path: Path) -> str:
    """Make a key in the new file `path`, mode 0600, and return the device's id.

    Raises:
        LocalError: the file is there already, or can't be written.
    """
    if path.exists():
        raise LocalError(f"{path}: there is a key already; it is this device's identity and is never overwritten")
    seed = Ed25519PrivateKey.generate().private_bytes_raw()
    write_durably(path, PROTOBUF_KEY + seed, mode=0o600)
    return _id(seed)


def load(path: Path) -> bytes:
    """The key in `path`, as its 32-byte seed.

    Raises:
        LocalError: no such file, others may read it, or it is not an Ed25519 key.
    """
    content = read_private(path, "no key; gossipfl init makes one", f"chmod 600 {path}")
    if not content.startswith(PROTOBUF_KEY) or len(content) != len(PROTOBUF_KEY) + KEY_BYTES:
        raise LocalError(f"{path}: not an Ed25519 key in libp2p's format; restore it from a copy")
    return content[len(PROTOBUF_KEY) :]


def id_of(path: Path) -> str:
    """The id of the device whose key is in `path`; raises as `load`."""
    return _id(load(path))


def signer(seed: bytes) -> Sign:
    """What signs with the key of that seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign


def _id(seed: bytes) -> str:
    return id_of_public(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())
