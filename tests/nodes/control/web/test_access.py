"""The control API over TCP: for who has the token and knows where it is, and nobody else."""

from __future__ import annotations

import http.client
import json
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gossipfl.cli import Exit
from gossipfl_nodes.control.api import READABLE
from gossipfl_nodes.daemon.config import loopback
from gossipfl_nodes.page.files import FILES, PATHS, TYPES
from tests.nodes.support import Daemon, gossipfl, wait_for


def started(daemon: Daemon) -> int:
    """The port that it answers on."""
    before = len(daemon.events("control API"))
    daemon.start()
    (line,) = wait_for(lambda: daemon.events("control API")[before:], "it listens")
    return int(line["address"].rpartition(":")[2])


def ask(port: int, path: str = "/v1/status", method: str = "GET", **headers: str) -> tuple[int, Any]:
    status, _, body = raw(port, path, method, **headers)
    return status, json.loads(body or "null")


def raw(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case, and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, b"" if path == "/v1/events" else response.read()
    finally:
        connection.close()


def test_who_brings_the_token_to_this_host_is_answered_and_nobody_else(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(control__listen="127.0.0.1:0", network__mdns="false")
    port = started(daemon)
    token = daemon.home.token.read_text().strip()
    assert stat.S_IMODE(daemon.home.token.stat().st_mode) == 0o600
    bearer = f"Bearer {token}"
    status, found = ask(port, Authorization=bearer)
    assert (status, found["id"]) == (200, daemon.id)
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", f"LOCALHOST:{port}", f"127.1.2.3:{port}"):
        assert ask(port, Host=host, Authorization=bearer)[0] == 200
    for host in (
        "localhost",
        f"evil.example:{port}",
        f"127.0.0.1.evil.example:{port}",
        f"192.0.2.1:{port}",
        "",
        "x" * 999,
    ):
        assert ask(port, Host=host, Authorization=bearer)[0] == 421
    for given in ("", bearer[:-1], f"{bearer}x", token, f"Basic {token}", bearer.replace("Bearer", "bearer "), "é"):
        status, problem = ask(port, Authorization=given)
        assert (status, problem["title"]) == (401, "Unauthorized")
        assert token not in json.dumps(problem)
    for method in ("POST", "OPTIONS"):
        assert ask(port, "/v1/stop", method)[0] == 401
    assert token not in daemon.log()
    assert daemon.status()["id"] == daemon.id, "the unix socket needs none"
    assert daemon.stop() == 0

    assert started(daemon)
    assert daemon.home.token.read_text().strip() == token, "it is kept"
    assert daemon.stop() == 0


FOREIGN = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "empty"}
CLOSED = ("/v1/model", "/v1/logs", "/v1/topology", "/v1/log-level", "/v1/openapi.json", "/v1/nothing")


def test_the_page_itself_is_for_all_and_tells_browsers_that_it_is_alone(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(control__listen="127.0.0.1:0", network__mdns="false")
    port = started(daemon)
    for path in PATHS:
        status, headers, body = raw(port, path)
        assert (status, body) == (200, FILES[path].read_bytes())
        assert headers["content-type"].startswith(TYPES[FILES[path].suffix])
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert raw(port, path, Host=f"evil.example:{port}")[0] == 421
        assert raw(port, path, **FOREIGN)[0] == 401
        assert raw(port, path, "POST")[0] == 401
    assert raw(port, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document")[0] == 200, "a link was followed"
    for path in (*READABLE, *CLOSED, "/page/../v1/status", "/show/", "/show/../api.py", "//"):
        assert raw(port, path)[0] == 401
        assert "content-security-policy" in raw(port, path)[1]
    printed = gossipfl("page", "--home", daemon.home.path)
    assert printed.stdout == f"http://127.0.0.1:{port}/#{daemon.home.token.read_text()}"


def test_what_may_be_read_without_a_token_is_what_was_said_and_no_more(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(control__listen="127.0.0.1:0", control__readable="true", network__mdns="false")
    port = started(daemon)
    for path in READABLE:
        assert raw(port, path)[0] == 200
        assert raw(port, path, "HEAD")[0] == 200
        assert raw(port, path, Sec_Fetch_Site="same-origin")[0] == 200
        for site in ("cross-site", "same-site", "same-origin, cross-site", ""):
            assert raw(port, path, Sec_Fetch_Site=site)[0] == 401, "another page asks, or who says nothing sensible"
        assert raw(port, path, Host=f"evil.example:{port}")[0] == 421
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert raw(port, path, method)[0] == 401
    for path in CLOSED:
        assert raw(port, path)[0] == 401
    for path in ("/v1/pause", "/v1/publish", "/v1/stop", "/v1/predict", "/v1/invite"):
        assert raw(port, path, "POST")[0] == 401
    assert raw(port, "/v1/topology", "PUT")[0] == 401


def test_without_a_port_the_page_s_address_is_not_told(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(network__mdns="false")
    daemon.start()
    daemon.wait_until(lambda status: status, "it answers")
    refused = gossipfl("page", "--home", daemon.home.path)
    assert refused.returncode == Exit.FAILED
    for part in (str(daemon.home.config), "control.listen", "127.0.0.1:9445"):
        assert part in refused.stderr


def test_without_a_port_nothing_listens_and_there_is_no_token(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(network__mdns="false")
    daemon.start()
    daemon.wait_until(lambda status: status, "it answers")
    assert not daemon.home.token.exists()
    assert not daemon.events("control API")


def test_a_flood_of_connections_without_a_token_leaves_the_socket_usable(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(control__listen="127.0.0.1:0", network__mdns="false")
    port = started(daemon)
    many = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(200)]
    try:
        assert daemon.status()["id"] == daemon.id
        for one in many[:50]:
            one.sendall(b"GET /v1/status HTTP/1.1\r\nHost: localhost:1\r\n\r\n")
        assert daemon.status()["id"] == daemon.id
    finally:
        for one in many:
            one.close()
    assert daemon.stop() == 0


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0:9445", "192.0.2.7:9445", "[::]:9445", "localhost:9445", "9445", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
     "127.0.0.1:65536", "127.0.0.1:-1", "[127.0.0.1]:1", "::1:9445", "127.0.0.1:9445/", "127.0.0.1:１"],
)  # fmt: skip
def test_only_loopback_addresses_can_be_configured(home: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        loopback(text)
    if text in ("0.0.0.0:9445", "localhost:9445"):
        refused = gossipfl("init", "--home", home / "device", "--control.listen", text)
        assert refused.returncode == Exit.BAD_CONFIG
        assert f"control.listen = '{text}'" in refused.stderr
        assert "127.0.0.1:9445" in refused.stderr


@pytest.mark.parametrize(("text", "found"), [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:65535", ("::1", 65535))])
def test_loopback_addresses_can(text: str, found: tuple[str, int]) -> None:
    assert loopback(text) == found


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [("x" * 40, 0o644, "lets others read it; remove it"), ("short", 0o600, "not a token"), ("", 0o600, "not a token")],
)
def test_a_token_that_is_none_or_is_known_to_others_is_refused(
    home: Path, content: str, mode: int, reason: str
) -> None:
    daemon = Daemon(home, control__listen="127.0.0.1:0")
    daemon.home.token.write_text(content)
    daemon.home.token.chmod(mode)
    refused = gossipfl("run", "--home", home)
    assert refused.returncode == Exit.FAILED
    assert reason in refused.stderr.splitlines()[-1]
    assert str(daemon.home.token) in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_taken_port_is_named(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        text = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = gossipfl("run", "--home", Daemon(home, control__listen=text).home.path)
    assert refused.returncode == Exit.FAILED
    assert f"control.listen = '{text}'" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
