"""The page's modules by themselves, in a browser: what is made of answers, and where nodes are put."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser

from gossipfl_nodes.demo.page import opened
from tests.nodes.page.browsing import Tab

STATUS = {"metrics": {"accuracy": 0.5}, "loss": 1.0, "bytes_sent": 0, "bytes_received": 0}
FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
WHOLE = STATUS | {
    "mesh": "m", "task": "t", "topology": "k-out", "state": "learning", "paused": False, "peers": 0, "merges": 0,
    "longest_gap": 0, "uptime": 1, "failures": 0, "save_error": "", "partition": False, "mesh_size": 1, "age": 1,
    "publishes": 0, "saved_at": None, "budget": None, "open": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of the page of a mesh of nobody."""
    with opened([]) as address:
        yield address


@pytest.fixture(scope="module")
def shown(browser: Browser, url: str) -> Iterator[Tab]:
    """It, in a browser."""
    made = Tab(browser, url)
    yield made
    made.close()
    assert made.complaints == []


@pytest.fixture
def run(shown: Tab) -> Callable[[str, Any], Any]:
    """Runs the body of an async function of `mesh`, `layout` and `given`."""

    def call(body: str, given: Any = None) -> Any:
        modules = 'const mesh = await import("/mesh.js"), layout = await import("/show/layout.js");'
        return shown.run(f"async (given) => {{ {modules} {body} }}", given)

    return call


def row(peer: str, **more: Any) -> dict[str, Any]:
    return {"id": peer, "live": True, "staleness": 1.0, "merges": 0, "merged": None, **more}


def device(name: str, *peers: dict[str, Any], up: bool = True) -> dict[str, Any]:
    return {"id": name, "name": "", "status": STATUS if up else None, "peers": list(peers)}


def told(*devices: dict[str, Any], me: str | None = None) -> dict[str, Any]:
    return {"time": 0, "me": me, "devices": list(devices)}


def test_a_page_without_a_device_is_a_page(shown: Tab) -> None:
    shown.wait("#state", "live")
    shown.wait("#links", "0 up, 0 links")


def test_a_link_is_there_if_either_end_has_it_and_both_are_up(run: Callable[..., Any]) -> None:
    answer = told(
        device("a", row("b", merged=5.0), row("c", live=False), row("d", staleness=4.0)),
        device("b", row("a", merged=2.0), row("d")),
        device("d", row("a"), up=False),
    )
    found = run("return mesh.understand(given)", answer)
    assert [(link["a"], link["b"], link["merged"]) for link in found["links"]] == [("a", "b", 2.0)]
    nodes = {node["id"]: node for node in found["nodes"]}
    assert {name: node["up"] for name, node in nodes.items()} == {"a": True, "b": True, "c": False, "d": False}
    assert nodes["d"]["staleness"] == 2.5, "the mean of what two say of it"
    assert found["metric"] == "accuracy"


def test_merges_are_told_from_whom_to_whom(run: Callable[..., Any]) -> None:
    before = told(device("a", row("b", merges=3), row("c", merges=1)), device("b", row("a", merges=9)))
    after = told(device("a", row("b", merges=5), row("c", merges=1), row("d", merges=7)), device("b", up=False))
    assert run("return mesh.merged(given[0], given[1])", [before, after]) == [["b", "a"]]


def test_curves_go_on_from_the_history_and_keep_a_bounded_length(run: Callable[..., Any]) -> None:
    script = """
        const all = new mesh.Histories();
        const status = (sent) => ({ loss: 1, bytes_sent: sent, bytes_received: 0, metrics: { accuracy: sent / 1e6 } });
        for (let time = 100; time < 5100; time++) {
            all.add({ time, devices: [{ id: "a", status: status(100 * time) }, { id: "b", status: null }] });
        }
        all.begin({ a: { time: [10, 20, 30], values: { bytes_sent: [1, 2, null] } } });
        all.begin({ a: { time: [4000, 4999], values: { bytes_sent: [400000, 499900] } } });
        const curve = all.curve("a", "bytes_sent");
        return [curve, all.rate("a", "bytes_sent"), all.curve("b", "loss")];
    """
    curve, rate, nobody = run(script)
    times = [time for time, _ in curve]
    assert times[:4] == [10, 20, 30, 100]
    assert times == sorted(set(times))
    assert times[-1] == 5099
    assert [time for time in times if 4000 <= time <= 4999] == [4000, 4999], "what a device says of itself is right"
    assert len(times) <= 602
    gaps = [after - before for before, after in pairwise(times) if before >= 100 and after < 4000]
    assert len(gaps) > 200
    assert max(gaps) <= 2 * min(gaps), "evenly"
    assert {round(value) for time, value in rate if time > 100} == {100}
    assert nobody == []


