"""Pinging: is a peer there, and how long does it take to it and back?

On a connection that there is, a round trip of libp2p's own ping, which every libp2p host answers, beside the frames of
a link. Without one, the time that a dial takes, to the end of Noise's handshake, which proves who is there; the
connection is cut again then.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import Literal, NamedTuple

import trio
from libp2p.abc import IHost
from libp2p.host.ping import ID as PROTOCOL
from libp2p.host.ping import PING_LENGTH
from libp2p.io.utils import read_exactly
from libp2p.peer.id import ID

from gossipfl_nodes.network import cures

TIMEOUT = 5.0
"""Seconds for an answer, and for each address that is dialled."""


class Pong(NamedTuple):
    """Who is there, and how it was found out."""

    peer: str
    seconds: float
    over: Literal["link", "dial"]


async def ping(host: IHost, peer: str | None, addresses: tuple[str, ...]) -> Pong:
    """Ask `peer`, or without an id whoever is at `addresses`, whether it is there.

    Raises:
        ConnectionError: it does not answer.
    """
    network = host.get_network()
    if peer is not None and network.get_connections(ID.from_string(peer)):
        return Pong(peer, await _round_trip(host, ID.from_string(peer)), "link")
    begun = trio.current_time()
    found = await cures.dial(host, None if peer is None else ID.from_string(peer), addresses, TIMEOUT)
    took = trio.current_time() - begun
    for connection in network.get_connections(found):
        if not connection.get_streams():  # a link may have begun meanwhile
            with contextlib.suppress(Exception), trio.move_on_after(2):
                await connection.close()
            with trio.move_on_after(1):
                while connection in network.get_connections(found):  # one that is dead must not be taken for a link
                    await trio.sleep(0.02)
    return Pong(str(found), took, "dial")


async def _round_trip(host: IHost, peer: ID) -> float:
    stream = await cures.open_stream(host, peer, PROTOCOL, TIMEOUT)
    try:
        sent = secrets.token_bytes(PING_LENGTH)
        with trio.fail_after(TIMEOUT):
            begun = trio.current_time()
            await stream.write(sent)
            if await read_exactly(stream, PING_LENGTH) != sent:
                raise ConnectionError("it answers something else")
            return trio.current_time() - begun
    except ConnectionError:
        raise
    except Exception as error:
        raise ConnectionError(f"no answer: {error or type(error).__name__}") from error
    finally:
        with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
            await stream.reset()
