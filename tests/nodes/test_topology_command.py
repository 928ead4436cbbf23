"""`gossipfl topology` as people and scripts meet it: tables, drawings, refusals, and a daemon that is rewired."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gossipfl.cli import Exit
from gossipfl_topology import GRAPHS, SCHEDULES
from gossipfl_topology.files import maps
from gossipfl_topology.live import LIVE, named
from tests.nodes.support import Daemon, gossipfl

KEYS = {
    "nodes", "edges", "connected", "degree_min", "degree_mean", "degree_max", "spectral_gap", "diameter",
    "schedule_length",
}  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n"
TRIANGLE = "a b\nb c\nc a\n"


def one_line(text: str) -> str:
    """`text`, which must be a single line and no traceback."""
    assert "Traceback" not in text, text
    (line,) = text.strip().splitlines()
    return line


def found(*arguments: str | Path) -> Any:
    """The JSON that a command prints when all is well and nothing needs to be said."""
    shown = gossipfl("topology", *arguments, "--json")
    assert (shown.returncode, shown.stderr) == (Exit.OK, "")
    return json.loads(shown.stdout)


def refused(*arguments: str | Path) -> str:
    """The one line that tells why a command failed; it printed nothing else."""
    shown = gossipfl("topology", *arguments)
    assert shown.returncode not in (Exit.OK, Exit.USAGE), shown.stdout
    assert shown.stdout == ""
    return one_line(shown.stderr)


class Page(HTMLParser):
    """What a page would load, which elements it has, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action", "poster") and not (value or "").startswith("#"):
                self.loads.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.text += data


def offline(file: Path) -> Page:
    """A page with a drawing that loads nothing from anywhere."""
    text = file.read_text()
    page = Page(text)
    assert {"svg", "table", "h1", "figure"} <= page.tags
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "image"}
    assert page.loads == []
    assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", text)
    return page


# --- list


def test_the_list_names_every_topology_and_map() -> None:
    listed = found("list")
    names = {kind: [row["name"] for row in rows] for kind, rows in listed.items()}
    assert names == {"live": list(LIVE), "graphs": list(GRAPHS), "schedules": list(SCHEDULES), "maps": list(maps())}
    rows = {(kind, row["name"]): row for kind, rows in listed.items() for row in rows}
    assert rows["live", "k-out"]["parameters"] == {"k": 3}
    assert rows["graphs", "watts-strogatz"]["parameters"] == {"k": 4, "p": 0.1}
    assert rows["schedules", "base"]["parameters"] == {"k": 1}
    assert rows["maps", "village"]["about"] == "12 nodes, 26 edges"
    assert all(len(row["about"]) > 5 for row in rows.values())
    assert not [row for row in rows.values() if {"rng", "rounds", "n"} & set(row["parameters"])]


def test_the_list_is_readable_and_has_the_same_names_in_it() -> None:
    shown = gossipfl("topology", "list")
    assert (shown.returncode, shown.stderr) == (Exit.OK, "")
    sections = dict(re.findall(r"(?ms)^([a-z]+): [^\n]+\n(.*?)\n\n", shown.stdout))
    listed = {kind: re.findall(r"(?m)^  ([a-z-]+)", text) for kind, text in sections.items()}
    assert listed == {"live": list(LIVE), "graphs": list(GRAPHS), "schedules": list(SCHEDULES), "maps": list(maps())}
    assert "  regular:k=4 " in shown.stdout


# --- show


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        (["hypercube", "--nodes", "8"], {"nodes": 8, "edges": 12, "diameter": 3, "spectral_gap": 0.5}),
        (["ring"], {"nodes": 25, "edges": 25, "degree_mean": 2, "diameter": 12, "schedule_length": 1}),
        (["base:k=1", "--nodes", "25"], {"schedule_length": 9, "messages": 7.84, "spectral_gap": 1}),
        (["k-out:k=2", "--nodes", "9"], {"degree_min": 2, "degree_max": 2, "schedule_length": None, "diameter": None}),
        (["erdos-renyi:p=0", "--nodes", "4"], {"connected": False, "diameter": None, "spectral_gap": 0, "edges": 0}),
        (["star", "--nodes", "1"], {"nodes": 1, "edges": 0, "connected": True}),
        (["two-towns"], {"nodes": 20, "edges": 61, "cut_edges": 1, "connected": True}),
    ],
)
def test_a_topology_is_shown_with_its_figures(arguments: list[str], known: dict[str, Any]) -> None:
    shown = found("show", *arguments)
    assert set(shown) >= KEYS
    assert shown["name"] == arguments[0]
    assert {key: shown[key] for key in known} == pytest.approx(known, abs=1e-9)


