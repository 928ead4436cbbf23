"""The site builds without a warning and loads nothing from elsewhere; the reference has all that the code has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs.making import reference
from gossipfl import completion
from gossipfl_nodes.daemon.config import KEYS, PROFILES
from tests.docs.pages import ROOT

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
"""By element, what a browser fetches by itself."""
NOT_LOADED = {"canonical", "prev", "next"}
"""Links in a page's head that nobody fetches."""


class Elsewhere(HTMLParser):
    """Collects what a page loads from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        target = given.get(LOADED.get(tag, ""), "") or ""
        if target.startswith(("http:", "https:", "//")) and given.get("rel") not in NOT_LOADED:
            self.found.add(target)


@pytest.mark.docs
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path], cwd=ROOT, check=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        parser = Elsewhere()
        parser.feed(page.read_text())
        assert parser.found == set(), page
    for sheet in tmp_path.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", sheet.read_text()), sheet


def test_the_reference_has_every_command_and_option() -> None:
    text = reference.cli()
    for name, parser in completion.parsers().items():
        assert f"\n## gossipfl {name}\n" in text
        for action in parser._actions:
            if action.dest not in KEYS and action.dest != "help":
                for option in action.option_strings:
                    assert option in text, f"{name} {option}"


def test_the_reference_has_every_key_with_type_default_and_meaning() -> None:
    text = reference.config()
    for path, key in KEYS.items():
        section = text.partition(f"\n### {path}\n")[2].partition("\n#")[0]
        assert len(key.description) > 10
        assert key.description.partition("<")[0][:40] in section
        assert f"`{key.variable}`" in section
        assert reference.kind_of(key) in section
    for name in PROFILES:
        assert f"\n### {name}\n" in text


def test_the_reference_has_every_path_and_type() -> None:
    pages = reference.pages()
    text, document = pages["reference/api.md"], reference.openapi()
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"\n## {method.upper()} {path}\n" in text
    for name, schema in document["components"]["schemas"].items():
        section = text.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        for field in schema.get("properties", {}):
            assert f"`{field}`" in section, f"{name}.{field}"
    for name in re.findall(r"\]\(#(\w+)\)", text):
        assert f"\n### {name}\n".lower() in text.lower(), name
