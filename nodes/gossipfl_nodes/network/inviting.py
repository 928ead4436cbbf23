"""Inviting: how a new device gets its charter from the one that has invited it, over a stream of its own.

    new device → the secret, 32 bytes        the other → a length of 2 bytes, and an Answer as MessagePack

Noise has proved who asks, so the charter is for that device. Whoever knows no good secret learns that, and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
import trio
from libp2p.abc import IHost, INetStream
from libp2p.peer.id import ID
from msgspec import Struct

from gossipfl.errors import LocalError
from gossipfl.membership.charter import Charter
from gossipfl_nodes.disk.trust import SECRET_BYTES
from gossipfl_nodes.network import cures

PROTOCOL = "/gossipfl/join/1"
LENGTH_BYTES = 2
TIMEOUT = 10.0
"""Seconds for all of it."""


class Answer(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A charter, or why there is none."""

    charter: Charter | None
    reason: str = ""


Redeem: TypeAlias = Callable[[bytes, str], Answer]
"""From a secret and the device that knows it to an answer."""


def answering(redeem: Redeem) -> Any:
    """The handler of streams of those who were invited."""

    async def handle(stream: INetStream) -> None:
        with trio.move_on_after(TIMEOUT):
            secret = await _exactly(stream, SECRET_BYTES)
            content = msgspec.msgpack.encode(redeem(secret, str(stream.muxed_conn.peer_id)))
            await stream.write(len(content).to_bytes(LENGTH_BYTES, "big") + content)

    return handle


async def ask(host: IHost, peer: ID, secret: bytes) -> Charter:
    """The charter that `peer`, whom there is a connection to, has for this device.

    Raises:
        LocalError: it has none, and says why; or it does not answer as it should.
    """
    try:
        with trio.fail_after(TIMEOUT):
            stream = await cures.open_stream(host, peer, PROTOCOL, TIMEOUT)
            await stream.write(secret)
            size = int.from_bytes(await _exactly(stream, LENGTH_BYTES), "big")
            answer = msgspec.msgpack.decode(await _exactly(stream, size), type=Answer)
    except Exception as error:
        raise LocalError(f"the device that made the ticket does not answer: {error or type(error).__name__}") from error
    if answer.charter is None:
        raise LocalError(f"the device that made the ticket says: {answer.reason[:200]}")
    return answer.charter


async def _exactly(stream: INetStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := await stream.read(size - len(data))):
            raise ConnectionError("the stream ended early")
        data += more
    return data
