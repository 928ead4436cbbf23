"""What running daemons are told to do, and do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gossipfl.cli import Exit
from gossipfl_nodes.commands import client
from tests.nodes.support import Daemon, gossipfl, wait_for

# --- training, publishing, logging, wiring


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


# --- pinging peers that are linked, that are not, and that are nobody


def ask(daemon: Daemon, peer: str) -> dict[str, object]:
    answer: dict[str, object] = client.post(daemon.home, "/v1/ping", {"peer": peer}, timeout=30)
    return answer


def test_a_linked_peer_answers_on_its_link_by_its_id_or_the_end_of_it(pair: tuple[Daemon, Daemon]) -> None:
    here, there = pair
    for name in (there.id, there.id[-6:], there.address()):
        answer = ask(here, name)
        assert (answer["peer"], answer["over"]) == (there.id, "link")
        assert isinstance(answer["seconds"], float)
        assert 0 < answer["seconds"] < 5
    before = here.peers()[there.id]["merges"]
    wait_for(lambda: here.peers()[there.id]["merges"] > before, "the link goes on")


def test_many_pings_leave_nothing_open(pair: tuple[Daemon, Daemon]) -> None:
    here, there = pair
    for _ in range(60):  # more than a connection may have streams
        ask(here, there.id)
    assert here.peers()[there.id]["live"]
    assert here.status()["refused"] == there.status()["refused"] == 0


@pytest.mark.parametrize("with_id", [True, False])
def test_who_is_not_linked_is_dialled_at_its_address_and_let_go(
    pair: tuple[Daemon, Daemon],
    make_daemon: Callable[..., Daemon],
    with_id: bool,  # noqa: FBT001
) -> None:
    here, _ = pair
    other = make_daemon(gossip__mesh="operated", network__mdns="false")  # which nobody told of the others
    other.start()
    where = other.address()
    name = where if with_id else where.partition("/p2p/")[0]
    for _ in range(3):
        answer = ask(here, name)
        assert (answer["peer"], answer["over"]) == (other.id, "dial")
        wait_for(lambda: ask(here, name)["over"] == "dial", "the connection is cut again")
    assert other.id not in here.peers()
    with pytest.raises(client.Refused, match="does not answer"):
        ask(here, where.replace(other.id, here.id) if with_id else "/ip4/127.0.0.1/tcp/1")


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        ("nobody", "neither an id"),
        ("/ip4/127.0.0.1", "/ip4/"),
        ("/ip4/127.0.0.1/tcp/1/p2p/nobody", "neither an id"),
        ("", "length >= 1"),
        ("x" * 513, "length <= 512"),
    ],
)
def test_what_names_nobody_is_refused(pair: tuple[Daemon, Daemon], peer: str, reason: str) -> None:
    with pytest.raises(client.Refused, match=reason) as caught:
        ask(pair[0], peer)
    assert caught.value.status == 400


def test_an_end_that_fits_several_peers_is_refused(make_daemon: Callable[..., Daemon]) -> None:
    names = [
        "12D3KooWEwasxsUcPzd93Ydiwgxm7V3Th8RUVJ52twC38MKm1YmZ",
        "12D3KooWFwasxsUcPzd93Ydiwgxm7V3Th8RUVJ52twC38MKm1YmZ",
    ]
    daemon = make_daemon(
        network__bootstrap=",".join(f"/ip4/127.0.0.1/tcp/9/p2p/{name}" for name in names), network__mdns="false"
    )
    daemon.start()
    daemon.wait_until(lambda status: status, "it answers")
    with pytest.raises(client.Refused, match="2 peers' ids end so"):
        ask(daemon, "MKm1YmZ")
    begun = time.monotonic()
    with pytest.raises(client.Refused, match="does not answer") as caught:
        ask(daemon, names[0])
    assert caught.value.status == 504
    assert time.monotonic() - begun < 20


def test_the_command_s_exit_status_says_whether_somebody_answered(pair: tuple[Daemon, Daemon]) -> None:
    here, there = pair
    done = gossipfl("ping", there.id[-8:], "--home", here.home.path)
    assert done.returncode == Exit.OK
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == [there.id] * 3
    done = gossipfl("ping", "/ip4/127.0.0.1/tcp/1", "-n", "1", "--json", "--home", here.home.path)
    assert (done.returncode, json.loads(done.stdout)) == (Exit.FAILED, [])
    assert "does not answer" in done.stderr
    done = gossipfl("ping", "nobody", "--home", here.home.path)
    assert done.returncode == Exit.FAILED
    assert "neither an id" in done.stderr
