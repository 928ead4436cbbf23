"""What is announced on a LAN: its readers, and that nobody else can make anything of it."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf import ServiceInfo

from gossipfl_nodes.network.discovery.mdns import SERVICE, nearby, services, sighting, tag

ONE = "12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf"
OTHER = "12D3KooWHJ6RYQCVtrWQSeu2g4jVG4uttTTyL6xC63vXn6vRUYX8"
MESH = b"the neighbourhood's"


def announced(hosts: list[str], port: int = 9444, **shown: str | bytes | None) -> ServiceInfo:
    return ServiceInfo(SERVICE, f"x.{SERVICE}", port, properties=shown, server="x.local.", parsed_addresses=hosts)


def test_whoever_knows_the_mesh_sees_who_is_there_and_where() -> None:
    places = nearby(
        ["/ip4/10.0.0.1/tcp/9444", "/ip6/2001:db8::1/tcp/9444", "/ip4/10.0.0.1/tcp/9445"], ["10.0.0.1", "2001:db8::1"]
    )
    found = [sighting(info, MESH) for info in services(ONE, MESH, places)]
    assert found == [
        (ONE, ("/ip4/10.0.0.1/tcp/9444", "/ip6/2001:db8::1/tcp/9444")),
        (ONE, ("/ip4/10.0.0.1/tcp/9445",)),
    ]


def test_whoever_does_not_sees_neither_its_name_nor_who_belongs_together() -> None:
    (one,) = services(ONE, MESH, {9444: ["10.0.0.1"]})
    (other,) = services(OTHER, MESH, {9444: ["10.0.0.2"]})
    assert sighting(one, b"another") is None
    for info in (one, other):
        assert MESH not in info.text
        assert socket.gethostname() not in f"{info.name} {info.server} {info.text!r}"
    assert one.properties[b"tag"] != other.properties[b"tag"]
    assert one.name != services(ONE, MESH, {9444: ["10.0.0.1"]})[0].name


def test_a_tag_is_of_no_use_to_anybody_else() -> None:
    assert sighting(announced(["10.0.0.1"], id=ONE, tag=tag(MESH, ONE)), MESH) is not None
    assert sighting(announced(["10.0.0.1"], id=OTHER, tag=tag(MESH, ONE)), MESH) is None


@pytest.mark.parametrize(
    ("addresses", "here", "places"),
    [
        (["/ip4/127.0.0.1/tcp/1"], ["127.0.0.1"], {}),
        (["/dns4/a.example/tcp/1", "/ip4/10.0.0.1/tcp/2"], ["10.0.0.1"], {2: ["10.0.0.1"]}),
        (["/ip4/192.0.2.7/tcp/1", "/ip4/10.0.0.1/tcp/2"], ["10.0.0.1"], {2: ["10.0.0.1"]}),
        ([], ["10.0.0.1"], {}),
    ],
    ids=["loopback", "a name", "behind a port forward", "nothing"],
)
def test_what_a_lan_cannot_use_is_not_announced(
    addresses: list[str], here: list[str], places: dict[int, list[str]]
) -> None:
    assert nearby(addresses, here) == places


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "ff02::1"])
def test_nobody_makes_us_dial_ourselves_or_everybody(host: str) -> None:
    assert sighting(announced([host], id=ONE, tag=tag(MESH, ONE)), MESH) is None
    assert sighting(announced([host, "10.0.0.1"], id=ONE, tag=tag(MESH, ONE)), MESH) == (
        ONE,
        ("/ip4/10.0.0.1/tcp/9444",),
    )


@given(st.binary(max_size=300), st.sampled_from([b"", b"\xff", ONE.encode()]), st.integers(0, 65535))
def test_whatever_is_announced_is_read_without_harm(text: bytes, peer: bytes, port: int) -> None:
    for record in (text, bytes([len(peer) + 3]) + b"id=" + peer + text):
        info = ServiceInfo(SERVICE, f"x.{SERVICE}", port, properties=record, server="x.local.")
        assert sighting(info, MESH) is None