def test_the_same_figures_are_shown_to_people_one_to_a_line() -> None:
    shown = gossipfl("topology", "show", "hypercube", "--nodes", "8")
    assert (shown.returncode, shown.stderr) == (Exit.OK, "")
    lines = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines())
    assert set(lines) == set(found("show", "hypercube", "--nodes", "8"))
    assert (lines["edges"], lines["spectral_gap"], lines["connected"], lines["directed"]) == ("12", "0.5", "yes", "no")
    assert "–" in gossipfl("topology", "show", "erdos-renyi:p=0", "--nodes", "4").stdout, "for what there is not"


def test_a_random_graph_is_the_same_for_the_same_seed() -> None:
    one, same, other = (found("show", "watts-strogatz:p=0.5", "--seed", seed) for seed in ("1", "1", "2"))
    assert one == same != other


@pytest.mark.parametrize("name", ["hierarchical", "one-peer-exponential", "matching", "city-district"])
def test_a_topology_is_drawn_into_a_picture_and_a_page_that_works_offline(tmp_path: Path, name: str) -> None:
    shown = gossipfl("topology", "show", name, "--png", tmp_path / "a.png", "--html", tmp_path / "a.html", "--json")
    assert (shown.returncode, shown.stderr) == (Exit.OK, "")
    assert (tmp_path / "a.png").read_bytes()[:8] == PNG
    page = offline(tmp_path / "a.html")
    assert name in page.text
    assert "spectral gap" in page.text
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.html", "a.png"]


def test_a_drawing_that_can_t_be_written_is_said_so(tmp_path: Path) -> None:
    assert str(tmp_path / "no" / "a.png") in refused("show", "ring", "--png", tmp_path / "no" / "a.png")
    assert str(tmp_path) in refused("show", "ring", "--html", tmp_path)


def test_a_graph_too_big_to_draw_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    line = refused("show", "star", "--nodes", "2001", "--png", tmp_path / "a.png")
    assert "too many to draw; at most 2000" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "rnig"], ["'rnig'", "did you mean ring?", "torus"]),
        (["show", "vilage"], ["'vilage'", "did you mean village?"]),
        (["show", "regular:j=4"], ["'j'", "k"]),
        (["show", "regular:k=four"], ["'four'", "a whole number"]),
        (["show", "ring:k=2"], ["takes no parameters"]),
        (["show", "regular:k=4", "--nodes", "4"], ["k = 4", "n = 4", "3"]),
        (["show", "hypercube", "--nodes", "9"], ["n = 9", "8 or 16"]),
        (["show", "k-out:k=1", "--nodes", "1"], ["n = 1", "2 to 10000"]),
        (["show", "dumbbell", "--nodes", "2"], ["n = 2", "4"]),
        (["compare", "ring", "starr"], ["'starr'", "did you mean star?"]),
        (["compare", "ring", "hypercube", "--nodes", "6"], ["n = 6", "4 or 8"]),
    ],
)
def test_what_is_no_topology_is_refused_with_what_would_be_one(arguments: list[str], said: list[str]) -> None:
    line = refused(*arguments)
    assert all(part in line for part in said), line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "ACTION"),
        (["lst"], "lst"),
        (["show"], "NAME"),
        (["show", "ring", "--nodes", "many"], "--nodes"),
        (["show", "ring", "--nodes", "0"], "--nodes 0: allowed is 1 to 1000000"),
        (["show", "ring", "--nodes", "-3"], "--nodes -3: allowed is 1 to 1000000"),
        (["show", "ring", "--seed", "-1"], "--seed -1: allowed is 0 or more"),
        (["compare", "ring", "--runs", "0"], "--runs 0: allowed is 1 or more"),
        (["compare", "ring", "--nodes", "0"], "--nodes 0: allowed is 1 to 1000000"),
        (["set"], "NAME"),
    ],
)
def test_an_impossible_argument_is_a_usage_error_that_names_it(arguments: list[str], said: str) -> None:
    shown = gossipfl("topology", *arguments)
    assert (shown.returncode, shown.stdout) == (Exit.USAGE, "")
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr


# --- measure


def test_a_user_s_file_is_measured_and_what_was_mended_is_said_on_stderr(tmp_path: Path) -> None:
    file = tmp_path / "mine.edges"
    file.write_text(TRIANGLE + "c c\nd\n")
    shown = gossipfl("topology", "measure", file, "--json")
    assert shown.returncode == Exit.OK
    measured = json.loads(shown.stdout)
    assert set(measured) >= KEYS
    assert (measured["name"], measured["nodes"], measured["edges"], measured["connected"]) == (
        "mine.edges",
        4,
        3,
        False,
    )
    loop, isolated = shown.stderr.splitlines()
    assert all(str(file) in line for line in (loop, isolated))
    assert "1 self-loop left out, at node c" in loop
    assert "1 isolated node kept, node d" in isolated


