"""What a stranger or a member could do to a daemon's network, and can't."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import pytest
import trio
from libp2p.custom_types import TProtocol

from gossipfl.protocol.events import Connected, DialFailed, Disconnected
from gossipfl_nodes.network import cures, link
from tests.nodes.network.hosts import PATIENT, Party, party
from tests.nodes.network.test_cures import lone_node
from tests.nodes.network.test_network import exchange, link_up


def muxed(near: Party, far: Party) -> Any:
    connections: list[Any] = near.host.get_network().get_connections(far.peer_id)
    return connections[0].muxed_conn


def test_bytes_that_are_no_text_in_a_negotiation_do_not_end_the_host() -> None:
    async def main() -> None:
        async with party() as victim, party() as hostile, party() as friend:
            await cures.dial(hostile.host, victim.peer_id, victim.network.addresses, PATIENT)
            stream = await muxed(hostile, victim).open_stream()
            await stream.write(b"\x02\xff\x0a")
            await trio.sleep(0.5)
            await link_up(friend, victim)
            await exchange(friend, victim, b"still here")

    trio.run(main)


def test_another_spelling_of_an_id_is_no_second_peer() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            await link_up(near, far)
            for alias in (far.id + " ", far.id + "\n"):
                near.network.dial(alias, far.network.addresses)
                await near.next(DialFailed, alias)
            assert list(near.network.links) == [far.id]
            await exchange(near, far, b"still linked")

    trio.run(main)


def test_a_sender_that_ignores_its_window_loses_its_connection() -> None:
    async def main() -> None:
        async with party() as victim, party() as hostile:

            async def never_read(_stream: Any) -> None:
                await trio.sleep_forever()

            victim.host.set_stream_handler(TProtocol("/stall"), never_read)
            await cures.dial(hostile.host, victim.peer_id, victim.network.addresses, PATIENT)
            stream: Any = await cures.open_stream(hostile.host, victim.peer_id, "/stall", PATIENT)
            stream.muxed_stream.send_window = 1 << 40
            with trio.fail_after(PATIENT):
                while hostile.host.get_network().get_connections(victim.peer_id):
                    with contextlib.suppress(Exception):  # however libp2p says it
                        await stream.write(bytes(1 << 20))

    trio.run(main)


def test_a_connection_that_ended_gives_its_slot_back() -> None:
    async def main() -> None:
        async with party() as victim, party() as guest:
            network: Any = victim.host.get_network()
            for _ in range(3):
                await link_up(guest, victim)
                assert network._inbound_limiter.borrowed_tokens > 0
                guest.network.disconnect(victim.id)
                await guest.next(Disconnected, victim.id)
                await victim.next(Disconnected, guest.id)
            with trio.fail_after(PATIENT):
                while network._inbound_limiter.borrowed_tokens:
                    await trio.sleep(0.1)

    trio.run(main)


def test_a_write_to_a_frozen_peer_holds_up_neither_its_end_nor_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SILENCE", 2.0)
    monkeypatch.setattr(link, "KEEP_ALIVE_EVERY", 0.3)

    async def main(process: Any, peer: str, addresses: list[str]) -> None:
        async with party(max_body=1 << 26) as near:
            near.network.dial(peer, tuple(addresses))
            await near.next(Connected, peer)
            process.send_signal(signal.SIGSTOP)
            near.network.send(peer, os.urandom(1 << 25), supersedes=False)
            with trio.fail_after(PATIENT):
                await near.next(Disconnected, peer)

    with lone_node(key=os.urandom(32).hex(), silence=60, keep_alive=0.3) as (process, said):
        trio.run(main, process, said["id"], said["addresses"])
