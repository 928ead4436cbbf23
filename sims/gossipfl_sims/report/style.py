"""How reports look: one palette, one kind of figure.

Colours are those of Tol's `bright` scheme, which people with any kind of colour blindness can tell apart, and which
show on white as well as on black (Paul Tol, Colour Schemes, SRON/EPS/TN/09-002, 2021). Never knows what a run is.
"""

from __future__ import annotations

from gossipfl.errors import LocalError
from gossipfl.output.terminal import size

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError:
    raise LocalError("--html: matplotlib is not installed; pip install 'gossipfl[sim]'") from None

PALETTE = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#888888")
WIDTH = 9.6
"""Inches, so that a letter in a drawing is as large as one below it."""
MANY = 2000
"""Samples above which an area is left out: lines of more points are thinned unseen, areas are not."""


def figure(heights: list[float]) -> tuple[Figure, list[Axes]]:
    """An empty figure with axes above each other, of `heights` in inches, that share their abscissa."""
    made = Figure(figsize=(WIDTH, sum(heights) + 0.5), layout="constrained")
    axes = made.subplots(len(heights), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for one in axes:
        one.grid(alpha=0.3)
        one.spines[["top", "right"]].set_visible(False)
    return made, list(axes)


def literal(text: str, most: int = 40) -> str:
    """`text` as matplotlib can show it: short, printable, and without $, which would begin a formula."""
    text = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(letter if letter.isprintable() else "�" for letter in text).replace("$", r"\$")


def show_sizes(axes: Axes) -> None:
    """Bytes for people, upwards."""
    axes.yaxis.set_major_formatter(lambda value, _: size(value))