def test_a_file_as_it_should_be_needs_no_words_and_is_drawn(tmp_path: Path) -> None:
    file = tmp_path / "net.csv"
    file.write_text(",a,b,c\na,0,1,0\nb,1,0,1\nc,0,1,0\n")
    shown = gossipfl("topology", "measure", file, "--png", tmp_path / "a.png", "--html", tmp_path / "a.html")
    assert (shown.returncode, shown.stderr) == (Exit.OK, "")
    assert re.search(r"(?m)^cut_edges +2$", shown.stdout)
    assert (tmp_path / "a.png").read_bytes()[:8] == PNG
    assert "net.csv" in offline(tmp_path / "a.html").text
    assert found("show", file)["edges"] == 2, "show takes files as well"


def test_a_directed_file_has_no_gap_but_degrees_and_a_drawing(tmp_path: Path) -> None:
    file = tmp_path / "up.json"
    nodes = [{"id": "s", "role": "sensor", "x": 0, "y": 0}, {"id": "g", "role": "gateway", "x": 9, "y": 5}]
    file.write_text(json.dumps({"directed": True, "nodes": nodes, "edges": [{"source": "s", "target": "g"}]}))
    measured = found("measure", file, "--png", tmp_path / "a.png")
    assert (measured["directed"], measured["spectral_gap"], measured["degree_max"]) == (True, None, 1)
    assert (tmp_path / "a.png").read_bytes()[:8] == PNG


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"0,1\n1,x\n", "line 2, column 2"),
        ("a.csv", b"0,1,0\n1,0\n", "2 rows of 3 columns"),
        ("a.json", b'{"nodes": 3}', '"nodes" and "edges"'),
        ("a.json", b"{", "allowed is JSON"),
        ("a.graphml", b"<graphml", "allowed is XML"),
        ("a.edges", b"", "empty"),
        ("a.edges", b"a b c d\n", "line 1"),
        ("a.edges", b"\xff\xfe\x00a", "allowed is text in UTF-8"),
        ("a.png", b"a b\n", "suffix '.png'"),
        ("missing.csv", None, "no such file"),
    ],
)
def test_a_broken_file_is_refused_with_its_name_the_place_and_what_is_allowed(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    line = refused("measure", tmp_path / name)
    assert str(tmp_path / name) in line
    assert said in line


def test_a_file_may_have_any_name_and_its_nodes_as_well(tmp_path: Path) -> None:
    """A drawing takes no text for a formula."""
    file = tmp_path / "5$ a_$^.edges"
    file.write_text("$x_$ $\\frac$\n")
    shown = gossipfl("topology", "measure", file, "--png", tmp_path / "a.png", "--html", tmp_path / "a.html")
    assert (shown.returncode, shown.stderr) == (Exit.OK, "")
    assert file.name in offline(tmp_path / "a.html").text


# --- compare


def test_topologies_are_compared_with_all_there_and_with_some_absent(tmp_path: Path) -> None:
    (tmp_path / "mine.edges").write_text(TRIANGLE)
    arguments: list[str | Path] = [
        "ring",
        "base:k=1",
        "k-out:k=1",
        "two-towns",
        tmp_path / "mine.edges",
        "erdos-renyi:p=0",
    ]
    shown = gossipfl("topology", "compare", *arguments, "--nodes", "9", "--runs", "2", "--seed", "3", "--json")
    assert shown.returncode == Exit.OK
    assert shown.stderr.count("measured ") == 6
    result = json.loads(shown.stdout)
    assert (result["seed"], result["runs"]) == (3, 2)
    rows = {row["name"]: row for row in result["topologies"]}
    assert list(rows) == ["ring", "base:k=1", "k-out:k=1", "two-towns", "mine.edges", "erdos-renyi:p=0"]
    assert [row["summary"]["nodes"] for row in rows.values()] == [9, 9, 9, 20, 3, 9]
    assert all([cost["absent"] for cost in row["costs"]] == [0.0, 0.1, 0.3] for row in rows.values())
    assert rows["ring"]["costs"][0]["messages"] == 2 * rows["ring"]["costs"][0]["rounds"]
    assert rows["base:k=1"]["costs"][0]["rounds"] <= rows["base:k=1"]["summary"]["schedule_length"]
    assert {cost["rounds"] for cost in rows["erdos-renyi:p=0"]["costs"]} == {None}


def test_the_same_seed_compares_alike_and_people_get_a_table_a_picture_and_a_page(tmp_path: Path) -> None:
    files: list[str | Path] = ["--png", tmp_path / "a.png", "--html", tmp_path / "a.html"]
    shown = gossipfl("topology", "compare", "matching", "star", "--nodes", "6", "--runs", "3", *files)
    again = gossipfl("topology", "compare", "matching", "star", "--nodes", "6", "--runs", "3")
    assert (shown.returncode, again.returncode) == (Exit.OK, Exit.OK)
    assert shown.stdout == again.stdout
    assert [line.split()[:2] for line in shown.stdout.splitlines()[1:]] == [["matching", "6"], ["star", "6"]]
    assert "Means of 3 runs, seed 0" in shown.stderr
    assert (tmp_path / "a.png").read_bytes()[:8] == PNG
    page = offline(tmp_path / "a.html")
    assert all(name in page.text for name in ("matching", "star", "messages at 30%"))


def test_a_wrong_name_is_found_before_the_work_begins() -> None:
    assert "did you mean ring?" in refused("compare", "ring", "star", "rnig", "--nodes", "500", "--runs", "1000")


# --- set


def test_a_running_daemon_is_rewired_and_refuses_what_it_can_t_be(
    tmp_path: Path, make_daemon: Callable[..., Daemon]
) -> None:
    daemon = make_daemon(gossip__topology="k-out:k=2", gossip__interval="0.2")
    daemon.start()
    started = daemon.wait_until(lambda status: status["state"] == "learning", "it learns")
    assert started["topology"] == "k-out:k=2"
    home: list[str | Path] = ["--home", daemon.home.path]

    shown = gossipfl("topology", "set", "regular:k=6", *home)
    assert (shown.returncode, shown.stdout) == (Exit.OK, "regular:k=6\n")
    assert "until the daemon is restarted" in one_line(shown.stderr)
    daemon.wait_until(lambda status: status["topology"] == "regular:k=6", "the new topology")
    assert found("set", "regular", *home) == {"topology": "regular:k=4"}
    daemon.wait_until(lambda status: status["topology"] == "regular:k=4", "the new topology")

    (tmp_path / "with.edges").write_text(f"{daemon.id} other\nother third\n")
    (tmp_path / "without.edges").write_text(TRIANGLE)
    (tmp_path / "broken.csv").write_text("0,1\n1,x\n")
    for wrong, said in (
        ("rnig", ["did you mean ring?", "k-out", "hierarchical"]),
        ("star", ["'star'", "k-out", "hierarchical"]),
        ("k-out:k=99", ["k = 99", "1 to 32"]),
        ("regular:k=3", ["k = 3", "even"]),
        ("ring:k=2", ["takes no parameters"]),
        ("", ["k-out", "ring"]),
        (tmp_path / "without.edges", ["without.edges", daemon.id]),
        (tmp_path / "broken.csv", ["broken.csv", "line 2, column 2"]),
        (tmp_path / "missing.json", ["missing.json", "no such file"]),
    ):
        line = refused("set", wrong, *home)
        assert all(part in line for part in said), line
        assert daemon.wait_until(bool, "an answer")["topology"] == "regular:k=4", wrong

    file = tmp_path / "with.edges"
    assert found("set", file, *home) == {"topology": str(file)}
    daemon.wait_until(lambda status: status["topology"] == str(file), "the graph of the file")
    steps = daemon.wait_until(bool, "an answer")["steps"]
    daemon.wait_until(lambda status: status["steps"] > steps, "it learns on")
    assert "Traceback" not in daemon.log()

    assert daemon.stop() == Exit.OK
    daemon.start()
    restarted = daemon.wait_until(lambda status: status["state"] == "learning", "it learns again")
    assert restarted["topology"] == "k-out:k=2", "what was set lasts until a restart"


def test_without_a_daemon_there_is_nothing_to_set(home: Path) -> None:
    shown = gossipfl("topology", "set", "ring", "--home", home)
    assert (shown.returncode, shown.stdout) == (Exit.NOT_RUNNING, "")
    assert "gossipfl run" in one_line(shown.stderr)
    assert str(home) in shown.stderr


def test_a_graph_file_is_found_by_a_daemon_that_runs_elsewhere(
    tmp_path: Path, make_daemon: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = make_daemon()
    daemon.start()
    daemon.wait_until(lambda status: bool(status["addresses"]), "it runs")
    (tmp_path / "mine.edges").write_text(f"{daemon.id} other\n")
    monkeypatch.chdir(tmp_path)
    assert found("set", "mine.edges", "--home", daemon.home.path) == {"topology": str(tmp_path / "mine.edges")}


def test_every_live_topology_that_is_listed_can_be_set(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    daemon.start()
    daemon.wait_until(lambda status: bool(status["addresses"]), "it runs")
    for name in LIVE:
        assert found("set", name, "--home", daemon.home.path) == {"topology": named(name).name}
