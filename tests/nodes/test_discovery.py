"""Daemons as real processes that find each other with less than an address and an id."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.lab.lan import lan
from tests.nodes.network.hosts import free_port
from tests.nodes.support import Daemon, end, wait_for

EVERYWHERE = "/ip4/0.0.0.0/tcp/9444"


def test_a_name_and_a_port_are_enough_to_begin_from_and_survive_a_new_key(make_daemon: Callable[..., Daemon]) -> None:
    port = free_port()
    first = make_daemon(network__listen=f"/ip4/127.0.0.1/tcp/{port}")
    newcomer = make_daemon(network__bootstrap=f"/dns4/localhost/tcp/{port}", gossip__interval="0.2")
    newcomer.start()
    first.start()
    newcomer.wait_until(lambda status: status["peers"] == 1, "a link")
    assert newcomer.peers()[first.id]["live"]
    first.stop()
    successor = make_daemon(network__listen=f"/ip4/127.0.0.1/tcp/{port}")
    successor.start()
    newcomer.wait_until(lambda status: status["peers"] == 1, "a link with whoever is there now")
    assert newcomer.peers()[successor.id]["live"]


def listens(status: dict[str, Any]) -> bool:
    return bool(status["addresses"])


def test_on_one_lan_the_name_of_the_mesh_is_enough(make_daemon: Callable[..., Daemon]) -> None:
    with lan(3) as net:
        one, other, foreign = [
            make_daemon(network__listen=EVERYWHERE, gossip__mesh=mesh, gossip__interval="0.2", log__level="debug")
            for mesh in ("ours", "ours", "theirs")
        ]
        for daemon, place in zip((foreign, one, other), net.places, strict=True):
            daemon.within = place.within
            daemon.start()
        for daemon in (foreign, one, other):
            daemon.wait_until(listens, "it listens")
        one.wait_until(lambda status: status["peers"] == 1, "a link", seconds=5.0)
        assert one.peers()[other.id]["live"]
        assert other.events("seen on the LAN") + one.events("seen on the LAN")
        assert not foreign.events("seen on the LAN")
        assert not foreign.peers()


def test_who_comes_to_a_lan_later_finds_who_is_there_and_who_turned_it_off_is_not_found(
    make_daemon: Callable[..., Daemon],
) -> None:
    with lan(3) as net:
        keys = {"network__listen": EVERYWHERE, "gossip__interval": "0.2", "log__level": "debug"}
        one, wanderer, hidden = make_daemon(**keys), make_daemon(**keys), make_daemon(**keys, network__mdns="false")
        net.places[1].ip("address flush dev eth0")
        for daemon, place in zip((one, wanderer, hidden), net.places, strict=True):
            daemon.within = place.within
            daemon.start()
        for daemon in (one, wanderer, hidden):
            daemon.wait_until(listens, "it listens")
        assert not wanderer.peers()
        net.places[1].ip("address add 10.77.0.2/24 brd + dev eth0")
        one.wait_until(lambda status: status["peers"] == 1, "a link")
        assert set(one.peers()) == {wanderer.id}
        assert not hidden.peers()


def test_two_on_one_machine_find_each_other_as_well(make_daemon: Callable[..., Daemon]) -> None:
    with lan(1) as net:
        pair = [make_daemon(network__listen=f"/ip4/0.0.0.0/tcp/{port}", gossip__interval="0.2") for port in (1, 2)]
        for daemon in pair:
            daemon.within = net.places[0].within
            daemon.start()
        for daemon in pair:
            daemon.wait_until(listens, "it listens")
        pair[0].wait_until(lambda status: status["peers"] == 1, "a link", seconds=5.0)


def test_a_lan_full_of_noise_is_not_listened_to_and_learning_goes_on(make_daemon: Callable[..., Daemon]) -> None:
    with lan(3) as net:
        pair = [make_daemon(network__listen=EVERYWHERE, gossip__interval="0.2") for _ in range(2)]
        for daemon, place in zip(pair, net.places, strict=False):
            daemon.within = place.within
            daemon.start()
        for daemon in pair:
            daemon.wait_until(lambda status: status["peers"] == 1, "a link")
        crowd = [sys.executable, "-m", "tests.nodes.network.crowded_lan", "10.77.0.3"]
        noise = subprocess.Popen([*net.places[2].within, *crowd])
        try:
            wait_for(lambda: pair[0].events("mDNS does not work here"), "it rests")
            before = pair[0].status()["merges"]
            pair[0].wait_until(lambda status: status["merges"] > before + 5, "merges")
        finally:
            end([noise])
