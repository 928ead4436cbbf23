"""Another implementation in a private mesh: js-libp2p with the mesh's key file links up and exchanges frames with us.

`make interop` installs it by npm; it needs node.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from multiaddr import Multiaddr

from gossipfl.protocol.events import Connected, Received
from gossipfl_nodes.disk import trust
from tests.nodes.network.hosts import Party, party

pytestmark = pytest.mark.interop
HERE = Path(__file__).parent
OTHER_KEY = bytes(32)
BODY = os.urandom(3 << 20)
"""More than a window of Yamux, either way."""


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node: apt-get install nodejs npm")
    if not (HERE / "node_modules").is_dir():
        pytest.skip(f"js-libp2p is not installed: npm install --prefix {HERE}")
    return found


@asynccontextmanager
async def js(node: str, key_file: Path, *target: str) -> AsyncIterator[trio.abc.ReceiveStream]:
    """What a js-libp2p host says on its standard output."""
    command = [node, str(HERE / "peer.mjs"), str(key_file), *target]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, stdout=subprocess.PIPE, check=False)
        process: trio.Process = await nursery.start(run)
        assert process.stdout is not None
        yield process.stdout
        process.kill()


def whole_address(of: Party) -> str:
    return f"{of.addresses[0]}/p2p/{of.id}"


async def line(stream: trio.abc.ReceiveStream) -> str:
    text = b""
    with trio.fail_after(20):
        while not text.endswith(b"\n"):
            text += await stream.receive_some(1)
    return text.decode().strip()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """As `gossipfl init` writes it."""
    path = tmp_path / "mesh.key"
    trust.found(tmp_path / "trust.json", path, "founder")
    return path


def test_we_dial_js_and_it_says_what_it_hears(node: str, key_file: Path) -> None:
    async def main() -> None:
        async with party(secret=trust.load_key(key_file)) as near, js(node, key_file) as said:
            address = Multiaddr(await line(said))
            peer = str(address.value_for_protocol("p2p"))
            near.network.dial(peer, (str(address),))
            assert await near.next(Connected, peer) == Connected(peer, dialled=True)
            near.network.admit(peer)
            near.network.send(peer, BODY, supersedes=False)
            assert await near.next(Received, peer) == Received(peer, BODY)

    trio.run(main)


def test_js_dials_us_and_says_what_it_hears(node: str, key_file: Path) -> None:
    async def main() -> None:
        async with (
            party(secret=trust.load_key(key_file)) as near,
            js(node, key_file, whole_address(near)) as said,
        ):
            peer = str(Multiaddr(await line(said)).value_for_protocol("p2p"))
            assert await near.next(Received, peer) == Received(peer, b"from js")
            assert not near.network.links[peer].dialled
            near.network.admit(peer)
            near.network.send(peer, BODY, supersedes=False)
            assert await near.next(Received, peer) == Received(peer, BODY)

    trio.run(main)


def test_js_with_another_key_gets_nowhere(node: str, key_file: Path) -> None:
    async def main() -> None:
        async with party(secret=OTHER_KEY) as near, js(node, key_file, whole_address(near)) as said:
            address = await line(said)
            assert (await line(said)).startswith("failed")
            with pytest.raises(ConnectionError):
                await near.network.meet(address)
            assert not near.network.links

    trio.run(main)
