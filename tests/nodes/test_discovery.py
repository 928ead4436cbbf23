"""Daemons as real processes that find each other with less than an address and an id."""

from __future__ import annotations

from collections.abc import Callable

from tests.nodes.network.hosts import free_port
from tests.nodes.support import Daemon


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
