"""The demo's report: one HTML file that works offline, with the accuracy curves of all nodes."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import Any

from gossipfl.errors import LocalError
from gossipfl_nodes.demo.display import number, size
from gossipfl_nodes.files import write_durably

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>gossipfl demo: {title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse }} td, th {{ padding: .2rem .8rem; text-align: right }}
figure {{ margin: 1rem 0 }} svg {{ max-width: 100%; height: auto }}
</style>
<h1>{title}</h1>
<p>{summary}</p>
<figure>{figure}<figcaption>Accuracy of each node's served model on the held-out data.</figcaption></figure>
<table><tr>{head}</tr>{rows}</table>
</html>
"""
COLUMNS = ("id", "accuracy", "peers", "merges", "bytes_sent", "bytes_received", "restarts")


def write(path: Path, result: dict[str, Any], curves: list[list[tuple[float, float]]]) -> None:
    """Write the report of `result` to `path`; `curves` are (seconds, accuracy) of each node.

    Raises:
        LocalError: matplotlib is not installed, or the file can't be written.
    """
    show = {"accuracy": number, "bytes_sent": size, "bytes_received": size}
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(show.get(name, str)(node[name]))}</td>" for name in COLUMNS) + "</tr>"
        for node in result["nodes"]
    )
    page = PAGE.format(
        title=html.escape(f"{len(result['nodes'])} nodes, {result['task']}, {result['topology']}"),
        summary=html.escape(
            f"Mean accuracy {number(result['mean_accuracy'])}, worst {number(result['worst_accuracy'])}; local only"
            f" {number(result['local_only_accuracy'])}, central {number(result['central_accuracy'])}."
            f" {result['seconds']:.0f} seconds, seed {result['seed']}."
        ),
        figure=_figure(result, curves),
        head="".join(f"<th>{name.replace('_', ' ')}</th>" for name in COLUMNS),
        rows=rows,
    )
    write_durably(path, page.encode())


def _figure(result: dict[str, Any], curves: list[list[tuple[float, float]]]) -> str:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise LocalError("--html: matplotlib is not installed; pip install 'gossipfl[demo]'") from None
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="seconds", ylabel="accuracy", ylim=(0, 1))
    for index, curve in enumerate(curves):
        if curve:
            axes.plot(*zip(*curve, strict=True), linewidth=1, label=f"node {index}")
    for name, style in (("central_accuracy", "--"), ("local_only_accuracy", ":")):
        if result[name] is not None:
            axes.axhline(
                result[name], color="gray", linestyle=style, label=name.removesuffix("_accuracy").replace("_", " ")
            )
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", ncols=2, loc="lower right")
    out = io.StringIO()
    figure.savefig(out, format="svg")
    return out.getvalue()[out.getvalue().index("<svg") :]
