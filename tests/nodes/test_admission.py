"""Real devices come into a closed mesh by invitation, and out of it by a ban; others stay outside."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from gossipfl_nodes.disk import trust
from gossipfl_nodes.network.limits import FIRST_WORD
from tests.nodes.network.hosts import free_port
from tests.nodes.support import Daemon, gossipfl, wait_for

QUICK = {"gossip__interval": "0.2"}


def founder(make_daemon: Callable[..., Daemon]) -> Daemon:
    """A device that has founded a mesh of its own, and runs."""
    made = make_daemon(**QUICK, network__listen=f"/ip4/127.0.0.1/tcp/{free_port()}")
    trust.found(made.home.trust, made.home.mesh_key, made.id)
    made.start()
    made.address()
    return made


def bare(daemon: Daemon) -> Daemon:
    """The same device, of no mesh yet."""
    for file in (daemon.home.trust, daemon.home.mesh_key):
        file.unlink()
    return daemon


def ticket(daemon: Daemon, *command: str) -> str:
    made = gossipfl(*command, "--home", daemon.home.path, "--json")
    assert made.returncode == 0, made.stderr
    text: str = json.loads(made.stdout)["ticket"]
    return text


def test_a_device_joins_by_invitation_learns_is_banned_and_stays_out(make_daemon: Callable[..., Daemon]) -> None:
    first = founder(make_daemon)
    invited, late = bare(make_daemon(**QUICK)), bare(make_daemon(**QUICK))
    text = ticket(first, "invite", "--for", "10m")
    joined = gossipfl("join", text, "--home", invited.home.path)
    assert joined.returncode == 0, joined.stderr
    assert f"next: gossipfl run --home {invited.home.path}" in joined.stdout
    again = gossipfl("join", text, "--home", late.home.path)
    assert again.returncode == 1
    assert "used by another device" in again.stderr
    assert not late.home.trust.exists()

    invited.start()
    invited.wait_until(lambda status: status["merges"] > 0, "it learns with the others")
    banned = gossipfl("ban", invited.id, "--home", first.home.path)
    assert banned.returncode == 0, banned.stderr
    first.wait_until(lambda status: status["peers"] == 0, "the link is cut", seconds=2.0)
    sent = first.status()["bytes_sent"]
    time.sleep(2.0)  # it dials again and again
    assert first.status()["bytes_sent"] - sent < 100
    assert invited.status()["peers"] == 0
    assert invited.status()["state"] == "learning"  # it goes on alone
    first.stop()
    first.start()
    first.wait_until(lambda status: status["state"] == "learning", "it is back")
    time.sleep(1.0)
    assert first.status()["peers"] == 0


def test_a_device_whose_id_is_known_joins_though_nobody_is_there_and_an_admin_invites(
    make_daemon: Callable[..., Daemon],
) -> None:
    first = founder(make_daemon)
    admin, third = bare(make_daemon(**QUICK)), bare(make_daemon(**QUICK))
    text = ticket(first, "allow", admin.id, "--admin")
    first.stop()
    wrong = gossipfl("join", text, "--home", third.home.path)
    assert wrong.returncode == 1
    assert f"the ticket is for {admin.id}; this device is {third.id}" in wrong.stderr
    assert gossipfl("join", text, "--home", admin.home.path).returncode == 0
    admin.start()
    admin.address()
    assert gossipfl("join", ticket(admin, "invite"), "--home", third.home.path).returncode == 0
    third.start()
    first.start()
    for daemon in (first, admin, third):
        daemon.wait_until(lambda status: status["peers"] == 2, "all are there")
    refused = gossipfl("invite", "--home", third.home.path)
    assert refused.returncode == 1
    assert "no admin" in refused.stderr


def test_strangers_with_and_without_the_key_get_no_link(make_daemon: Callable[..., Daemon]) -> None:
    first = founder(make_daemon)
    keyed, foreign = make_daemon(**QUICK, network__bootstrap=first.address()), make_daemon(
        **QUICK, network__bootstrap=first.address(), network__open="true"
    )  # fmt: skip
    trust.settle(
        keyed.home.trust, keyed.home.mesh_key, trust.Trust(keyed.home.trust, keyed.id, "gossipfl").charter,
        trust.load_key(first.home.mesh_key),
    )  # fmt: skip
    for stranger in (keyed, foreign):
        stranger.start()
        stranger.wait_until(lambda status: status["state"] == "learning", "it learns alone")
    time.sleep(2.0)
    for daemon in (first, keyed, foreign):
        assert daemon.status()["peers"] == 0
    assert not first.peers()
    assert [line["reason"] for line in first.events("refused") if line["peer"] == keyed.id]
    assert foreign.status()["open"]
    assert foreign.events(
        "this mesh is open: whoever can reach a device and knows the mesh's name can join, see models and change them;"
        " network.open = false and invitations keep strangers out"
    )


def test_a_home_says_how_to_get_into_a_mesh(tmp_path: Path, make_daemon: Callable[..., Daemon]) -> None:
    daemon = bare(make_daemon())
    daemon.start()
    assert daemon.process is not None
    wait_for(lambda: daemon.process is not None and daemon.process.poll() is not None, "it ends")
    assert "gossipfl join TICKET" in daemon.log()
    assert "network.open = true" in daemon.log()
    assert gossipfl("init", "--home", daemon.home.path).returncode == 0  # its configuration stays, a mesh is founded
    assert gossipfl("init", "--home", daemon.home.path).returncode == 73
    for text, reason in (("nonsense", "not a ticket"), ("gossipfl1.AAAA", "damaged")):
        refused = gossipfl("join", text, "--home", tmp_path / "new")
        assert refused.returncode == 1
        assert reason in refused.stderr
    assert not (tmp_path / "new").exists()


def test_a_member_that_comes_back_keeps_its_link(make_daemon: Callable[..., Daemon]) -> None:
    first = founder(make_daemon)
    second = bare(make_daemon(**QUICK))
    assert gossipfl("join", ticket(first, "invite"), "--home", second.home.path).returncode == 0
    second.start()
    second.wait_until(lambda status: status["merges"] > 0, "they learn")
    second.stop()
    second.start()
    second.wait_until(lambda status: status["merges"] > 0, "they learn again")
    until = time.monotonic() + FIRST_WORD + 2.0  # a stranger would be cut by then
    while time.monotonic() < until:
        assert (first.status()["peers"], second.status()["peers"]) == (1, 1)
        time.sleep(0.2)