def test_the_mean_of_curves_is_taken_between_points_and_not_across_gaps(run: Callable[..., Any]) -> None:
    curves = [[[0, 0], [1, 10]], [[0, 10], [0.4, 10], [0.6, None], [1, 10]]]
    found = run("return mesh.averaged(given, mesh.mean, 10)", curves)
    assert [value for _, value in found] == [5, 5.5, 6, 6.5, 4, 5, 6, 7, 8, 9, 10]


def test_a_restart_is_a_gap_in_a_rate_and_nothing_below_zero(run: Callable[..., Any]) -> None:
    script = """
        const all = new mesh.Histories();
        const values = [0, 100, 200, 10, 110];
        all.begin({ a: { time: [0, 10, 20, 30, 40], values: { bytes_sent: values } } });
        return all.rate("a", "bytes_sent");
    """
    assert run(script) == [[10, 10], [20, 10], [30, None], [40, 10]]


@pytest.mark.parametrize("count", [1, 2, 60, 1000])
def test_nodes_are_put_apart_and_linked_ones_near_each_other(run: Callable[..., Any], count: int) -> None:
    script = """
        const nodes = Array.from({ length: given }, (_, i) => ({ id: String(i) }));
        const links = nodes.slice(1).map(({ id }, i) => ({ a: String(Math.floor(i / 3)), b: id }));
        const placed = new layout.Layout();
        placed.update(nodes, links);
        let steps = 0;
        while (!placed.cold && steps < 2000) { placed.step(); steps++; }
        const { x, y } = placed;
        let nearest = Infinity;
        for (let i = 0; i < given; i++) {
            for (let j = 0; j < i; j++) nearest = Math.min(nearest, Math.hypot(x[i] - x[j], y[i] - y[j]));
        }
        const lengths = links.map(({ a, b }) => Math.hypot(x[a] - x[b], y[a] - y[b]));
        placed.update(nodes, links);
        return { steps, nearest, finite: x.every(Number.isFinite) && y.every(Number.isFinite),
                 longest: Math.max(0, ...lengths), span: Math.max(...x) - Math.min(...x), cold: placed.cold };
    """
    found = run(script, count)
    assert found["finite"]
    assert found["steps"] < 600
    assert found["cold"], "what has not changed doesn't move again"
    assert found["nearest"] is None or found["nearest"] > 0.1
    assert count < 60 or found["longest"] < found["span"] / 2


def test_a_node_under_the_pointer_tells_of_itself_and_is_chosen_by_a_click(tab: Callable[..., Tab], url: str) -> None:
    shown = tab("about:blank", viewport={"width": 1280, "height": 900})
    seen: list[dict[str, Any]] = [{**device("a"), "name": "0"} | {"status": {**WHOLE, "metrics": {"accuracy": 0.5}}}]
    shown.page.route("**/v1/mesh", lambda route: route.fulfill(json=told(*seen)))
    shown.page.goto(url)
    shown.wait("#links", "1 up")
    box = shown.page.locator("canvas").first.bounding_box()
    assert box is not None
    place = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    shown.page.mouse.move(*place)
    shown.wait(".tip", "accuracy 0.500")
    shown.page.mouse.click(*place)
    shown.wait("#facts-title", "Device: node 0")
    shown.page.mouse.click(*place)
    shown.wait("#facts-title", "All devices")
    shown.page.mouse.move(box["x"] + 5, box["y"] + 5)
    shown.page.locator(".tip").wait_for(state="hidden")

    shown.page.get_by_role("button", name="Zoom in").click()
    shown.page.mouse.move(*place)
    shown.page.mouse.down()
    shown.page.mouse.move(place[0] + 90, place[1], steps=3)
    shown.page.mouse.up()
    shown.page.locator(".tip").wait_for(state="hidden")
    shown.run(FRAME)
    shown.page.mouse.move(place[0] + 91, place[1])
    shown.wait(".tip", "node 0")
    assert shown.texts("#facts-title") == ["All devices"], "to move what is seen is not to choose"
    shown.page.get_by_role("button", name="Show all").click()
    shown.run(FRAME)
    shown.page.mouse.move(*place)
    shown.wait(".tip", "node 0")
