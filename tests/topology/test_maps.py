"""Shipped maps: each loads as it stands, hangs together, and is what the folder's README says."""

import itertools
import re
from collections import Counter
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from gossipfl_topology.errors import TopologyError
from gossipfl_topology.files import load, map_path, maps

RADIO_RANGE = 250  # metres, as the files say


@pytest.mark.parametrize(
    ("name", "suffix", "nodes", "edges"),
    [
        ("city-district", ".json", 67, 176),
        ("street-grid", ".csv", 30, 49),
        ("two-towns", ".edges", 20, 61),
        ("village", ".graphml", 12, 26),
    ],
)
def test_a_map_loads_without_notes_connected_and_as_the_readme_counts(
    name: str, suffix: str, nodes: int, edges: int
) -> None:
    loaded = load(map_path(name))
    assert map_path(name).suffix == suffix
    assert loaded.notes == ()
    assert (loaded.graph.n, len(loaded.graph.edges)) == (nodes, edges)
    assert not loaded.graph.directed
    assert loaded.graph.weights is None
    assert loaded.graph.names is not None
    assert nx.is_connected(loaded.graph.to_networkx())
    row = rf"^\| `{name}` +\|[^|]+\| +{nodes} \| +{edges} \|"
    assert re.search(row, (map_path(name).parent / "README.md").read_text(), re.MULTILINE)


def test_the_maps_are_all_the_files_beside_their_readme() -> None:
    folder = {file.name for file in map_path("village").parent.iterdir()}
    assert folder - {"README.md"} == {map_path(name).name for name in maps()}
    assert len(maps()) == 4


def test_an_unknown_map_is_refused_with_the_nearest_and_all() -> None:
    with pytest.raises(TopologyError, match=r"no map 'vilage'; did you mean village\? allowed: city-district, street"):
        map_path("vilage")
    with pytest.raises(TopologyError, match="no map 'README'; allowed: city-district, street-grid, two-towns, village"):
        map_path("README")


def test_the_city_district_has_sensors_gateways_and_a_district_node_that_the_gateways_reach() -> None:
    graph = load(map_path("city-district")).graph
    assert graph.roles is not None
    assert graph.positions is not None
    assert Counter(graph.roles) == {"sensor": 60, "gateway": 6, "district": 1}
    (district,) = (node for node in range(graph.n) if graph.roles[node] == "district")
    neighbours = graph.neighbours()
    assert [graph.roles[node] for node in neighbours[district]] == ["gateway"] * 6
    for a, b in itertools.combinations(set(range(graph.n)) - {district}, 2):
        near = np.linalg.norm(graph.positions[a] - graph.positions[b]) <= RADIO_RANGE
        assert near == (b in neighbours[a])
    sensors = [node for node in range(graph.n) if graph.roles[node] == "sensor"]
    assert nx.is_connected(graph.to_networkx().subgraph(sensors))


def test_the_street_grid_is_a_grid_of_five_by_six() -> None:
    graph = load(map_path("street-grid")).graph
    assert graph.names is not None
    assert nx.is_isomorphic(graph.to_networkx(), nx.grid_2d_graph(5, 6))
    assert [graph.names[node] for node in graph.neighbours()[graph.names.index("B2")]] == ["A2", "B1", "B3", "C2"]


def test_the_two_towns_have_one_bridge_and_hold_together_without_it() -> None:
    graph = load(map_path("two-towns")).graph
    assert graph.names is not None
    whole = nx.relabel_nodes(graph.to_networkx(), dict(enumerate(graph.names)))
    assert [set(bridge) for bridge in nx.bridges(whole)] == [{"east-0", "west-0"}]
    whole.remove_edge("east-0", "west-0")
    towns = list(nx.connected_components(whole))
    assert sorted(map(len, towns)) == [10, 10]
    assert [nx.node_connectivity(whole.subgraph(town)) for town in towns] == [6, 6]


def test_the_village_links_what_is_within_radio_range() -> None:
    graph = load(map_path("village")).graph
    assert graph.positions is not None
    assert graph.names is not None
    assert graph.names[:3] == ("town hall", "school", "church")
    neighbours = graph.neighbours()
    for a, b in itertools.combinations(range(graph.n), 2):
        near = np.linalg.norm(graph.positions[a] - graph.positions[b]) <= RADIO_RANGE
        assert near == (b in neighbours[a])


@pytest.mark.parametrize("name", ["city-district", "street-grid", "two-towns", "village"])
def test_a_map_opens_with_a_description(name: str) -> None:
    head = Path(map_path(name)).read_text()[:400]
    assert re.search(r"^#|<!--|\"description\"", head)
