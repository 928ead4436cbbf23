"""Bootstrap by address alone: whoever is there is met, comes back, or is somebody else now."""

from __future__ import annotations

import os

import pytest
import trio

from gossipfl.errors import LocalError
from gossipfl.protocol.events import Connected, Disconnected
from gossipfl_nodes.network.discovery import bootstrap
from gossipfl_nodes.network.discovery.bootstrap import keep_meeting, read
from tests.nodes.network.hosts import PATIENT, free_port, party
from tests.nodes.network.test_network import exchange, link_up

ID = "12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf"


def test_addresses_with_an_id_are_the_core_s_and_the_others_are_not() -> None:
    one, two, other, named = "/ip4/192.0.2.7/tcp/1", "/ip6/::1/tcp/2", "/ip4/192.0.2.8/tcp/3", "/dns4/a.example/tcp/4"
    known, unknown = read([f"{one}/p2p/{ID}", other, f"{two}/p2p/{ID}", named])
    assert known == {ID: (one, two)}
    assert unknown == (other, named)


@pytest.mark.parametrize(
    "entry",
    ["nonsense", "/ip4/192.0.2.7/udp/1", f"/p2p/{ID}", "/ip4/192.0.2.7/tcp/1/p2p/", "/ip4/192.0.2.7/tcp/1/p2p/me"],
)
def test_what_is_neither_is_refused(entry: str) -> None:
    with pytest.raises(LocalError, match=r"network\.bootstrap = ") as caught:
        read([entry])
    assert "/ip4/192.0.2.7/tcp/9444" in str(caught.value)


def test_whoever_is_at_the_address_is_met_and_frames_pass() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            assert await near.network.meet(far.addresses[0]) == far.id
            await near.next(Connected, far.id)
            await far.next(Connected, near.id)
            await exchange(near, far, b"hello")

    trio.run(main)


def test_who_is_linked_already_is_met_again_without_harm() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            await link_up(near, far)
            for _ in range(3):
                assert await near.network.meet(far.addresses[0]) == far.id
            await exchange(near, far, b"hello")
            assert list(near.network.links) == [far.id]

    trio.run(main)


def test_nobody_and_myself_are_not_met() -> None:
    async def main() -> None:
        async with party() as near:
            with pytest.raises(ConnectionError):
                await near.network.meet(f"/ip4/127.0.0.1/tcp/{free_port()}")
            with pytest.raises(ConnectionError, match="this device itself"):
                await near.network.meet(near.addresses[0])
            assert not near.network.links

    trio.run(main)


def test_a_name_will_do() -> None:
    async def main() -> None:
        async with party() as near, party() as far:
            where = f"/dns4/localhost/tcp/{far.addresses[0].rpartition('/')[2]}"
            assert await near.network.meet(where) == far.id
            await near.next(Connected, far.id)
            near.network.disconnect(far.id)
            await near.next(Disconnected, far.id)
            near.network.dial(far.id, (f"{where}/p2p/{far.id}",))
            await near.next(Connected, far.id)

    trio.run(main)


def test_one_that_is_not_there_yet_is_met_when_it_is_and_again_when_it_has_another_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bootstrap, "FIRST", 0.1)
    monkeypatch.setattr(bootstrap, "LOOK", 0.3)
    where = f"/ip4/127.0.0.1/tcp/{free_port()}"

    async def main() -> None:
        async with party() as near, trio.open_nursery() as nursery:
            nursery.start_soon(keep_meeting, near.network, where)
            await trio.sleep(0.3)
            for key in (os.urandom(32), os.urandom(32)):
                async with party(key, (where,)) as far:
                    await near.next(Connected, far.id, PATIENT)
                    await exchange(near, far, b"hello")
                await near.next(Disconnected, far.id)
            nursery.cancel_scope.cancel()

    trio.run(main)
