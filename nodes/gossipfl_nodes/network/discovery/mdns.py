"""mDNS (RFC 6762, 6763): devices of one mesh on one LAN find each other without any configuration.

Each device announces its id, its addresses, and a tag that means something only to those who know the mesh's key, or
where it is open, its name. Whoever shows the right tag is told to the network as found, which is hearsay: talking to
it finds out whether it belongs to us. zeroconf works in threads of its own, which the event loop never waits for.
Knows no connections.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_address
from queue import SimpleQueue
from threading import get_native_id
from typing import TYPE_CHECKING, TypeAlias

import psutil
import structlog
import trio

from gossipfl.membership.ids import is_id
from gossipfl_nodes.network.discovery.addresses import NAMED, of_interfaces, only_loopback
from gossipfl_nodes.network.network import Network

if TYPE_CHECKING:
    from zeroconf import ServiceInfo, Zeroconf

SERVICE = "_gossipfl._tcp.local."
MAX_WAITING = 32
"""Sightings that nobody has looked at yet; beyond, they are lost: a device is seen again when its addresses change."""
RETRY = 60.0
"""Seconds until the next try on interfaces that don't do multicast."""
LOOK_EVERY, NOISE = 2.0, 0.2
"""Seconds between two looks at what zeroconf costs, and the share of a core that is too much. On a LAN that somebody
floods it keeps the interpreter from all else; it rests for RETRY then. 50 packets a second, of five devices each, take
a twentieth of a core.
"""
CLOSE_TIMEOUT = 2.0
"""Seconds for the goodbye to leave: three packets, an eighth of a second apart."""

Sighting: TypeAlias = tuple[str, tuple[str, ...]]
"""A peer's id and addresses."""

log = structlog.get_logger("network")


def tag(mesh: bytes, peer: str) -> bytes:
    """What `peer` shows to those who know `mesh`: the key of a closed mesh, or the name of an open one.

    Others learn nothing from it: those of two devices of one mesh have nothing in common. Whoever guesses a name can
    check the guess. It is of no use with another id.
    """
    key = blake2b(mesh).digest()
    return blake2b(peer.encode(), key=key, digest_size=16, person=b"gossipfl mdns").hexdigest().encode()


def nearby(addresses: Iterable[str], here: Sequence[str]) -> dict[int, list[str]]:
    """By port, the IP addresses in `addresses` that a LAN can use: of the interfaces `here`, and not loopback."""
    found: dict[int, list[str]] = {}
    for address in addresses:
        _, kind, host, _, port = address.split("/")
        if kind not in NAMED and host in here and not only_loopback([address]):
            found.setdefault(int(port), []).append(host)
    return found


def services(peer: str, mesh: bytes, places: dict[int, list[str]]) -> list[ServiceInfo]:
    """What is announced of `peer`: for each port a service. Its name is random: a device's own is nobody's business."""
    from zeroconf import ServiceInfo  # noqa: PLC0415 - as in `_start`

    shown = {"id": peer, "tag": tag(mesh, peer)}
    return [
        ServiceInfo(
            SERVICE, f"{name}.{SERVICE}", port, properties=shown, server=f"{name}.local.", parsed_addresses=hosts
        )
        for port, hosts in places.items()
        for name in [secrets.token_hex(8)]
    ]


def sighting(info: ServiceInfo, mesh: bytes) -> Sighting | None:
    """Who announces `info`, and where; None if it is not of `mesh`, or of no use."""
    shown = info.properties
    peer = (shown.get(b"id") or b"").decode("ascii", "replace")
    if not is_id(peer) or not hmac.compare_digest(shown.get(b"tag") or b"", tag(mesh, peer)):
        return None
    hosts = [host for host in map(ip_address, info.parsed_addresses()) if _is_somewhere(host)]
    addresses = [f"/ip{host.version}/{host}/tcp/{info.port}" for host in hosts]
    return (peer, tuple(addresses)) if info.port and addresses else None


def _is_somewhere(host: IPv4Address | IPv6Address) -> bool:
    """Is it one device, other than this, and no zone is needed to dial it?"""
    if host.version == 6 and host.is_link_local:
        return False
    return not (host.is_loopback or host.is_unspecified or host.is_multicast or host.is_reserved)


