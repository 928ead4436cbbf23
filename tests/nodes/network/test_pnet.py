"""The private network: XSalsa20 as others have it, however its bytes are cut, and noise to whoever has another key."""

from __future__ import annotations

import os

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.host.ping import ID as PING
from libp2p.identity.identify.identify import ID as ID_IDENTIFY
from libp2p.identity.identify_push.identify_push import ID_PUSH
from nacl.secret import SecretBox

from gossipfl.protocol.events import Connected, Received
from gossipfl_nodes.network import cures
from gossipfl_nodes.network.pnet import NONCE_BYTES, Cipher, xsalsa20
from tests.nodes.network.hosts import party

KEY, OTHER_KEY = bytes(range(32)), bytes(32)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=24, max_size=24), st.binary(max_size=500))
def test_the_stream_is_the_one_of_nacl(key: bytes, nonce: bytes, data: bytes) -> None:
    # A secret box is this stream, whose first 32 bytes are for the authenticator.
    assert xsalsa20(key, nonce).encrypt(bytes(32) + data)[32:] == SecretBox(key).encrypt(data, nonce).ciphertext[16:]


@given(st.lists(st.binary(max_size=100)), st.lists(st.integers(1, 50)))
def test_what_was_said_is_heard_however_it_is_cut(said: list[bytes], cuts: list[int]) -> None:
    here, there = Cipher(KEY), Cipher(KEY)
    wire, heard, at = b"".join(map(here.encrypt, said)), b"", 0
    for cut in [*cuts, len(wire)]:
        heard += there.decrypt(wire[at : at + cut])
        at += cut
    assert heard == b"".join(said)
    assert len(wire) == len(heard) + NONCE_BYTES * bool(said)


def test_two_connections_have_nothing_in_common() -> None:
    assert Cipher(KEY).encrypt(bytes(100))[NONCE_BYTES:] != Cipher(KEY).encrypt(bytes(100))[NONCE_BYTES:]


def test_networks_with_one_key_talk() -> None:
    async def main() -> None:
        async with party(secret=KEY) as near, party(secret=KEY) as far:
            near.network.dial(far.id, far.addresses)
            assert await near.next(Connected, far.id) == Connected(far.id, dialled=True)
            assert await far.next(Connected, near.id) == Connected(near.id, dialled=False)
            body = os.urandom(100_000)
            far.network.admit(near.id)
            near.network.send(far.id, body, supersedes=False)
            assert await far.next(Received, near.id) == Received(near.id, body)

    trio.run(main)


@pytest.mark.parametrize("other", [OTHER_KEY, None], ids=["another key", "no key"])
def test_others_see_noise(other: bytes | None) -> None:
    async def main() -> None:
        async with party(secret=KEY) as inside, party(secret=other) as outside:
            for one, two in ((inside, outside), (outside, inside)):
                with pytest.raises(ConnectionError):
                    await one.network.meet(two.addresses[0])
            assert not inside.network.links
            assert not outside.network.links

    trio.run(main)


def test_what_a_stranger_without_the_key_reads_is_noise() -> None:
    async def main() -> None:
        async with party(secret=KEY) as inside:
            _, kind, host, _, port = inside.addresses[0].split("/")
            assert kind == "ip4"
            stream = await trio.open_tcp_stream(host, int(port))
            await stream.send_all(b"\x13/multistream/1.0.0\n" * 3)
            heard = b""
            with trio.move_on_after(3):
                while data := await stream.receive_some(4096):
                    heard += data
            await stream.aclose()
            assert b"multistream" not in heard
            assert len(heard) < 200

    trio.run(main)


def test_who_has_the_key_and_is_not_admitted_is_not_told_where_it_listens_or_what_it_speaks() -> None:
    async def main() -> None:
        async with party(secret=KEY) as inside, party(secret=KEY) as stranger:
            await cures.dial(stranger.host, inside.peer_id, inside.multiaddrs, 5.0)
            for asked in (ID_IDENTIFY, ID_PUSH):
                with pytest.raises(ConnectionError):
                    await cures.open_stream(stranger.host, inside.peer_id, asked, 5.0)
            stream = await cures.open_stream(stranger.host, inside.peer_id, PING, 5.0)  # this tells nothing
            await stream.reset()

    trio.run(main)


def test_who_has_the_key_and_is_not_admitted_may_send_little() -> None:
    async def main() -> None:
        async with party(secret=KEY) as inside, party(secret=KEY) as stranger:
            stranger.network.dial(inside.id, inside.addresses)
            await stranger.next(Connected, inside.id)
            await inside.next(Connected, stranger.id)
            stranger.network.send(inside.id, bytes(1000), supersedes=False)
            assert await inside.next(Received, stranger.id) == Received(stranger.id, bytes(1000))
            stranger.network.send(inside.id, bytes(5000), supersedes=False)
            with trio.fail_after(20):
                while stranger.id in inside.network.links:
                    await trio.sleep(0.05)
            assert any("5000 bytes" in reason for _, reason in inside.refused)

    trio.run(main)
