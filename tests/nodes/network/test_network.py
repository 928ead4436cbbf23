"""Networks linking up: the order of events, restarted, killed and simultaneously dialling peers, and addresses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p.peer.id import ID

from gossipfl.errors import LocalError
from gossipfl.protocol.events import Connected, DialFailed, Disconnected, Event, Received
from gossipfl_nodes.network import cures, link, network
from gossipfl_nodes.network.discovery.addresses import of_interfaces
from tests.gossipfl.builders import frame
from tests.nodes.network.hosts import LOOPBACK, PATIENT, Party, free_port, party
from tests.nodes.support import end


@contextmanager
def lone_node(**given: Any) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A network in another process, and what it says first: its id and addresses."""
    program = Path(__file__).with_name("lone_node.py")
    process = subprocess.Popen(
        [sys.executable, str(program), json.dumps(given)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        end([process])


async def link_up(caller: Party, callee: Party) -> None:
    caller.network.dial(callee.id, callee.addresses)
    await caller.next(Connected, callee.id)
    await callee.next(Connected, caller.id)


async def exchange(one: Party, other: Party, text: bytes) -> None:
    """Frames pass in both directions."""
    for sender, receiver in ((one, other), (other, one)):
        sender.network.send(receiver.id, text, supersedes=False)
        assert await receiver.next(Received, sender.id) == Received(sender.id, text)


async def drain(here: Party, seconds: float) -> list[Event]:
    """All that happens for a while."""
    found: list[Event] = []
    with trio.move_on_after(seconds):
        while True:
            found.append(await here.events.receive())
    return found


def test_a_dial_links_both_ends_and_frames_pass_both_ways() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            await link_up(near, far)
            await exchange(near, far, b"hello")
            assert set(near.network.links) == {far.id}
            assert set(far.network.links) == {near.id}

    trio.run(main)


def test_frames_come_after_connected_and_none_after_disconnected() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            await link_up(near, far)
            for number in range(20):
                near.network.send(far.id, b"%d" % number, supersedes=False)
            await far.next(Received, near.id)
            seen = await drain(far, 0.5)
            near.network.disconnect(far.id)
            seen += await drain(far, 2.0)
            assert [type(event) for event in seen] == [Received] * 19 + [Disconnected]
            assert [event.body for event in seen if isinstance(event, Received)] == [b"%d" % n for n in range(1, 20)]
            assert await drain(near, 0.5) == [Disconnected(far.id)]
            assert not near.network.links
            assert not far.network.links

    trio.run(main)


def test_a_dial_that_comes_to_nothing_is_answered_by_dial_failed() -> None:
    async def main() -> None:
        async with party() as stranger:
            nobody = stranger.id
        async with party() as near:
            for addresses in ((f"/ip4/127.0.0.1/tcp/{free_port()}",), (), ("nonsense",), ("/ip4/127.0.0.1/udp/1",)):
                near.network.dial(nobody, addresses)
                await near.next(DialFailed, nobody)
                await trio.sleep(0.05)
            near.network.dial("not-an-id", LOOPBACK)
            await near.next(DialFailed, "not-an-id")
            near.network.send(nobody, b"into the void", supersedes=False)
            near.network.disconnect(nobody)
            assert not near.network.links

    trio.run(main)


def test_a_dial_right_after_one_that_came_to_nothing_is_answered_too() -> None:
    async def main() -> None:
        async with party() as near:
            for _ in range(50):
                near.network.dial("not-an-id", LOOPBACK)
                await near.next(DialFailed, "not-an-id", 5)

    trio.run(main)


def test_a_link_that_was_cut_can_be_made_again_at_once_and_counters_go_on() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            before = 0
            for _ in range(3):
                await link_up(near, far)
                await exchange(near, far, bytes(1000))
                near.network.disconnect(far.id)
                await near.next(Disconnected, far.id)
                await far.next(Disconnected, near.id)
                assert near.network.bytes_sent >= before + 1004
                assert near.network.bytes_received >= before + 1004
                before = near.network.bytes_sent

    trio.run(main)


@pytest.mark.parametrize("attempt", range(3))
def test_when_both_dial_each_other_at_once_there_is_one_usable_link_at_each_end(attempt: int) -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            near.network.dial(far.id, far.addresses)
            await trio.sleep(0.002 * attempt)
            far.network.dial(near.id, near.addresses)
            await near.next(Connected, far.id)
            await far.next(Connected, near.id)
            assert set(near.network.links) == {far.id}
            assert set(far.network.links) == {near.id}
            await exchange(near, far, b"hello")
            assert [event for event in await drain(near, 1.0) if not isinstance(event, Received)] == []
            assert [event for event in await drain(far, 0.1) if not isinstance(event, Received)] == []
            await exchange(near, far, b"hello again")

    trio.run(main)


def test_a_peer_killed_without_a_word_is_noticed() -> None:
    async def main(process: subprocess.Popen[str], peer: str, addresses: list[str]) -> None:
        async with party() as near:
            near.network.dial(peer, tuple(addresses))
            await near.next(Connected, peer)
            process.kill()
            await near.next(Disconnected, peer, link.SILENCE / 2)  # the kernel tells; no silence needs to pass

    with lone_node(key=os.urandom(32).hex()) as (process, said):
        trio.run(main, process, said["id"], said["addresses"])


def test_a_restarted_peer_is_linked_again_while_the_old_link_still_looks_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "SILENCE", 3600.0)
    key = os.urandom(32).hex()

    async def main(stack: ExitStack) -> None:
        async with party() as near:
            me = [near.id, near.addresses[0]]
            first, said = stack.enter_context(lone_node(key=key, dial=me, say="first life"))
            assert await near.next(Received, said["id"]) == Received(said["id"], b"first life")
            first.send_signal(signal.SIGSTOP)  # as if its power had failed: nobody says goodbye
            _, again = stack.enter_context(lone_node(key=key, dial=me, say="second life"))
            assert again["id"] == said["id"]
            await near.next(Disconnected, said["id"])
            await near.next(Connected, said["id"])
            with trio.fail_after(PATIENT):
                while await near.next(Received, said["id"]) != Received(said["id"], b"second life"):
                    pass

    with ExitStack() as stack:
        trio.run(main, stack)


def test_a_restarted_peer_in_a_new_host_of_the_same_key_is_linked_again() -> None:
    key = os.urandom(32)

    async def main() -> None:
        async with party() as near:
            for _ in range(2):
                async with party(key) as far:
                    await link_up(far, near)
                    await exchange(near, far, b"hello")
                await near.next(Disconnected, far.id)

    trio.run(main)


def test_a_peer_that_opens_stream_after_stream_keeps_one_link_and_harms_nobody() -> None:
    async def main() -> None:
        async with party() as victim, party() as honest, party() as hostile:
            await link_up(honest, victim)
            for _ in range(5):
                await cures.dial(hostile.host, victim.peer_id, victim.multiaddrs, PATIENT)
                for _ in range(3):
                    try:
                        await cures.open_stream(hostile.host, victim.peer_id, network.PROTOCOL, 2)
                    except ConnectionError:
                        await trio.sleep(0.1)
            assert set(victim.network.links) <= {honest.id, hostile.id}
            await exchange(honest, victim, b"still here")

    trio.run(main)


def test_a_peer_that_comes_back_while_its_old_link_is_being_cut_gets_a_new_one() -> None:
    async def main() -> None:
        async with party(max_body=1000) as victim, party() as hasty:
            for _ in range(4):
                await cures.dial(hasty.host, victim.peer_id, victim.multiaddrs, PATIENT)
                stream = await cures.open_stream(hasty.host, victim.peer_id, network.PROTOCOL, PATIENT)
                await stream.write(frame(b"hello"))
                await victim.next(Connected, hasty.id, 8)
                await stream.write(b"\xff\xff\xff\xff")  # costs it this link, and no more
                with trio.fail_after(8):
                    while hasty.host.get_network().get_connections(victim.peer_id):
                        await trio.sleep(0.01)

    trio.run(main)


def test_no_more_links_are_taken_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "MAX_LINKS", 2)

    async def main() -> None:
        async with party() as hub, party() as one, party() as two, party() as three:
            await link_up(one, hub)
            await link_up(two, hub)
            three.network.dial(hub.id, hub.addresses)
            with trio.fail_after(PATIENT):
                async for event in three.events:  # its own stream opens, and is closed
                    if event == Disconnected(hub.id):
                        break
            assert set(hub.network.links) == {one.id, two.id}
            await exchange(one, hub, b"still here")
            one.network.disconnect(hub.id)
            await hub.next(Disconnected, one.id)
            three.network.dial(hub.id, hub.addresses)
            await hub.next(Connected, three.id)

    trio.run(main)


