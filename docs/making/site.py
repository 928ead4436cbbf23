"""What mkdocs does not do by itself: pages made from the code, links to files outside docs/, and room for new pages.

A file of the repository that a page links to becomes a page of the site, so that links work in a clone, in the site and
without a network alike. Knows no content of its own.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.making import reference

ROOT = Path(__file__).parents[2]
NEW_PAGES = "Running it"
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
"""The target of a Markdown link to a file."""
LEXERS = {"Containerfile": "docker", ".service": "ini", ".edges": "text", ".graphml": "xml"}


def on_config(config: Any) -> Any:
    """Give pages that the navigation does not name a place in it."""
    named = {page for entry in config.nav for page in _pages(entry)}
    (section,) = (entry[NEW_PAGES] for entry in config.nav if isinstance(entry, dict) and NEW_PAGES in entry)
    section += sorted(page.name for page in (ROOT / "docs").glob("*.md") if page.name not in named)
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Add what is made here."""
    from mkdocs.structure.files import File, InclusionLevel

    made = reference.pages()
    made["reference/changelog.md"] = _relinked((ROOT / "CHANGELOG.md").read_text(), "", "reference")
    texts = {page.src_uri: page.content_string for page in files.documentation_pages()}
    for uri, text in (texts | made).items():
        for target in _outside(text, uri):
            made[_source_page(target)] = _shown(target)
    for uri, text in made.items():
        inclusion = InclusionLevel.NOT_IN_NAV if uri.startswith("source/") else InclusionLevel.INCLUDED
        files.append(File.generated(config, uri, content=text, inclusion=inclusion))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Point links that leave docs/ to the pages that show those files."""
    here = posixpath.dirname(page.file.src_uri)
    for target in _outside(markdown, page.file.src_uri):
        written = posixpath.relpath(target, posixpath.join("docs", here))
        markdown = markdown.replace(f"]({written})", f"]({posixpath.relpath(_source_page(target), here or '.')})")
    return markdown


def _pages(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for below in entry if isinstance(entry, list) else entry.values():
            yield from _pages(below)


def _outside(markdown: str, uri: str) -> Iterator[str]:
    """The files of the repository outside docs/ that the page `uri` links to, from the repository's root."""
    for target in LINK.findall(markdown):
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(uri), target))
        if not path.startswith(("docs/", "..")) and (ROOT / path).is_file():
            yield path


def _source_page(path: str) -> str:
    return f"source/{path}.md"


def _shown(path: str) -> str:
    file = ROOT / path
    lexer = LEXERS.get(file.name) or LEXERS.get(file.suffix) or file.suffix[1:]
    return f"# {path}\n\n~~~{lexer}\n{file.read_text()}\n~~~\n"


def _relinked(markdown: str, where: str, there: str) -> str:
    """`markdown` of the folder `where` of the repository, for a page in the folder `there` of docs/."""
    begin = posixpath.join("docs", there)
    return LINK.sub(lambda link: posixpath.relpath(posixpath.join(where, link[1]), begin), markdown)
