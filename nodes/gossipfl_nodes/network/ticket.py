"""Tickets: all that a new device needs to join a mesh, in one line of text. Whoever has it can use it: it is secret.

gossipfl1.BASE64URL(MessagePack(Ticket), crc32)
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from gossipfl.errors import LocalError
from gossipfl.membership.charter import Charter
from gossipfl.membership.ids import is_id
from gossipfl.wire.messages import Addresses, Name
from gossipfl_nodes.network.discovery.addresses import checked

PREFIX = "gossipfl1."
MAX_TEXT = 16 << 10
"""Characters: eight addresses of the longest are 12 kB of them."""
_CHECK = 4


class Ticket(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is in it."""

    mesh: Name
    key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    """Of the mesh."""
    addresses: Addresses
    """Of the device that made it, with its id: for the new one to begin from."""
    expires: float
    """Seconds since 1970; infinite if it does not."""
    secret: Annotated[bytes, Meta(min_length=32, max_length=32)] | None
    """For one device, whichever asks first, if the one that made it is there."""
    device: str = ""
    charter: Charter | None = None
    """For that device only, and nobody needs to be there."""


def write(ticket: Ticket) -> str:
    """The text of a ticket."""
    content = msgspec.msgpack.encode(ticket)
    content += zlib.crc32(content).to_bytes(_CHECK, "big")
    return PREFIX + base64.urlsafe_b64encode(content).decode().rstrip("=")


def read(text: str) -> Ticket:
    """The ticket that `text` is.

    Raises:
        LocalError: it is none, or was damaged when it was copied.
    """
    stripped = "".join(text.split())  # mail and terminals break lines
    if not stripped.startswith(PREFIX) or len(stripped) > MAX_TEXT:
        raise LocalError(f"not a ticket: one begins with {PREFIX}; gossipfl invite prints one on a device of the mesh")
    encoded = stripped[len(PREFIX) :]
    try:
        content = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        ticket, check = content[:-_CHECK], content[-_CHECK:]
        if zlib.crc32(ticket).to_bytes(_CHECK, "big") != check:
            raise LocalError("the ticket is damaged: a part of it is missing or was changed; copy it again")
        found = msgspec.msgpack.decode(ticket, type=Ticket)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise LocalError(f"the ticket is damaged: {error}; copy it again") from error
    for address in found.addresses:
        where, _, peer = address.partition("/p2p/")
        checked("ticket", where)
        if not is_id(peer):
            raise LocalError(f"the ticket's address {address!r} does not end with /p2p/ and an id")
    return found
