"""What a device keeps of its mesh: the key that all of it share, and the charter, with the invitations it has made.

HOME/mesh.key     32 bytes as other implementations of libp2p keep them (specs/pnet), 0600
HOME/trust.json   who founded the mesh, why this device is of it, who let it in, who was banned, who may join; 0600

Each change is on disk before it counts. An invitation is kept as the hash of its secret, and is good for one device,
which may ask again for what it got.
"""

from __future__ import annotations

import hmac
import os
import re
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from gossipfl.errors import LocalError
from gossipfl.membership.charter import Charter, Members, Revocation, Sign
from gossipfl.output.files import read_private, write_durably
from gossipfl.wire.messages import Addresses

KEY_BYTES = SECRET_BYTES = 32
FORMAT = 1
MAX_INVITATIONS = 1000
"""Open at a time."""
_HEAD = "/key/swarm/psk/1.0.0/\n/base16/\n"


class Invitation(Struct, forbid_unknown_fields=True):
    """Whoever knows the secret may join until then."""

    secret: Annotated[bytes, Meta(min_length=32, max_length=32)]
    """Its SHA-256."""
    expires: float
    """Seconds since 1970."""
    admin: bool
    device: str = ""
    """Who has used it."""


class _Kept(Struct, forbid_unknown_fields=True):
    format: int
    charter: Charter
    addresses: Addresses = ()
    """Of the device that let this one in, with its id."""
    invitations: list[Invitation] = []


class Trust:
    """The charter of the device `me` in `mesh`, on disk at `path`.

    Raises:
        LocalError: it can't be read, or does not admit `me`.
    """

    def __init__(self, path: Path, me: str, mesh: str) -> None:
        self._path, self._me = path, me
        self._kept = _read(path)
        self.members = Members(me, mesh, self._kept.charter)

    @property
    def charter(self) -> Charter:
        """As the peer starts with it."""
        return self._kept.charter

    @property
    def addresses(self) -> Addresses:
        """Of the device that let this one in, with its id: where to begin from."""
        return self._kept.addresses

    def remember(self, revocation: Revocation) -> None:
        """Somebody is of the mesh no more; raises LocalError if that can't be written."""
        if revocation in self.charter.revocations:
            return
        self.members.add([revocation])
        self._kept.charter = msgspec.structs.replace(self.charter, revocations=self.members.revocations)
        self._write()

    def invite(self, now: float, lifetime: float, *, admin: bool) -> bytes:
        """A secret that is good for joining in the next `lifetime` seconds.

        Raises:
            LocalError: this device may not invite, there are too many invitations, or it can't be written.
        """
        self.members.check_issuer(admin=admin)
        self._kept.invitations = [one for one in self._kept.invitations if one.expires > now]
        if len(self._kept.invitations) >= MAX_INVITATIONS:
            raise LocalError(f"{MAX_INVITATIONS} invitations are open; wait until some have expired")
        secret = os.urandom(SECRET_BYTES)
        self._kept.invitations.append(Invitation(sha256(secret).digest(), now + lifetime, admin))
        self._write()
        return secret

    def redeem(self, secret: bytes, device: str, now: float, sign: Sign) -> Charter:
        """The charter for `device`, which knows `secret`.

        Raises:
            LocalError: it is no invitation of this device, is used, or has expired; the device was banned; or it can't
                be written.
        """
        digest = sha256(secret).digest()
        found = next((one for one in self._kept.invitations if hmac.compare_digest(one.secret, digest)), None)
        if found is None:
            raise LocalError("this device has made no such invitation, or it expired long ago")
        if found.expires <= now:
            raise LocalError("the invitation has expired")
        if found.device not in ("", device):
            raise LocalError("the invitation was used by another device")
        credential = self.members.admit(device, self._me, sign, admin=found.admin)
        if not found.device:
            found.device = device
            self._write()
        return Charter(self.charter.founder, credential)

    def _write(self) -> None:
        _write(self._path, self._kept)


def found(trust: Path, key: Path, me: str) -> None:
    """Begin a mesh of which `me` is the founder; raises LocalError."""
    settle(trust, key, Charter(me), os.urandom(KEY_BYTES))


def settle(trust: Path, key: Path, charter: Charter, secret: bytes, addresses: Addresses = ()) -> None:
    """Be of the mesh that `charter` is of, whose key is `secret`, and which can be found there; raises LocalError."""
    write_durably(key, f"{_HEAD}{secret.hex()}\n".encode(), mode=0o600)
    _write(trust, _Kept(FORMAT, charter, addresses))


def is_alone(trust: Path) -> bool:
    """Is the device of no mesh, or of one that it has founded and let nobody into? Raises LocalError."""
    if not trust.exists():
        return True
    kept = _read(trust)
    return not (kept.charter.credential or kept.charter.revocations or kept.invitations)


def load_key(path: Path) -> bytes:
    """The key of the mesh.

    Raises:
        LocalError: there is none, others may read it, or it is none.
    """
    text = _content(path).decode("ascii", "replace")
    lines = text.split()
    if len(lines) != 3 or lines[:2] != _HEAD.split() or not re.fullmatch("[0-9a-fA-F]{64}", lines[2]):
        raise LocalError(f"{path}: not a mesh's key in libp2p's format: three lines, {_HEAD.split()}, 64 hex digits")
    return bytes.fromhex(lines[2])


def _read(path: Path) -> _Kept:
    content = _content(path)
    try:
        kept = msgspec.json.decode(content, type=_Kept)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LocalError(
            f"{path}: damaged: {error}; restore it from a copy, or join again with another --home"
        ) from error
    if kept.format != FORMAT:
        raise LocalError(f"{path}: format {kept.format}; this version reads {FORMAT}: use the one that wrote it")
    return kept


def _content(path: Path) -> bytes:
    missing = (
        "not there: this device is of no mesh; gossipfl join TICKET takes it into one, gossipfl init founds one, and"
        " network.open = true does without"
    )
    return read_private(path, missing, f"chmod 600 {path}")


def _write(path: Path, kept: _Kept) -> None:
    write_durably(path, msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n", mode=0o600)
