"""Bootstrap by address alone: whoever answers at a configured address is met, whatever its id.

A device that lost its key, or whose id nobody noted down, can so still be what others begin from. Addresses with an id
are the core's to dial. Knows no meshes: whether somebody belongs to ours is found out by talking to it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import structlog
import trio

from gossipfl.errors import LocalError
from gossipfl.membership.ids import is_id
from gossipfl_nodes.network.discovery.addresses import checked
from gossipfl_nodes.network.network import Network

FIRST, LAST = 0.5, 60.0
"""Seconds until the next try, doubling while there is no link."""
LOOK = 5.0
"""Seconds between two looks whether the link is still there. Longer than the core takes to dial again whom it knows:
this is for a device that comes back with another key."""

log = structlog.get_logger("network")


def read(entries: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The configured addresses of each peer whose id is given, and those without one.

    Raises:
        LocalError: an entry is neither; the message says what is.
    """
    known: dict[str, tuple[str, ...]] = {}
    unknown = []
    for entry in entries:
        where, found, peer = entry.partition("/p2p/")
        if found and not is_id(peer):
            raise LocalError(
                f"network.bootstrap = {entry!r}: {peer!r} is no id; allowed is a member's address with its id, as"
                " /ip4/192.0.2.7/tcp/9444/p2p/12D3KooW…, or without; gossipfl id prints it there"
            )
        checked("network.bootstrap", where)
        if found:
            known[peer] = (*known.get(peer, ()), where)
        else:
            unknown.append(where)
    return known, tuple(unknown)


async def keep_meeting(network: Network, address: str) -> None:
    """Have a link with whoever is at `address`, until cancelled."""
    peer, delay = "", 0.0
    while True:
        with trio.move_on_after(delay * random.uniform(0.75, 1.25)):
            await network.moved()
        if peer in network.links:
            delay = LOOK
            continue
        try:
            met = await network.meet(address)
        except ConnectionError as error:
            log.debug("nobody met", address=address, reason=str(error))
        else:
            if met != peer:
                peer = met
                log.info("met", address=address, peer=peer)
        delay = min(LAST, max(FIRST, 2 * delay))
