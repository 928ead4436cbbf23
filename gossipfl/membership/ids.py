"""Ids of devices: the public half of an Ed25519 key, as libp2p writes it (specs/peer-ids), and signatures by it."""

from __future__ import annotations

import base58
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PROTOBUF_KEY = b"\x08\x01\x12\x20"
"""Type Ed25519, then 32 bytes of data: what stands before a key in libp2p's protobuf."""
IDENTITY_MULTIHASH = b"\x00\x24"
"""Not hashed, 36 bytes: ids of short keys are the keys themselves."""
KEY_BYTES = 32
SIGNATURE_BYTES = 64
_PREFIX = IDENTITY_MULTIHASH + PROTOBUF_KEY


def id_of(public: bytes) -> str:
    """The id of the device whose public key, 32 bytes, is `public`."""
    return base58.b58encode(_PREFIX + public).decode()


def is_id(text: str) -> bool:
    """Is `text` the id of a device?"""
    return _public_key(text) is not None


def signed_by(device: str, statement: bytes, signature: bytes) -> bool:
    """Is `signature` the one of `device` under `statement`? Whatever is no id signs nothing."""
    if (public := _public_key(device)) is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, statement)
    except InvalidSignature:
        return False
    return True


def _public_key(device: str) -> bytes | None:
    if len(device) > 2 * len(_PREFIX + bytes(KEY_BYTES)):  # base58 takes time by the square of the length
        return None
    try:
        content = base58.b58decode(device)
    except ValueError:
        return None
    if (
        not content.startswith(_PREFIX)
        or len(content) != len(_PREFIX) + KEY_BYTES
        or id_of(content[-KEY_BYTES:]) != device
    ):
        return None
    return content[-KEY_BYTES:]
