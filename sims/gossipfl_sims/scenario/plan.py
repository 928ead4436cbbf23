"""What makes no sense together: faults that overlap, more victims than machines, phases too short."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from gossipfl_sims.nemesis import faults as ft
from gossipfl_sims.nemesis.nemesis import kind_of
from gossipfl_sims.scenario.scenario import Scenario

WHOLE_NETWORK = (ft.Partition, ft.Hold, ft.Weather)


def check(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Keys, and what is wrong there."""
    end = scenario.time.faulty
    for number, fault in enumerate(scenario.faults):
        key = f"faults[{number}]"
        if fault.at >= end:
            yield f"{key}.at", f"{fault.at:g} is after the faulty phase, which ends at time.faulty = {end:g}"
        if fault.lasts is not None and fault.at + fault.lasts > end:
            yield (
                f"{key}.lasts",
                f"it would end after the faulty phase, at {fault.at + fault.lasts:g}; that ends at {end:g}",
            )
        for name, nodes in (("nodes", _numbers(fault)), ("first", getattr(fault, "first", ()))):
            for node in nodes:
                if node >= scenario.nodes:
                    yield f"{key}.{name}", f"there is no node {node}; there are 0 to {scenario.nodes - 1}"
        if isinstance(fault, ft.OnNodes) and _count(fault) > scenario.nodes:
            yield f"{key}.nodes", f"{_count(fault)} nodes; there are {scenario.nodes}"
    if scenario.devices.slow > scenario.nodes:
        yield "devices.slow", f"{scenario.devices.slow} nodes; there are {scenario.nodes}"
    yield from _overlaps(scenario)


def _overlaps(scenario: Scenario) -> Iterator[tuple[str, str]]:
    spans = [(fault.at, fault.at + (fault.lasts or scenario.time.faulty)) for fault in scenario.faults]
    for (i, one), (j, other) in combinations(enumerate(scenario.faults), 2):
        if spans[i][0] >= spans[j][1] or spans[j][0] >= spans[i][1]:
            continue
        pair = f"it overlaps with faults[{i}], a {kind_of(one)} from {spans[i][0]:g} to {spans[i][1]:g}"
        if isinstance(one, WHOLE_NETWORK) and type(one) is type(other):
            yield f"faults[{j}]", f"{pair}, and there is one network"
        if isinstance(one, ft.OnNodes) and isinstance(other, ft.OnNodes):
            both = set(_numbers(one)) & set(_numbers(other))
            if both:
                yield f"faults[{j}]", f"{pair}, for node {min(both)}"
    named = [node for fault in scenario.faults if isinstance(fault, ft.Join) for node in _numbers(fault)]
    if twice := [node for node in named if named.count(node) > 1]:
        yield "faults", f"node {twice[0]} joins twice"
    for j, fault in enumerate(scenario.faults):
        if isinstance(fault, ft.OnNodes) and not isinstance(fault, ft.Join):
            meanwhile = [
                one
                for i, one in enumerate(scenario.faults)
                if isinstance(one, ft.OnNodes) and spans[i][0] <= spans[j][0] < spans[i][1]
            ]
            if (needed := sum(map(_count, meanwhile))) > scenario.nodes:
                yield (
                    f"faults[{j}]",
                    f"it overlaps with others so that {needed} victims are needed; there are {scenario.nodes}",
                )


def _count(fault: ft.OnNodes) -> int:
    return fault.nodes if isinstance(fault.nodes, int) else len(fault.nodes)


def _numbers(fault: ft.AnyFault) -> tuple[int, ...]:
    nodes = getattr(fault, "nodes", 0)
    return () if isinstance(nodes, int) else nodes
