"""Events and log lines of running daemons, for readers who read, come back, or don't read at all."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse
from itertools import islice
from typing import Any

import pytest

from gossipfl.cli import Exit
from gossipfl_nodes.commands import client, watching
from gossipfl_nodes.control import watch
from gossipfl_nodes.control.web.server import CONNECTIONS, WRITE_TIMEOUT
from tests.nodes.support import GENEROUS, Daemon, clean_environment, end, gossipfl, wait_for


@contextmanager
def streaming(daemon: Daemon, path: str, **headers: str) -> Iterator[HTTPResponse]:
    """The answer to a GET, and its headers."""
    connection = HTTPConnection("localhost", timeout=GENEROUS)
    connection.sock = connect(daemon)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        yield connection.getresponse()
    finally:
        connection.close()


def connect(daemon: Daemon) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(GENEROUS)
    made.connect(str(daemon.home.socket))
    return made


def events(response: HTTPResponse, count: int) -> list[tuple[str, dict[str, Any]]]:
    """The next `count` events with their ids; none for one without."""
    found: list[tuple[str, dict[str, Any]]] = []
    name = ""
    for line in response:
        if line.startswith(b"id: "):
            name = line[4:].decode().strip()
        elif line.startswith(b"data: "):
            found.append((name, json.loads(line[6:])))
            name = ""
            if len(found) == count:
                return found
    pytest.fail("the stream ended")


def test_what_happens_comes_as_it_happens_with_ids_that_go_up_by_one(pair: tuple[Daemon, Daemon]) -> None:
    here, there = pair
    with streaming(here, "/v1/events") as response:
        assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
        seen = events(response, 4)
        while not any(event.get("left_out") for _, event in seen):  # five a second happen, and one is told of
            seen += events(response, 1)
    assert {event["event"] for _, event in seen} <= {"merged", "published", "saved"}
    assert all(abs(event["time"] - time.time()) < GENEROUS for _, event in seen)
    assert {event["peer"] for _, event in seen if event["event"] == "merged"} == {there.id}
    numbers = [int(name.split("-")[1]) for name, _ in seen]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_who_comes_back_with_the_last_id_misses_nothing(pair: tuple[Daemon, Daemon]) -> None:
    here, _ = pair
    with streaming(here, "/v1/events?last=1000") as response:
        first = events(response, 3)
    wait_for(lambda: here.status()["publishes"], "it goes on")
    with streaming(here, "/v1/events", Last_Event_ID=first[0][0]) as response:
        again = events(response, 3)
    assert again[:2] == first[1:]


@pytest.mark.parametrize("last", ["nonsense", "0-1", "-", "€-3", "x" * 1000])
def test_an_id_of_another_life_or_of_nobody_gets_all_that_there_is(pair: tuple[Daemon, Daemon], last: str) -> None:
    here, _ = pair
    with streaming(here, "/v1/events?last=1000") as response:
        (oldest,) = events(response, 1)
    with streaming(here, "/v1/events", Last_Event_ID=last.encode().decode("latin-1")) as response:
        assert events(response, 1) == [oldest]


def test_an_id_of_this_life_whose_number_is_none_yet_gets_what_comes(pair: tuple[Daemon, Daemon]) -> None:
    here, _ = pair
    with streaming(here, "/v1/events?last=1") as response:
        ((name, _),) = events(response, 1)
    life, number = name.split("-")
    with streaming(here, "/v1/events", Last_Event_ID=f"{life}-{int(number) + 5}") as response:
        ((after, _),) = events(response, 1)
    assert int(after.split("-")[1]) > int(number)


def test_a_peer_that_comes_and_goes_is_told_of(pair: tuple[Daemon, Daemon], make_daemon: Callable[..., Daemon]) -> None:
    here, _ = pair
    visitor = make_daemon(gossip__mesh="operated", network__bootstrap=here.address(), network__mdns="false")
    with streaming(here, "/v1/events") as response:
        visitor.start()
        for kind in ("connected", "lost"):
            for _, event in islice(iter(lambda: events(response, 1)[0], None), 1000):
                if event["event"] == kind and event["peer"] == visitor.id:
                    break
            else:
                pytest.fail(f"not {kind}")
            visitor.kill()


def test_readers_that_never_read_delay_nobody(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(gossip__interval="0.1", network__mdns="false")
    daemon.start()
    daemon.wait_until(lambda status: status["steps"] > 0, "it learns")
    with ExitStack() as stack:
        for _ in range(watch.STREAMS):
            one = stack.enter_context(connect(daemon))
            one.sendall(b"GET /v1/events?last=1000 HTTP/1.1\r\nHost: x\r\n\r\n")

        def refused() -> str:
            try:
                next(client.follow(daemon.home, "/v1/events?last=1"))
            except client.Refused as error:
                return f"{error} {error.exit_status}"
            return ""

        told = wait_for(refused, "no more than so many")
        assert "streams are open" in told
        assert told.endswith(str(Exit.TRY_AGAIN))
        before = daemon.status()
        daemon.wait_until(lambda status: status["steps"] > before["steps"] + 100, "it goes on")
        begun = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - begun < WRITE_TIMEOUT, "who doesn't read doesn't hold up the end"
    assert "Traceback" not in daemon.log()


def test_streams_that_were_closed_make_room_for_others(pair: tuple[Daemon, Daemon]) -> None:
    here, _ = pair

    def opens() -> bool:
        with streaming(here, "/v1/events?last=1") as response:
            return response.status == 200 and bool(events(response, 1))

    for _ in range(3 * watch.STREAMS):
        wait_for(opens, "a stream")


def test_more_connections_than_there_is_room_for_are_closed_and_the_rest_served(pair: tuple[Daemon, Daemon]) -> None:
    here, _ = pair
    with ExitStack() as stack:
        many = []
        for _ in range(CONNECTIONS + 30):
            many.append(stack.enter_context(connect(here)))
            time.sleep(0.002)  # the kernel's queue is short
        assert sum(_is_closed(one) for one in many) >= 20
    wait_for(here.status, "it answers")


def _is_closed(one: socket.socket) -> bool:
    one.settimeout(0.05)
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_logs_are_the_last_lines_as_they_were_written(pair: tuple[Daemon, Daemon]) -> None:
    here, _ = pair
    written = [json.loads(line) for line in here.log().splitlines()]
    assert client.get(here.home, "/v1/logs?last=1000")[: len(written)] == written
    assert client.get(here.home, "/v1/logs?last=2") == client.get(here.home, "/v1/logs?last=1000")[-2:]
    assert client.get(here.home, "/v1/logs?last=0") == []


@pytest.mark.parametrize("query", ["last=-1", "last=1001", "last=x", "follow=perhaps", "lats=3"])
def test_what_can_t_be_asked_for_is_refused(pair: tuple[Daemon, Daemon], query: str) -> None:
    with pytest.raises(client.Refused, match=r"last|follow|lats"):
        client.get(pair[0].home, f"/v1/logs?{query}")


def test_the_commands_tell_it_to_people_and_to_programs(
    pair: tuple[Daemon, Daemon], capsys: pytest.CaptureFixture[str]
) -> None:
    here, _ = pair
    assert watching.logs(["--home", str(here.home.path), "-n", "1000"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert any("info  listening  id=" in line for line in lines)
    assert watching.logs(["--home", str(here.home.path), "-n", "1000", "--json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out.splitlines()[0])["event"] == "listening"


@pytest.mark.parametrize("arguments", [["events", "-n", "3"], ["logs", "-f", "--json"]])
def test_following_goes_on_until_the_daemon_ends(make_daemon: Callable[..., Daemon], arguments: list[str]) -> None:
    daemon = make_daemon(gossip__interval="0.2", network__mdns="false")
    daemon.start()
    daemon.wait_until(lambda status: status["steps"] > 0, "it learns")
    reader = subprocess.Popen(
        [sys.executable, "-m", "gossipfl", *arguments, "--home", str(daemon.home.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline(), "what was before"
        assert daemon.stop() == 0
        out, err = reader.communicate(timeout=GENEROUS)
        assert (reader.returncode, err) == (Exit.OK, "")
        assert "stopping" in out
    finally:
        end([reader])


def test_without_a_daemon_both_say_how_to_start_one(pair: tuple[Daemon, Daemon]) -> None:
    for command in ("events", "logs"):
        shown = gossipfl(command, "--home", pair[0].home.path.parent / "nobody")
        assert shown.returncode == Exit.NOT_RUNNING
        assert "gossipfl run" in shown.stderr
