"""The demo's report: one HTML file that works offline, with the accuracy curves of all nodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossipfl.errors import LocalError
from gossipfl.output.files import write_durably
from gossipfl.output.pages import drawing, page, paragraph, table
from gossipfl.output.terminal import number, size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("id", "accuracy", "peers", "merges", "bytes_sent", "bytes_received", "restarts")


def write(path: Path, result: dict[str, Any], curves: list[list[tuple[float, float]]]) -> None:
    """Write the report of `result` to `path`; `curves` are (seconds, accuracy) of each node.

    Raises:
        LocalError: matplotlib is not installed, or the file can't be written.
    """
    show = {"accuracy": number, "bytes_sent": size, "bytes_received": size}
    text = page(
        f"{len(result['nodes'])} nodes, {result['task']}, {result['topology']}",
        paragraph(
            f"Mean accuracy {number(result['mean_accuracy'])}, worst {number(result['worst_accuracy'])}; local only"
            f" {number(result['local_only_accuracy'])}, central {number(result['central_accuracy'])}."
            f" {result['seconds']:.0f} seconds, seed {result['seed']}."
        ),
        drawing(_figure(result, curves), "Accuracy of each node's served model on the held-out data."),
        table(
            [name.replace("_", " ") for name in COLUMNS],
            ([show.get(name, str)(node[name]) for name in COLUMNS] for node in result["nodes"]),
        ),
    )
    write_durably(path, text.encode())


def _figure(result: dict[str, Any], curves: list[list[tuple[float, float]]]) -> Figure:
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
    return figure
