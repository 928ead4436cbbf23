"""The report of a run: one HTML file that works offline.

Decides what is told, and in which order; what a drawing looks like is that of `curves` and `mesh`. Everything that
comes from a result is taken as text. Needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gossipfl.output import pages
from gossipfl.output.files import write_durably
from gossipfl.output.terminal import number, shown, size
from gossipfl_sims.report import curves, mesh
from gossipfl_sims.result import NodeResult, Result

ALL, WORST = 200, 100
"""Nodes up to which the table has all; of more, it has so many."""


def write(path: Path, result: dict[str, Any]) -> None:
    """Write the report of one run.

    Args:
        path: the HTML file to write.
        result: as `Result.as_dict` gives it.

    Raises:
        LocalError: the file can't be written.
    """
    run = msgspec.convert(result, Result)
    parts = [
        pages.paragraph(run.about),
        *_verdict(run),
        pages.headlines(_headlines(run)),
        pages.paragraph(f"To run this again, to the trace hash {run.trace_hash}:"),
        pages.command(run.replay),
        pages.section("Over time", pages.drawing(curves.over_time(run), _legend(run))),
        *_mesh(run),
        pages.section("Faults, joins and refusals", *_counts(run)),
        _nodes(run),
    ]
    title = f"{run.scenario or 'a scenario'}, seed {run.seed}"
    write_durably(path, pages.page(title, *parts).encode())


def _verdict(run: Result) -> Iterator[str]:
    if run.passed:
        rules = "no rule was broken" if run.checked else "rules were not checked"
        yield pages.verdict(f"Passed: {rules}, and every expectation was met.", good=True)
        return
    found = f"{run.broken} broken rules, {len(run.unmet)} unmet expectations."
    yield pages.verdict(f"Failed: {found}", good=False)
    for unmet in run.unmet:
        yield pages.paragraph(f"Unmet: {unmet}.")
    if run.violations:
        listed = len(run.violations)
        rows = [(one.rule, f"{one.time:.4f}", one.node, one.event, one.detail) for one in run.violations]
        yield pages.table(
            ("rule", "virtual seconds", "node", "event", "detail"), rows, words=5,
            caption="Broken rules" if listed == run.broken else f"Broken rules: the first {listed} of {run.broken}",
        )  # fmt: skip


def _headlines(run: Result) -> Iterator[tuple[str, str]]:
    if run.mean_accuracy is not None:
        yield "mean accuracy", number(run.mean_accuracy)
        yield "worst node", number(run.worst_accuracy)
        yield "best node", number(run.best_accuracy)
    if run.error is not None:
        yield "mean error", shown(run.error)
    for name, value in run.pooled.items():
        if name != "error":
            yield name.replace("_", " "), shown(value)
    yield "disagreement", shown(run.disagreement)
    yield "sent per node", size(run.bytes_per_node)
    yield "merges per node", shown(run.merges_per_node)
    yield "nodes", f"{run.nodes:,}"
    yield "task", run.task
    yield "topology", run.topology
    yield "virtual seconds", f"{run.virtual_seconds:,g}"
    yield "events", f"{run.events:,}"
    yield "faults", f"{run.faults:,}"


def _legend(run: Result) -> str:
    said = ["Models are those that are served."] if run.mean_accuracy is not None else []
    said.append("Disagreement is the root mean square distance of the models from their mean, per coordinate.")
    kinds = len(curves.spans(run))
    if kinds > curves.FEW:
        said.append("Grey shows when something went wrong, the darker the more kinds of it at once.")
    elif kinds:
        said.append("A shade shows when something went wrong, in the colour of its row below.")
    return " ".join(said)


def _mesh(run: Result) -> Iterator[str]:
    if not run.graphs:
        return
    caption = (
        "The links at the moments that were kept: late in each partition, when all is healed, and at the end. A node"
        " has the same place in each drawing, and each connected part a colour; grey are parts beyond the sixth."
        " Hollow nodes are down."
    )
    if len(run.graphs) > mesh.MOST:
        caption += f" {mesh.MOST} of {len(run.graphs)} moments are shown."
    yield pages.section("The mesh", pages.drawing(mesh.draw(run.graphs), caption))


def _counts(run: Result) -> Iterator[str]:
    tables = [
        pages.table(("kind", "times"), ((name, f"{count:,}") for name, count in found.items()), caption=caption)
        for caption, found in (
            ("Faults by kind", run.faults_by_kind),
            ("Joins", run.joins),
            ("Frames refused", run.refusals),
            ("Failures", run.failures),
        )
        if found
    ]
    yield pages.beside(*tables) if tables else pages.paragraph("None.")
    if run.staleness:
        yield pages.drawing(curves.staleness(run), "Merges by the staleness of what was merged.")


def _nodes(run: Result) -> str:
    """A table of the nodes, worst first: those that are down, then by accuracy, then by merges."""

    def rank(node: NodeResult) -> tuple[bool, float, int]:
        return node.up, -1.0 if node.accuracy is None else node.accuracy, node.merges

    listed = sorted(run.each, key=rank)
    said = "Worst first: those that are down, then by accuracy, then by merges."
    if len(listed) > ALL:
        said += f" These are the worst {WORST} of {len(listed)} nodes."
        listed = listed[:WORST]
    rows = [
        (
            node.id, shown(node.up), number(node.accuracy), str(node.links), f"{node.merges:,}", size(node.bytes_sent),
            str(node.starts), "–" if node.age is None else f"{node.age:,.0f}",
        )
        for node in listed
    ]  # fmt: skip
    head = ("node", "up", "accuracy", "links", "merges", "sent", "starts", "age")
    return pages.section("Nodes", pages.paragraph(said), pages.table(head, rows))
