"""CPU seconds per 100 MB, both ends together in one process, over loopback.

Each stack runs in a process of its own, in turn, three times; the least counts, since noise only adds. `gossipfl` is
the daemon's own path: Network.send to the Received event, in frames of 1 MB, in a mesh that is open and in one that
has a key. The others send the same bytes in chunks.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio

MB = 1_000_000
TOTAL = 100 * MB
FRAME = MB
REPEATS = 3
STACKS = ("trio TLS", "stock py-libp2p", "gossipfl, open", "gossipfl")


def main() -> None:
    best: dict[str, float] = {}
    for _ in range(REPEATS):
        for stack in STACKS:
            done = subprocess.run(
                [sys.executable, "-m", "bench.daemon.wire", stack], capture_output=True, text=True, check=True
            )
            best[stack] = min(best.get(stack, float("inf")), float(done.stdout.split()[-1]))
    for stack in STACKS:
        print(f"{stack:16} {best[stack]:.3f} CPU s / 100 MB   {best[stack] / best['trio TLS']:.2f} x trio TLS")


async def _tls() -> float:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today)
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
        server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context(cafile=file)
        server.load_cert_chain(file)
    listeners = await trio.open_ssl_over_tcp_listeners(0, server, host="127.0.0.1")
    listener: Any = listeners[0]
    port = listener.transport_listener.socket.getsockname()[1]
    received = trio.Event()

    async def serve(stream: Any) -> None:
        got = 0
        while got < TOTAL:
            got += len(await stream.receive_some(1 << 18))
        received.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        stream = await trio.open_ssl_over_tcp_stream("127.0.0.1", port, ssl_context=client)
        data = os.urandom(FRAME)
        begun = time.process_time()
        for _ in range(TOTAL // FRAME):
            await stream.send_all(data)
        await received.wait()
        taken = time.process_time() - begun
        nursery.cancel_scope.cancel()
    return taken


async def _stock() -> float:
    from libp2p import new_host
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.crypto.x25519 import create_new_key_pair as x25519
    from libp2p.custom_types import TProtocol
    from libp2p.peer.peerinfo import info_from_p2p_addr
    from libp2p.security.noise.transport import PROTOCOL_ID, Transport
    from multiaddr import Multiaddr

    def host() -> Any:
        pair = create_new_key_pair()
        noise = {PROTOCOL_ID: Transport(pair, noise_privkey=x25519().private_key)}
        return new_host(key_pair=pair, listen_addrs=listen, sec_opt=noise)

    listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
    received = trio.Event()

    async def serve(stream: Any) -> None:
        got = 0
        while got < TOTAL:
            got += len(await stream.read(1 << 18))
        received.set()

    one, other = host(), host()
    async with one.run(listen_addrs=listen), other.run(listen_addrs=listen):
        one.set_stream_handler(TProtocol("/bench"), serve)
        await other.connect(info_from_p2p_addr(one.get_addrs()[0]))
        stream = await other.new_stream(one.get_id(), [TProtocol("/bench")])
        data = os.urandom(FRAME)
        begun = time.process_time()
        for _ in range(TOTAL // FRAME):
            await stream.write(data)
        await received.wait()
        return time.process_time() - begun


async def _gossipfl(secret: bytes | None) -> float:
    from gossipfl.protocol.events import Connected, Event, Received
    from gossipfl_nodes.network.network import open_network
    from tests.nodes.network.hosts import unlimited

    listen = ("/ip4/127.0.0.1/tcp/0",)
    allowed = unlimited(2 * FRAME)
    out, events = trio.open_memory_channel[Event](8)
    deaf, ignored = trio.open_memory_channel[Event](8)
    async with (
        open_network(os.urandom(32), listen, out, 2 * FRAME, print, allowed=allowed, secret=secret) as one,
        open_network(os.urandom(32), listen, deaf, 2 * FRAME, print, allowed=allowed, secret=secret) as other,
    ):
        other.dial(one.id, one.addresses)
        for channel in (events, ignored):
            while not isinstance(await channel.receive(), Connected):
                pass
        one.admit(other.id)
        other.admit(one.id)
        data = os.urandom(FRAME)
        begun = time.process_time()
        for sent in range(TOTAL // FRAME):
            other.send(one.id, data, supersedes=False)
            if sent % 4 == 3:  # as a daemon, which doesn't queue the whole model history at once
                for _ in range(4):
                    assert isinstance(await events.receive(), Received)
        return time.process_time() - begun


if __name__ == "__main__":
    stacks: tuple[Callable[[], Awaitable[float]], ...] = (
        _tls,
        _stock,
        partial(_gossipfl, None),
        partial(_gossipfl, os.urandom(32)),
    )
    run = dict(zip(STACKS, stacks, strict=True))[sys.argv[1]]
    print(trio.run(run))
