"""Addresses: where this device can be reached as far as it can tell itself, when that changes, and names for addresses.

Addresses are multiaddrs as text, without ids: /ip4/192.0.2.7/tcp/9444. Knows interfaces and the system's resolver, no
connections. What a peer says that it sees us as is never asked: whoever lies about it would choose what we tell others.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from functools import partial
from ipaddress import ip_address

import psutil
import trio
from multiaddr import Multiaddr

from gossipfl.errors import LocalError

CHANGES = 0x1 | 0x10 | 0x100
"""Of rtnetlink(7): RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR."""
SETTLE = 0.5
"""Seconds from a change to a look: DHCP and a change of Wi-Fi take one address away before they give another."""
NAMED = {"dns": socket.AF_UNSPEC, "dns4": socket.AF_INET, "dns6": socket.AF_INET6}
"""Multiaddr protocols that have a name instead of an address."""
MAX_RESOLVED = 4
"""Addresses that are tried of one name."""
_resolvers = trio.CapacityLimiter(4)
"""Threads that wait for a name server at the same time: one that doesn't answer holds each for half a minute."""


def checked(key: str, address: str) -> str:
    """`address`, if it is where TCP can be dialled.

    Raises:
        LocalError: it is not; the message has the configuration's `key`, and shows what is.
    """
    try:
        parsed = Multiaddr(address)
        kinds = [protocol.name for protocol in parsed.protocols()]
    except Exception as error:  # multiaddr raises several unrelated kinds
        raise _refusal(key, address) from error
    if len(kinds) != 2 or kinds[0] not in ("ip4", "ip6", *NAMED) or kinds[1] != "tcp":
        raise _refusal(key, address)
    return address


def _refusal(key: str, address: str) -> LocalError:
    return LocalError(f"{key} = {address!r}: not where TCP can be dialled; write for example /ip4/192.0.2.7/tcp/9444")


def of_interfaces() -> list[str]:
    """The IP addresses of all interfaces that are up, without zones."""
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    return [
        entry.address.partition("%")[0]
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if name in up and entry.family in (socket.AF_INET, socket.AF_INET6)
    ]


def reachable(bound: Sequence[str], here: Sequence[str], announced: Sequence[str] = ()) -> tuple[str, ...]:
    """What others can dial.

    Args:
        bound: what this device listens on; an unspecified address stands for those of every interface.
        here: the IP addresses of its interfaces.
        announced: what it can be reached by beside these, as behind a port forward. Told first, since others can't be
            told how far away they are.

    Link-local addresses are told only if there are none but loopback, and loopback only if there is nothing else: to
    others they are somebody else's. Of IPv6, link-local ones mean nothing without a zone.
    """
    found: list[tuple[int, str]] = []
    for address in bound:
        _, family, host, rest = address.split("/", 3)
        hosts = [one for one in here if (":" in one) == (family == "ip6")] if _unspecified(host) else [host]
        found += [(_distance(one), f"/{family}/{one}/{rest}") for one in hosts if not _needs_zone(one)]
    nearest = min((distance for distance, _ in found), default=0)
    return tuple(dict.fromkeys([*announced, *(address for distance, address in found if distance == nearest)]))


def is_stranded(near: str, here: Sequence[str]) -> bool:
    """Has the address `near` of ours, that something is connected from, gone? `here` are those of the interfaces."""
    return bool(near) and near not in here and _distance(near) != 2


def only_loopback(addresses: Sequence[str]) -> bool:
    """Does nobody but this machine reach any of these?"""
    return all(address.split("/")[1] not in NAMED and _distance(address.split("/")[2]) == 2 for address in addresses)


def _unspecified(host: str) -> bool:
    return ip_address(host).is_unspecified


def _needs_zone(host: str) -> bool:
    return ip_address(host).version == 6 and ip_address(host).is_link_local


def _distance(host: str) -> int:
    """Less is better to be told to others."""
    address = ip_address(host)
    return 2 if address.is_loopback else int(address.is_link_local)


async def changes() -> AsyncIterator[None]:
    """Yields after interfaces or their addresses have changed. The kernel tells; nothing is polled."""
    with trio.socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as told:
        await told.bind((0, CHANGES))
        while True:
            with contextlib.suppress(OSError):  # it told more than fits in its buffer
                await told.recv(1 << 16)
            await trio.sleep(SETTLE)
            with contextlib.suppress(OSError), trio.CancelScope(deadline=trio.current_time()):
                while True:
                    await told.recv(1 << 16)
            yield


async def resolved(address: str) -> list[str]:
    """`address` with IP addresses for its name, as the system resolves it now; as it is if it has none.

    Raises:
        OSError: the name is unknown, or nobody who knows it answers.
    """
    _, kind, name, *rest = address.split("/", 3)
    if kind not in NAMED:
        return [address]
    look = partial(socket.getaddrinfo, name, None, NAMED[kind], socket.SOCK_STREAM)
    # trio's own stubs, which libp2p brings, are older than trio.
    found = await trio.to_thread.run_sync(look, abandon_on_cancel=True, limiter=_resolvers)  # type: ignore[call-arg]
    hosts = dict.fromkeys(str(place[0]) for *_, place in found)
    return [f"/{'ip6' if ':' in host else 'ip4'}/{'/'.join([host, *rest])}" for host in hosts][:MAX_RESOLVED]
