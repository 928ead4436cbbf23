"""A program for the tests: one network in a process of its own, to be frozen, killed and started again.

Its argument is a JSON object: key (hex), and if wanted dial ([peer, address]), say (sent to all every 0.1 s), say_once
(so many bytes, a second after a link is there), silence and keep_alive (the link's constants). Each line that it prints
is a JSON object: first its id and addresses, then events.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import trio

from gossipfl.protocol.events import Connected, DialFailed, Disconnected, Event, Received
from gossipfl_nodes.network import link
from gossipfl_nodes.network.network import Network, open_network


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def talk(network: Network, say: str) -> None:
    while True:
        for peer in list(network.links):
            network.send(peer, say.encode(), supersedes=True)
        await trio.sleep(0.1)


async def main(given: dict[str, Any]) -> None:
    link.SILENCE = given.get("silence", link.SILENCE)
    link.KEEP_ALIVE_EVERY = given.get("keep_alive", link.KEEP_ALIVE_EVERY)
    outbox, inbox = trio.open_memory_channel[Event](math.inf)
    key = bytes.fromhex(given["key"])
    listen = ("/ip4/127.0.0.1/tcp/0",)

    def refuse(peer: str, reason: str) -> None:
        tell(event="refused", peer=peer, body=reason)

    async with open_network(key, listen, outbox, 1 << 24, refuse) as network, trio.open_nursery() as n:
        tell(id=network.id, addresses=network.addresses)
        if "say" in given:
            n.start_soon(talk, network, given["say"])
        dial = given.get("dial")
        if dial:
            network.dial(dial[0], (dial[1],))
        async for event in inbox:
            if isinstance(event, Connected) and "say_once" in given:
                await trio.sleep(1)
                network.send(event.peer, given["say_once"] * b"x", supersedes=False)
            body = event.body[:40].decode(errors="replace") if isinstance(event, Received) else ""
            tell(event=type(event).__name__, peer=getattr(event, "peer", ""), body=body)
            if dial and isinstance(event, DialFailed | Disconnected):
                await trio.sleep(0.25)
                network.dial(dial[0], (dial[1],))


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
