"""What running daemons are told to do, and do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gossipfl.cli import Exit
from gossipfl_nodes.commands import client
from tests.nodes.support import Daemon, gossipfl, wait_for


@contextmanager
def resumed(daemon: Daemon) -> Iterator[None]:
    """Have it train again, whatever happens."""
    try:
        yield
    finally:
        client.post(daemon.home, "/v1/resume")


def test_a_paused_daemon_merges_and_publishes_and_does_not_train(pair: tuple[Daemon, Daemon]) -> None:
    here, there = pair
    told = gossipfl("pause", "--home", here.home.path)
    assert told.returncode == Exit.OK
    with resumed(here):
        paused = here.status()
        assert paused["paused"]
        after = here.wait_until(
            lambda status: status["merges"] > paused["merges"] + 5 and status["publishes"] > paused["publishes"] + 5,
            "it goes on",
        )
        seen = there.peers()[here.id]["merges"]
        wait_for(lambda: there.peers()[here.id]["merges"] > seen, "others merge it")
        assert after["steps"] - paused["steps"] <= 20, "one phase at the most"
        assert here.status()["steps"] == after["steps"]
        last = here.status()["saved_at"]
        here.wait_until(lambda status: status["saved_at"] > last, "it saves what it merges")
    here.wait_until(lambda status: not status["paused"] and status["steps"] > after["steps"], "it trains again")
    told = gossipfl("resume", "--json", "--home", here.home.path)
    assert (told.returncode, told.stdout) == (Exit.OK, '{\n  "paused": false\n}\n')


def test_a_publish_on_demand_says_what_went_to_how_many(pair: tuple[Daemon, Daemon]) -> None:
    here, _ = pair

    def published() -> bool:
        shown = gossipfl("publish", "--home", here.home.path)
        if shown.returncode == Exit.FAILED:
            assert "to nobody" in shown.stdout, "the other one is not flooded"
            return False
        assert f"{here.status()['incarnation']}." in shown.stdout
        assert " to 1 peers, " in shown.stdout
        return True

    wait_for(published, "a publish on demand")


def test_who_is_alone_publishes_to_nobody_and_says_so(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(network__mdns="false")
    daemon.start()
    daemon.wait_until(lambda status: status["steps"] > 0, "it learns")
    shown = gossipfl("publish", "--home", daemon.home.path)
    assert shown.returncode == Exit.FAILED
    assert "to nobody" in shown.stdout
    assert daemon.stop() == 0


def test_the_log_s_level_is_changed_and_shown(pair: tuple[Daemon, Daemon]) -> None:
    here, _ = pair
    assert gossipfl("log-level", "--home", here.home.path).stdout == "info\n"
    try:
        assert gossipfl("log-level", "error", "--home", here.home.path).stdout == "error\n"
        assert client.get(here.home, "/v1/log-level") == {"level": "error"}
    finally:
        client.put(here.home, "/v1/log-level", {"level": "info"})
    with pytest.raises(client.Refused, match="Invalid enum value"):
        client.put(here.home, "/v1/log-level", {"level": "loud"})
    assert gossipfl("log-level", "loud", "--home", here.home.path).returncode == Exit.USAGE


def test_a_topology_can_be_asked_for_and_set(pair: tuple[Daemon, Daemon]) -> None:
    here, _ = pair
    before = client.get(here.home, "/v1/topology")
    assert before == {"topology": here.status()["topology"]}
    try:
        assert client.put(here.home, "/v1/topology", {"topology": "ring"}) == {"topology": "ring"}
        assert here.status()["topology"] == "ring"
        with pytest.raises(client.Refused, match="rnig"):
            client.put(here.home, "/v1/topology", {"topology": "rnig"})
    finally:
        client.put(here.home, "/v1/topology", before)
