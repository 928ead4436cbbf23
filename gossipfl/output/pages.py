"""HTML pages that work offline: one file with tables and drawings inside, in the reader's light or dark."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>gossipfl: {title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse }} td, th {{ padding: .2rem .8rem; text-align: right }}
td:first-child, th:first-child {{ text-align: left }} tr + tr {{ border-top: 1px solid #8884 }}
figure {{ margin: 1rem 0; overflow-x: auto }} svg {{ max-width: 100%; height: auto; background: #fff }}
</style>
<h1>{title}</h1>
<p>{text}</p>
<figure>{figure}<figcaption>{caption}</figcaption></figure>
{table}
</html>
"""


def page(title: str, text: str, figure: Figure, caption: str, table: str) -> str:
    """A page: a title, a paragraph, a drawing with its caption, and a table as `table` makes it."""
    return PAGE.format(
        title=html.escape(title), text=html.escape(text), figure=_svg(figure), caption=html.escape(caption), table=table
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table of plain texts."""
    lines = ["".join(f"<th>{html.escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg")
    return out.getvalue()[out.getvalue().index("<svg") :]
