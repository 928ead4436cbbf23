"""Reports and comparisons: whole pages that load nothing, hide nothing, and take whatever a result says as text."""

from __future__ import annotations

import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from matplotlib.colors import to_hex
from msgspec import structs

from gossipfl.errors import LocalError
from gossipfl_sims.checks.safety import Violation
from gossipfl_sims.report import comparison, curves, mesh, report
from gossipfl_sims.result import NodeResult, Result
from gossipfl_sims.run import Run
from gossipfl_sims.scenario.files import load
from gossipfl_sims.series import Graph, Sample

EVIL = "<script>alert(1)</script>\"'&amp; $\\frac{ \x00 </svg></style> 漢"


class Page(HTMLParser):
    """A page whose elements are closed in order; what it would load, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open, self.tags, self.ids = self.loads[:], self.loads[:], self.loads[:]
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [
            f"{tag} {name}={value}"
            for name, value in attrs
            if (name in ("src", "href", "xlink:href", "data", "action", "poster") and not (value or "").startswith("#"))
            or re.search(r"url\((?!#)|^javascript:", value or "")
            or name.startswith("on")
        ]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def checked(file: Path) -> Page:
    """A page that is well-formed and works offline."""
    text = file.read_text()
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "embed", "image"} & set(page.tags)
    assert page.loads == []
    assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", text)
    assert set(re.findall(r"https?://[^\"<]*", text)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert len(page.ids) == len(set(page.ids))
    assert {"h1", "svg", "figcaption", "table", "pre"} <= set(page.tags)
    return page


@cache
def made(name: str, *changes: str) -> Result:
    return Run(load(name, changes), 1, name=name).finish()


def learnt() -> Result:
    """Three nodes that learn digits for ten seconds."""
    changes = ["nodes=3", "bootstraps=1", "time.faulty=8", "time.healed=2", "time.sample=1"]
    return made("calm", *changes, "expect.mean_accuracy=0", "expect.worst_accuracy=0")


def studied() -> Result:
    """Four nodes that minimise a quadratic, which has no accuracy, in chaos."""
    return made(
        "chaos", "nodes=4", "bootstraps=2", "time.faulty=10", "time.healed=10", "time.sample=2", "expect.error=9",
    )  # fmt: skip


def write(path: Path, result: Result) -> Page:
    report.write(path / "report.html", result.as_dict())
    return checked(path / "report.html")


# --- what a report shows


def test_all_of_a_result_is_in_its_report(tmp_path: Path) -> None:
    result = structs.replace(
        studied(), pooled={"error": 0.5, "rmse_15min": 5.4321}, failures={"it fell over": 4}, refusals={"too old": 91},
        joins={"rebase": 123}, faults_by_kind={"lost frame": 4567},
    )  # fmt: skip
    page = write(tmp_path, result)
    shown = [
        result.scenario, result.about, f"seed {result.seed}", result.task, result.topology, result.trace_hash,
        result.replay, f"{result.events:,}", f"{result.faults:,}", f"{result.error:.4g}", f"{result.disagreement:.4g}",
        f"{result.merges_per_node:.4g}", "20", "Passed", "rmse 15min", "5.432", "sent per node",
        "mean error", "disagreement", "nodes up", "parts", "virtual seconds", "staleness in gossip intervals",
        *(kind for _, _, kind in result.shaded), *(f"{graph.time:g} s: " for graph in result.graphs),
    ]  # fmt: skip
    assert [text for text in shown if text not in page.text] == []
    for row in (["lost frame", "4,567"], ["rebase", "123"], ["too old", "91"], ["it fell over", "4"]):
        assert row in page.rows
    rows = {row[0]: row for row in page.rows}
    for node in result.each:
        assert rows[node.id][1:6:2] == ["yes" if node.up else "no", str(node.links), rows[node.id][5]]
        assert rows[node.id][4] == f"{node.merges:,}"
    for count in result.staleness.values():
        assert f"{count:,}" in page.text


def test_a_task_with_accuracy_shows_mean_worst_and_best(tmp_path: Path) -> None:
    result = learnt()
    page = write(tmp_path, result)
    assert "mean error" not in page.text
    for name, value in (("mean accuracy", result.mean_accuracy), ("worst node", result.worst_accuracy)):
        assert f"{name}{value:.3f}" in page.text
    (accuracies, *_) = curves.over_time(result).axes
    columns = [result.series[f"{which}_accuracy"] for which in ("best", "mean", "worst")]
    assert [np.asarray(line.get_ydata()).tolist() for line in accuracies.get_lines()] == columns


def test_a_broken_rule_is_told_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    found = [
        Violation(12.34567, f"n{number:03}", "Received", "models are finite", "|x| = inf") for number in range(100)
    ]
    page = write(
        tmp_path, structs.replace(studied(), violations=found, broken=217, unmet=["error is 3; expected less"])
    )
    assert "Failed: 217 broken rules, 1 unmet expectations." in page.text
    assert "the first 100 of 217" in page.text
    assert "error is 3; expected less" in page.text
    assert ["models are finite", "12.3457", "n042", "Received", "|x| = inf"] in page.rows
    assert "Passed" not in page.text


def test_nodes_are_sorted_worst_first_and_many_are_cut_with_a_word(tmp_path: Path) -> None:
    accuracies = np.random.default_rng(0).permutation(200) / 250
    each = [NodeResult(f"n{i:03}", True, float(value), {}, 3, 7, 100, 1, 5.0) for i, value in enumerate(accuracies)]
    each[17] = structs.replace(each[17], up=False, accuracy=None)
    whole = structs.replace(learnt(), each=each, graphs=[])
    rows = [row for row in write(tmp_path, whole).rows if re.fullmatch(r"n\d{3}", row[0])]
    assert len(rows) == 200
    assert rows[0][0] == "n017"
    assert [row[2] for row in rows[1:]] == sorted(row[2] for row in rows[1:])
    page = write(tmp_path, structs.replace(whole, each=[*each, each[0]]))
    assert "These are the worst 100 of 201 nodes." in page.text
    assert [row for row in page.rows if re.fullmatch(r"n\d{3}", row[0])] == rows[:100]


# --- runs of every kind


@pytest.mark.parametrize("dropped", ["none", "values", "samples", "rest"])
def test_what_there_is_not_is_left_out(tmp_path: Path, dropped: str) -> None:
    result = learnt()
    if dropped == "values":
        unknown = dict.fromkeys(
            ("mean_accuracy", "worst_accuracy", "best_accuracy"), [None] * len(result.series["time"])
        )
        result = structs.replace(result, series={**result.series, **unknown}, mean_accuracy=None)
    if dropped == "samples":
        result = structs.replace(result, series={field: [] for field in Sample.__struct_fields__})
    if dropped == "rest":
        nothing: dict[str, Any] = {"staleness": {}, "joins": {}, "refusals": {}, "faults_by_kind": {}, "shaded": []}
        result = structs.replace(result, **nothing, graphs=[], each=[], about="", scenario="")
    page = write(tmp_path, result)
    assert ("worst node" in page.text) == (dropped != "values")
    assert ("The mesh" in page.text) == (dropped != "rest")
    comparison.write(tmp_path / "compared.html", [result.as_dict(), studied().as_dict()], ["one", "other"])
    checked(tmp_path / "compared.html")


@pytest.mark.parametrize("task", ["consensus", "quadratic"])
def test_a_mesh_of_one_node(tmp_path: Path, task: str) -> None:
    changes = ["nodes=1", "bootstraps=1", "time.faulty=2", "time.healed=2", "time.sample=1"]
    assert "one part of 1" in write(tmp_path, made("calm", *changes, f"task.name={task}")).text


def test_infinite_values_leave_a_gap(tmp_path: Path) -> None:
    result = studied()
    times = len(result.series["time"])
    odd = [float("inf"), float("nan"), 1e300, *[None] * (times - 3)]
    write(tmp_path, structs.replace(result, series={**result.series, "error": odd, "disagreement": odd}))


def test_forty_eight_nodes_and_hundreds_of_faults_make_a_small_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    begins = rng.uniform(0, 3000, 600)
    kinds = list(curves.COLOURS)
    edges = [(one, other) for one in range(48) for other in range(one)]
    steps = [float(value) for value in range(3600)]
    result = structs.replace(
        learnt(), nodes=48, virtual_seconds=3600.0, each=learnt().each * 16,
        shaded=[(float(at), float(at + rng.exponential(5)), kinds[i % len(kinds)]) for i, at in enumerate(begins)],
        graphs=[Graph(float(i), edges, [0] * 48) for i in range(12)],
        series={field: rng.uniform(0.1, 0.9, 3600).tolist() for field in Sample.__struct_fields__} | {"time": steps},
    )  # fmt: skip
    page = write(tmp_path, result)
    assert (tmp_path / "report.html").stat().st_size < 1_500_000
    assert f"{mesh.MOST} of 12 moments are shown" in page.text
    assert "the darker the more kinds" in page.text


def test_the_same_result_makes_the_same_file(tmp_path: Path) -> None:
    write(tmp_path, studied())
    before = (tmp_path / "report.html").read_bytes()
    write(tmp_path, studied())
    assert (tmp_path / "report.html").read_bytes() == before


# --- drawings


def test_faults_of_a_kind_are_one_row_merged_where_they_touch() -> None:
    shaded = [(0.0, 10.0, "lie"), (5.0, 20.0, "lie"), (50.0, 50.0, "bounce"), (40.0, 60.0, "lie"), (20.1, 21.0, "lie")]
    found = curves.spans(structs.replace(learnt(), virtual_seconds=100.0, shaded=shaded))
    assert found == {"lie": [(0.0, 21.0), (40.0, 60.0)], "bounce": [(50.0, 50.4)]}


@pytest.mark.parametrize("kinds", [1, curves.FEW, curves.FEW + 1])
def test_few_kinds_are_shaded_in_their_colours_many_in_grey(kinds: int) -> None:
    names = ["lie", "partition", "crash", "slow"][:kinds]
    result = structs.replace(learnt(), shaded=[(1.0, 5.0, name) for name in names])
    first = curves.over_time(result).axes[0]
    painted = {to_hex(patch.get_facecolor()) for patch in first.patches}
    assert len(painted) == (kinds if kinds <= curves.FEW else 1)
    assert [label.get_text() for label in curves.over_time(result).axes[-1].get_yticklabels()] == sorted(names)


def test_a_node_has_one_place_at_all_moments_a_part_one_colour_and_who_is_down_is_hollow() -> None:
    halves = [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5)]
    graphs = [
        Graph(1.0, halves, [0, 0, 0, 1, 1, 1]),
        Graph(2.0, halves[1:], [1, 1, 1, 0, 0, -1]),
        Graph(3.0, [*halves, (2, 3)], [0] * 6),
    ]
    drawn = [axes.collections[-1] for axes in mesh.draw(graphs).axes]
    places = [np.asarray(nodes.get_offsets()) for nodes in drawn]
    assert all(np.array_equal(places[0], other) for other in places)
    assert len({tuple(place) for place in places[0]}) == 6
    colours = [[to_hex(colour) for colour in np.asarray(nodes.get_facecolor())] for nodes in drawn]
    assert colours[0][:5] == colours[1][:5], "the halves change their numbers, not their colours"
    assert len(set(colours[0])) == 2
    assert len(set(colours[2])) == 1
    assert colours[1][5] == "#ffffff" != to_hex(np.asarray(drawn[1].get_edgecolor())[5])
    distance = np.linalg.norm(places[0][:, None] - places[0], axis=2)
    assert distance[:3, :3].max() < distance[:3, 3:].max(), "what is linked for longer is nearer"


def test_more_parts_than_colours_are_grey_and_links_beyond_counting_are_thinned() -> None:
    alone = Graph(1.0, [], list(range(9)))
    (painted,) = mesh.part_colours([alone])
    assert len(set(painted.values())) == len(painted) == 6
    everybody = [(one, other) for one in range(100) for other in range(one)]
    (axes,) = mesh.draw([Graph(1.0, everybody, [0] * 100)]).axes
    assert axes.get_xlabel() == "4950 links, 2475 of them drawn"


# --- what others wrote


def evil(result: Result) -> Result:
    """Hostile wherever there is a text."""
    return structs.replace(
        result, scenario=EVIL, about=EVIL, task=EVIL, topology=EVIL, trace_hash=EVIL, replay=EVIL, unmet=[EVIL],
        violations=[Violation(1.0, EVIL, EVIL, EVIL, EVIL)], broken=1, joins={EVIL: 1}, refusals={EVIL: 1},
        failures={EVIL: 1}, faults_by_kind={EVIL: 1}, pooled={EVIL: 1.0}, shaded=[(1.0, 2.0, EVIL)],
        each=[structs.replace(node, id=EVIL) for node in result.each],
    )  # fmt: skip


def test_hostile_names_are_only_text(tmp_path: Path) -> None:
    result = evil(studied())
    assert write(tmp_path, result).text.count("<script>alert(1)</script>") > 15
    file = tmp_path / "compared.html"
    comparison.write(file, [result.as_dict(), learnt().as_dict()], [EVIL, "\udcff" + 500 * "x"])
    assert checked(file).text.count("<script>alert(1)</script>") > 5


# --- comparisons


def test_a_comparison_shows_what_differs_and_what_does_not(tmp_path: Path) -> None:
    one, other = learnt(), structs.replace(learnt(), seed=2, nodes=9, mean_accuracy=0.123, pooled={"rmse": 2.0})
    both = [one.as_dict(), other.as_dict()]
    rows = {row[0]: row[1:] for row in comparison.summary_rows(both, ["a", "b"])}
    assert rows[""] == ["a", "b"]
    assert rows["seed"] == ["1", "2"]
    assert rows["nodes"] == ["3", "9"]
    assert rows["mean accuracy"] == [f"{one.mean_accuracy:.3f}", "0.123"]
    assert rows["rmse"] == ["–", "2"]
    assert rows["violations"] == ["0", "0"]
    assert not {"task", "topology", "scenario", "error"} & set(rows)
    comparison.write(tmp_path / "compared.html", both, ["a", "b"])
    page = checked(tmp_path / "compared.html")
    assert page.rows == [[key, *cells] for key, cells in rows.items()]
    assert "Equal in all: scenario calm, task digits, topology k-out:k=3, virtual seconds 10." in page.text
    figure = curves.overlay([one, other], ["a", "b"])
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy", "disagreement", "sent per node"]
    assert [len(axes.get_lines()) for axes in figure.axes] == [4, 2, 2]
    figure = curves.overlay([one, studied()], ["a", "b"])
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy", "error", "disagreement", "sent per node"]


@pytest.mark.parametrize("count", [0, 9])
def test_too_many_runs_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(LocalError, match=f"{count} results; allowed are 1 to 8"):
        comparison.write(tmp_path / "no.html", [learnt().as_dict()] * count, ["x"] * count)
    comparison.write(tmp_path / "yes.html", [learnt().as_dict()] * 8, list("abcdefgh"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["yes.html"]


# --- files


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    for result in (learnt(), studied()):
        (tmp_path / "result.json").write_text(json.dumps(result.as_dict()))
        assert comparison.read(tmp_path / "result.json") == msgspec.to_builtins(result)


SERIES = {"time": [1.0], **{field: [1.0] for field in Sample.__struct_fields__}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nodes": "3"}, r"nodes: Expected `int`, got `str`"),
        ({"nodes": 0}, r"nodes = 0: allowed is 1 or more"),
        ({"series": {"time": []}}, r"series\.up: there is none"),
        ({"series": SERIES | {"up": [1.0, 2.0]}}, r"series\.up: not as many values as series\.time"),
        ({"series": SERIES | {"up": ["1"]}}, r"series\[\.\.\.\]\[0\]: Expected `float \| null`, got `str`"),
        ({"staleness": {"soon": 3}}, r"staleness\.soon: 3"),
        ({"staleness": {"nan": 3}}, r"staleness\.nan: 3"),
        ({"staleness": {"1": -3}}, r"staleness\.1: -3"),
        ({"virtual_seconds": float("inf")}, r"virtual_seconds: times must be 0 to 1e\+12"),
        ({"shaded": [[0, float("nan"), "lie"]]}, r"shaded: times must be 0 to 1e\+12"),
        ({"shaded": [[0, 1]]}, r"shaded\[0\]: Expected `array` of length 3"),
        ({"graphs": [{"time": 1, "edges": [], "part": [0]}]}, r"graphs\[0\]\.part: 1 machines; nodes = 3"),
        ({"graphs": [{"time": 1, "edges": [[0, 3]], "part": [0, 0, 0]}]}, r"graphs\[0\]\.edges: \[0, 3\]; nodes = 3"),
        ({"graphs": [{"time": 1, "edges": [[-1, 0]], "part": [0, 0, 0]}]}, r"graphs\[0\]\.edges: \[-1, 0\]"),
        ({"violations": [{"time": 1}]}, r"violations\[0\]\.node: Object missing required field"),
        ({"events": 10**18}, r"100000000000000000… is an integer of more than 18 digits"),
        ({"about": "\ud800"}, r"surrogates not allowed"),
        ({"each": 3}, r"each: Expected `array`, got `int`"),
    ],
)  # fmt: skip
def test_what_is_no_result_is_refused_with_file_and_key(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps({**learnt().as_dict(), **change}))
    with pytest.raises(
        LocalError, match=f"{re.escape(str(file))}: .*{said}.*as gossipfl sim run --json FILE writes it"
    ):
        comparison.read(file)


@pytest.mark.parametrize("text", ["", "[]", "3", "null", '{"a": 1', "\xff", "[" * 100_000, '{"scenario": NaN}'])
def test_what_is_no_json_of_a_result_at_all_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "result.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(LocalError, match=re.escape(str(file))):
        comparison.read(file)


@pytest.mark.parametrize("key", Result.__struct_fields__)
def test_a_result_without_a_key_is_refused(tmp_path: Path, key: str) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps({name: value for name, value in learnt().as_dict().items() if name != key}))
    with pytest.raises(LocalError, match=f"{re.escape(str(file))}: {key}: "):
        comparison.read(file)


def test_files_that_can_t_be_read_or_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"none\.json: can't be read: No such file"):
        comparison.read(tmp_path / "none.json")
    with pytest.raises(LocalError, match="can't be read: Is a directory"):
        comparison.read(tmp_path)
    with pytest.raises(LocalError, match=r"no/report\.html: can't be written"):
        report.write(tmp_path / "no" / "report.html", learnt().as_dict())