def test_flush_waits_until_what_is_queued_has_left() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            await link_up(near, far)
            for number in range(50):
                near.network.send(far.id, bytes(20_000) + b"%d" % number, supersedes=False)
            await near.network.flush()
            assert all(each.idle for each in near.network.links.values())
            heard = [event for event in await drain(far, 1.0) if isinstance(event, Received)]
            assert len(heard) == 50

    trio.run(main)


# --- addresses


def test_the_id_is_that_of_the_key() -> None:
    from libp2p.crypto.ed25519 import create_new_key_pair

    key = bytes(range(32))

    async def main() -> None:
        async with party(key) as here:
            assert here.id == str(ID.from_pubkey(create_new_key_pair(key).public_key))

    trio.run(main)


def test_a_device_that_listens_nowhere_tells_no_address_and_can_still_dial() -> None:
    async def main() -> None:
        async with party(listen=()) as near, party() as far:
            assert near.addresses == ()
            await link_up(near, far)
            await exchange(near, far, b"hello")

    trio.run(main)


def test_an_unspecified_address_is_told_to_others_as_those_of_the_interfaces() -> None:
    async def main() -> None:
        async with party(listen=("/ip4/0.0.0.0/tcp/0",)) as here, party() as other:
            assert here.addresses
            assert not [address for address in here.addresses if "0.0.0.0" in address or "::" in address]
            others = [one for one in of_interfaces() if ":" not in one and one != "127.0.0.1"]
            assert [address.split("/")[2] for address in here.addresses] == (others or ["127.0.0.1"])
            ports = {address.rpartition("/")[2] for address in here.addresses}
            assert len(ports) == 1
            assert ports != {"0"}
            for address in here.addresses:
                other.network.dial(here.id, (address,))
                await other.next(Connected, here.id)
                other.network.disconnect(here.id)
                await other.next(Disconnected, here.id)

    trio.run(main)


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:9444", "/ip4/127.0.0.1/udp/9444", "/ip4/300.0.0.1/tcp/1", "nonsense", "", "/ip4/127.0.0.1"]
)
def test_an_address_that_is_none_is_refused_by_key_and_value(listen: str) -> None:
    async def main() -> None:
        async with party(listen=(listen,)):
            pass

    with pytest.raises(LocalError) as caught:
        trio.run(main)
    assert "network.listen" in str(caught.value)
    assert repr(listen) in str(caught.value)
    assert "/tcp/" in str(caught.value), "the message shows what one looks like"


def test_a_taken_port_is_refused_by_key_and_value() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"

        async def main() -> None:
            async with party(listen=(listen,)):
                pass

        with pytest.raises((LocalError, ExceptionGroup)) as caught:
            trio.run(main)
    told = caught.value if isinstance(caught.value, LocalError) else only(caught.value)
    assert isinstance(told, LocalError)
    assert "network.listen" in str(told)
    assert listen in str(told)


def test_one_free_address_beside_a_taken_one_is_not_silently_enough() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = (f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}", "/ip4/127.0.0.1/tcp/0")

        async def main() -> None:
            async with party(listen=listen):
                pass

        with pytest.raises((LocalError, ExceptionGroup)):
            trio.run(main)


def only(group: BaseException) -> BaseException:
    """The one exception at the bottom of nested groups."""
    while isinstance(group, BaseExceptionGroup):
        (group,) = group.exceptions
    return group