async def keep_finding(network: Network, mesh: bytes) -> None:
    """Announce this device on its LANs, and tell `network` of others of `mesh`, until cancelled.

    Whoever listens on nothing but loopback stays alone.
    """
    outbox, inbox = trio.open_memory_channel[Sighting](MAX_WAITING)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell, network, inbox)
        while True:
            told = network.addresses
            places, pause = nearby(told, of_interfaces()), float("inf")
            try:
                if places:
                    async with _announced(network.id, mesh, places, outbox) as announced:
                        while network.addresses == told:
                            await announced.bear(network.moved)
            except Exception as error:  # noqa: BLE001 - zeroconf raises its own, and whatever sockets do
                log.info("mDNS does not work here", reason=str(error))
                pause = RETRY
            with trio.move_on_after(pause):
                while network.addresses == told:
                    await network.moved()


async def _tell(network: Network, inbox: trio.MemoryReceiveChannel[Sighting]) -> None:
    async for peer, addresses in inbox:
        log.debug("seen on the LAN", peer=peer, addresses=" ".join(addresses))
        await network.found(peer, addresses)


class _Announced:
    """What is running while this device is announced."""

    def __init__(self, responder: Zeroconf, threads: tuple[int, ...]) -> None:
        self.responder = responder
        self._threads = threads

    async def bear(self, until: Callable[[], Awaitable[None]]) -> None:
        """Go on until then, but for LOOK_EVERY at the most.

        Raises:
            OSError: it costs too much.
        """
        before = self._seconds()
        with trio.move_on_after(LOOK_EVERY):
            await until()
        if self._seconds() - before > NOISE * LOOK_EVERY:
            raise OSError("there is too much of it on this LAN")

    def _seconds(self) -> float:
        """CPU time that zeroconf's threads have used."""
        used = [one.user_time + one.system_time for one in psutil.Process().threads() if one.id in self._threads]
        return float(sum(used))


@asynccontextmanager
async def _announced(
    peer: str, mesh: bytes, places: dict[int, list[str]], outbox: trio.MemorySendChannel[Sighting]
) -> AsyncIterator[_Announced]:
    """Within, this device is announced at `places`, and others whom it sees go into `outbox`."""
    token = trio.lowlevel.current_trio_token()

    def offer(found: Sighting) -> None:
        with contextlib.suppress(trio.WouldBlock, trio.BrokenResourceError):
            outbox.send_nowait(found)

    def look(info: ServiceInfo) -> None:
        found = sighting(info, mesh)
        if found is not None and found[0] != peer:
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(offer, found, idempotent=True)

    announced = await trio.to_thread.run_sync(_start, peer, mesh, places, look)
    try:
        yield announced
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_TIMEOUT):
            # trio's own stubs, which libp2p brings, are older than trio.
            await trio.to_thread.run_sync(announced.responder.close, abandon_on_cancel=True)  # type: ignore[call-arg]


def _start(peer: str, mesh: bytes, places: dict[int, list[str]], look: Callable[[ServiceInfo], None]) -> _Announced:
    """In a thread: it takes a second until everything is announced."""
    # Only who needs it pays for it: 30 ms and 5 MB.
    from zeroconf import ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf  # noqa: PLC0415

    def heard(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is not ServiceStateChange.Removed:
            with contextlib.suppress(Exception):  # names and records are whatever anybody on the LAN sends
                info = ServiceInfo(service_type, name)
                if info.load_from_cache(zeroconf):  # ours come whole, in one packet: nobody makes us ask for more
                    look(info)

    responder = Zeroconf(interfaces=[host for hosts in places.values() for host in hosts])
    try:
        browser = ServiceBrowser(responder, SERVICE, handlers=[heard])
        assert responder.loop is not None
        ids: SimpleQueue[int] = SimpleQueue()
        responder.loop.call_soon_threadsafe(lambda: ids.put(get_native_id()))
        for info in services(peer, mesh, places):
            responder.register_service(info, cooperating_responders=True)  # a random name is nobody else's
        return _Announced(responder, (ids.get(), browser.native_id or 0))
    except BaseException:
        responder.close()
        raise
