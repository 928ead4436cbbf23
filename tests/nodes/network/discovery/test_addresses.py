"""Where a device says that it can be reached, and names for addresses."""

from __future__ import annotations

import pytest
import trio

from gossipfl.errors import LocalError
from gossipfl_nodes.network.discovery.addresses import (
    checked,
    is_stranded,
    of_interfaces,
    only_loopback,
    reachable,
    resolved,
)

LAN = ["127.0.0.1", "::1", "192.168.1.5", "fe80::1", "fd00::5"]
NO_DHCP = ["127.0.0.1", "::1", "169.254.7.7", "fe80::1"]
ALONE = ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    ("bound", "here", "announced", "told"),
    [
        # An unspecified address is every interface's, of its family.
        (["/ip4/0.0.0.0/tcp/1"], LAN, [], ["/ip4/192.168.1.5/tcp/1"]),
        (["/ip6/::/tcp/1"], LAN, [], ["/ip6/fd00::5/tcp/1"]),
        (["/ip4/0.0.0.0/tcp/1", "/ip6/::/tcp/2"], LAN, [], ["/ip4/192.168.1.5/tcp/1", "/ip6/fd00::5/tcp/2"]),
        (["/ip4/0.0.0.0/tcp/1"], ["10.0.0.1", "10.1.0.1"], [], ["/ip4/10.0.0.1/tcp/1", "/ip4/10.1.0.1/tcp/1"]),
        # What others can't use is told only where there is nothing better.
        (["/ip4/0.0.0.0/tcp/1"], NO_DHCP, [], ["/ip4/169.254.7.7/tcp/1"]),
        (["/ip4/0.0.0.0/tcp/1"], ALONE, [], ["/ip4/127.0.0.1/tcp/1"]),
        (["/ip4/0.0.0.0/tcp/1", "/ip6/::/tcp/1"], ALONE, [], ["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"]),
        (["/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.5/tcp/1"], LAN, [], ["/ip4/192.168.1.5/tcp/1"]),
        (["/ip4/127.0.0.1/tcp/1"], LAN, [], ["/ip4/127.0.0.1/tcp/1"]),
        (["/ip6/::/tcp/1"], ["::1", "fe80::1"], [], ["/ip6/::1/tcp/1"]),
        # What is announced comes first and goes with the rest.
        (["/ip4/0.0.0.0/tcp/1"], LAN, ["/dns4/me.example/tcp/9"], ["/dns4/me.example/tcp/9", "/ip4/192.168.1.5/tcp/1"]),
        ([], LAN, ["/ip4/203.0.113.9/tcp/9"], ["/ip4/203.0.113.9/tcp/9"]),
        (["/ip4/192.168.1.5/tcp/1"], LAN, ["/ip4/192.168.1.5/tcp/1"], ["/ip4/192.168.1.5/tcp/1"]),
        # Nowhere.
        ([], LAN, [], []),
        (["/ip6/::/tcp/1"], ["192.168.1.5"], [], []),
    ],
)  # fmt: skip
def test_what_is_told_to_others(bound: list[str], here: list[str], announced: list[str], told: list[str]) -> None:
    assert list(reachable(bound, here, announced)) == told


@pytest.mark.parametrize(
    ("near", "stranded"),
    [
        ("192.168.1.5", False),
        ("192.168.1.6", True),
        ("127.0.0.9", False),
        ("::1", False),
        ("fd00::9", True),
        ("", False),
    ],
)
def test_a_connection_from_an_address_that_is_gone_is_stranded(near: str, *, stranded: bool) -> None:
    assert is_stranded(near, LAN) == stranded


@pytest.mark.parametrize(
    ("addresses", "only"),
    [
        (["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"], True),
        (["/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1"], False),
        (["/dns4/me.example/tcp/1"], False),
        ([], True),
    ],
)
def test_whether_only_this_machine_reaches_an_address(addresses: list[str], *, only: bool) -> None:
    assert only_loopback(addresses) == only


def test_this_machine_has_a_loopback_interface_and_addresses_have_no_zones() -> None:
    here = of_interfaces()
    assert "127.0.0.1" in here
    assert not [one for one in here if "%" in one]


@pytest.mark.parametrize(
    "address", ["/ip4/192.0.2.7/tcp/1", "/ip6/::1/tcp/1", "/dns4/a.example/tcp/1", "/dns6/a/tcp/1", "/dns/a/tcp/1"]
)
def test_an_address_that_tcp_can_dial_is_one(address: str) -> None:
    assert checked("network.announce", address) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nonsense",
        "/tcp/1",
        "/ip4/192.0.2.7",
        "/ip4/192.0.2.7/udp/1",
        "/ip4/192.0.2.700/tcp/1",
        "/ip4/192.0.2.7/tcp/1/ws",
        "/ip4/192.0.2.7/tcp/1/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf",
        "/dnsaddr/a.example/tcp/1",
    ],
)
def test_another_is_refused_by_key_and_value(address: str) -> None:
    with pytest.raises(LocalError) as caught:
        checked("network.announce", address)
    assert str(caught.value).startswith(f"network.announce = {address!r}: ")
    assert "/ip4/192.0.2.7/tcp/9444" in str(caught.value)


def test_a_name_is_looked_up_each_time_and_an_address_never() -> None:
    async def main() -> None:
        assert await resolved("/ip4/192.0.2.7/tcp/1") == ["/ip4/192.0.2.7/tcp/1"]
        assert await resolved("/dns4/localhost/tcp/9444") == ["/ip4/127.0.0.1/tcp/9444"]
        assert "/ip4/127.0.0.1/tcp/9444" in await resolved("/dns/localhost/tcp/9444")
        with pytest.raises(OSError, match=r"."):
            await resolved("/dns4/no-such-host.invalid/tcp/1")

    trio.run(main)
