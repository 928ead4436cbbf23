"""The Grafana dashboard asks for nothing that a daemon doesn't say, and shows what it should."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from gossipfl_nodes.observing.metrics import exposition
from tests.nodes.observing.test_metrics import STATUS

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "nodes" / "deploy" / "grafana.json").read_text(encoding="utf-8")
)
PANELS = {
    "Accuracy", "Loss", "Merges", "Bytes", "Peers", "Missing", "Partition", "Time since the last save",
}  # fmt: skip
EXPORTED = {
    sample.name: (family.type, set(sample.labels))
    for family in text_string_to_metric_families(exposition(STATUS).decode())
    for sample in family.samples
}


def expressions() -> list[str]:
    """All that it asks Prometheus."""
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    (devices,) = (made["query"]["query"] for made in DASHBOARD["templating"]["list"] if made["type"] == "query")
    return [*asked, devices]


def test_there_is_a_panel_for_each_thing_to_see_and_none_twice() -> None:
    panels = DASHBOARD["panels"]
    assert {panel["title"] for panel in panels} == PANELS
    assert len({panel["id"] for panel in panels}) == len(panels) == len(PANELS)
    assert all(panel["description"].endswith(".") and panel["targets"] for panel in panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["w"] == 12 and place["x"] in (0, 12) for place in places)
    assert len({(place["x"], place["y"]) for place in places}) == len(places)


def test_every_metric_in_it_is_one_that_a_daemon_exports() -> None:
    assert len(EXPORTED) > 20
    for expression in expressions():
        names = re.findall(r"\bgossipfl_\w+", expression)
        assert names, expression
        assert set(names) <= set(EXPORTED), expression
        for name in names:
            # Only what grows for ever has a rate.
            assert (EXPORTED[name][0] == "counter") == (f"rate({name}" in expression), expression


def test_every_label_in_it_is_the_metric_s_own_or_prometheus() -> None:
    found = set()
    for expression in expressions():
        for name, labels in re.findall(r"(gossipfl_\w+)\{([^}]*)\}", expression):
            used = set(re.findall(r"(\w+)=", labels))
            assert used <= EXPORTED[name][1] | {"instance"}, expression
            found |= used
    assert found == {"instance", "metric"}


def test_it_works_with_whatever_prometheus_there_is() -> None:
    variables = {made["name"] for made in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert used == variables == {"source", "device"}
