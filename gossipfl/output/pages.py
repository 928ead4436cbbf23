"""HTML pages that work offline: one file with text, tables and drawings inside, in the reader's light or dark.

A page is put together from parts, each made by one function here that escapes what it is given. Nothing in a page runs
or loads anything, and the browser is told so.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>gossipfl: {title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
h1 {{ overflow-wrap: anywhere }} h2 {{ font-size: 1.2rem; margin: 2.5rem 0 .5rem }}
table {{ border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums }}
caption {{ font-weight: bold; text-align: left }}
td, th {{ padding: .2rem .8rem; text-align: right; vertical-align: top }}
td.w, th.w {{ text-align: left; overflow-wrap: anywhere; min-width: 4em }} tr + tr {{ border-top: 1px solid #8884 }}
figure {{ margin: 1rem 0 }} figcaption {{ font-size: .9rem; opacity: .8 }}
.wide {{ overflow-x: auto }} .beside {{ columns: 2 22rem }} .beside > div {{ break-inside: avoid }}
svg {{ max-width: 100%; height: auto }} svg text {{ fill: CanvasText }}
dl {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .5rem }}
dl div {{ border: 1px solid #8884; border-radius: .4rem; padding: .4rem .7rem }}
dt {{ font-size: .85rem; opacity: .8 }} dd {{ margin: 0; font-size: 1.15rem; overflow-wrap: anywhere }}
pre {{ border: 1px solid #8884; border-radius: .4rem; padding: .5rem .7rem; white-space: pre-wrap; user-select: all }}
.good, .bad {{ border-left: .4rem solid #4477aa; padding-left: .7rem; font-weight: bold }}
.bad {{ border-color: #ee7733 }}
</style></head><body>
<h1>{title}</h1>
{parts}
</body></html>
"""
LEAST_DIGITS = re.compile(r"(\.\d\d)\d+")
"""A hundredth of a point is finer than any screen; matplotlib writes six digits, half of a file."""


def page(title: str, *parts: str) -> str:
    """A page: a title above `parts`, which the other functions here make."""
    text = PAGE.format(title=html.escape(title), parts="\n".join(parts))
    return text.encode(errors="replace").decode()  # a name of a file may have bytes that are no text


def section(title: str, *parts: str) -> str:
    """A heading, and what belongs under it."""
    return f"<section><h2>{html.escape(title)}</h2>\n" + "\n".join(parts) + "</section>"


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{html.escape(text)}</p>"


def verdict(text: str, *, good: bool) -> str:
    """What the page has to say in one line, marked as good or bad."""
    return f'<p class="{"good" if good else "bad"}">{html.escape(text)}</p>'


def command(line: str) -> str:
    """A line to copy into a terminal: one click selects all of it."""
    return f"<pre><code>{html.escape(line)}</code></pre>"


def headlines(figures: Iterable[tuple[str, str]]) -> str:
    """What to see first: names and values, each in a box."""
    boxes = (f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>" for name, value in figures)
    return "<dl>" + "".join(boxes) + "</dl>"


def beside(*parts: str) -> str:
    """Small parts in two columns, where there is room."""
    return '<div class="beside">' + "\n".join(f"<div>{part}</div>" for part in parts) + "</div>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1, caption: str = "") -> str:
    """An HTML table of plain texts; the first `words` columns are words, the others numbers."""
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    lines = [_row("th", head, words), *(_row("td", row, words) for row in rows)]
    return f'<div class="wide"><table>{above}{"".join(lines)}</table></div>'


def drawing(figure: Figure, caption: str) -> str:
    """A matplotlib figure as SVG, black and white as the reader's colours say, with its caption."""
    text = html.escape(caption)
    return f'<figure><div class="wide">{_svg(figure, caption)}</div><figcaption>{text}</figcaption></figure>'


def _row(cell: str, texts: Sequence[str], words: int) -> str:
    marks = [' class="w"'] * words + [""] * len(texts)
    cells = (f"<{cell}{mark}>{html.escape(text)}</{cell}>" for mark, text in zip(marks, texts, strict=False))
    return f"<tr>{''.join(cells)}</tr>"


def _svg(figure: Figure, caption: str) -> str:
    """As text that can be searched, equal for equal figures; ids differ between the drawings of one page."""
    import matplotlib as mpl

    out = io.StringIO()
    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": caption, "font.sans-serif": ["DejaVu Sans"]}),
        warnings.catch_warnings(),
    ):
        # The reader's browser has the letters that matplotlib's font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = re.sub(r'<g id="[^"]*"', "<g", out.getvalue()[out.getvalue().index("<svg") :])
    text = re.sub(r' d="[^"]*"', lambda path: LEAST_DIGITS.sub(r"\1", path[0]).replace("\n", ""), text)
    text = re.sub(r"((?:fill|stroke): )#000000", r"\1CanvasText", text)
    text = re.sub(r"((?:fill|stroke): )#ffffff", r"\1Canvas", text)
    return f'<svg role="img" aria-label="{html.escape(caption)}"' + text.removeprefix("<svg")
