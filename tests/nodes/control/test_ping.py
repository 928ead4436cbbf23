"""Pinging peers that are linked, that are not, and that are nobody."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from gossipfl.cli import Exit
from gossipfl_nodes.commands import client
from tests.nodes.support import Daemon, gossipfl, wait_for


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
