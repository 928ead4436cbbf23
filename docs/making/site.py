"""What mkdocs does not do by itself: pages made from the code, links to files outside docs/, and room for new pages.

A file of the repository that a page links to becomes a page of the site, so that links work in a clone, in the site and
without a network alike. Knows no content of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any

from docs.making import reference

ROOT = Path(__file__).parents[2]
NEW_PAGES = "Running it"
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
"""A Markdown link to a file: its text, target, and anchor."""
LEXERS = {"Containerfile": "docker", ".service": "ini", ".py": "python", ".edges": "text", ".graphml": "xml"}


def on_config(config: Any) -> Any:
    """Give pages that the navigation does not name a place in it."""
    named = {page for entry in config.nav for page in _pages(entry)}
    (section,) = (entry[NEW_PAGES] for entry in config.nav if isinstance(entry, dict) and NEW_PAGES in entry)
    section += sorted(page.name for page in (ROOT / "docs").glob("*.md") if page.name not in named)
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Add what is made here, and the files that are linked to."""
    from mkdocs.structure.files import File, InclusionLevel

    made = reference.pages() | {"reference/changelog.md": _relinked("CHANGELOG.md", "reference/changelog.md")}
    shown: dict[str, str] = {}
    waiting = [(f"docs/{page.src_uri}", page.content_string) for page in files.documentation_pages()]
    waiting.append(("CHANGELOG.md", (ROOT / "CHANGELOG.md").read_text()))
    while waiting:
        source, text = waiting.pop()
        for _, target, _ in LINK.findall(text):
            path = normpath(join(dirname(source), target))
            if not path.startswith(("docs/", "..", "CHANGELOG")) and (ROOT / path).is_file() and path not in shown:
                shown[path] = _shown(path)
                if path.endswith(".md"):
                    waiting.append((path, (ROOT / path).read_text()))
    files_of_site = [File.generated(config, uri, content=text) for uri, text in made.items()]
    for path, text in shown.items():
        files_of_site.append(File.generated(config, _page_of(path), content=text, inclusion=InclusionLevel.NOT_IN_NAV))
    for file in files_of_site:
        files.append(file)
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Point links that leave docs/ to the pages that show those files."""
    uri = page.file.src_uri
    return markdown if page.file.generated_by else _pointed(markdown, f"docs/{uri}", uri)


def _pages(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for below in entry if isinstance(entry, list) else entry.values():
            yield from _pages(below)


def _page_of(path: str) -> str:
    """The page of the site that shows the file `path` of the repository."""
    if path == "CHANGELOG.md":
        return "reference/changelog.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"source/{path}" if path.endswith(".md") else f"source/{path}.md"


def _shown(path: str) -> str:
    if path.endswith(".md"):
        return _relinked(path, _page_of(path))
    file = ROOT / path
    lexer = LEXERS.get(file.name) or LEXERS.get(file.suffix) or file.suffix[1:]
    return f"# {path}\n\n~~~{lexer}\n{file.read_text()}\n~~~\n"


def _relinked(path: str, uri: str) -> str:
    return _pointed((ROOT / path).read_text(), path, uri)


def _pointed(markdown: str, path: str, uri: str) -> str:
    """`markdown` of the file `path`, with its links as they are in the page `uri`; those to folders are text."""

    def point(link: re.Match[str]) -> str:
        text, target, anchor = link.groups()
        found = normpath(join(dirname(path), target))
        if found == "docs" or (not found.startswith("docs/") and (ROOT / found).is_dir()):
            return text
        return f"[{text}]({relpath(_page_of(found), dirname(uri) or '.')}{anchor or ''})"

    return LINK.sub(point, markdown)
