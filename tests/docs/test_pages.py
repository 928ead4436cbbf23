"""What the documentation shows is run, or read by what would run it."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from bench.__main__ import BENCHMARKS
from gossipfl import completion
from gossipfl_nodes.daemon.config import KEYS, SECTIONS
from gossipfl_nodes.observing import metrics as observing
from tests.docs.pages import LANGUAGES, PAGES, ROOT, blocks, bring, commands, looks_like, run

QUICK = {"docs/topologies.md", "docs/reference/wire.md"}
"""Pages that run in a few seconds; `make docs` runs the others."""
RUN = [
    pytest.param(name, marks=[] if name in QUICK else [pytest.mark.docs])
    for name, path in PAGES.items()
    if commands(path.read_text()) and name != "README.md"  # tests/test_readme.py
]
GOSSIPFL = re.compile(r"(?:^|[\s;&|(/])gossipfl (?=[a-zC])((?:(?! \d?>)[^;&|()<>#`\n]|<\()*)", re.MULTILINE)


@pytest.mark.parametrize("name", RUN)
def test_a_page_does_what_it_shows(name: str, tmp_path: Path) -> None:
    shown = commands(PAGES[name].read_text())
    bring(PAGES[name], tmp_path)
    done = run(shown, tmp_path)
    for command, one in zip(shown, done, strict=False):
        printed = "\n".join(one.output)
        assert one.status == 0, f"exit status {one.status}: {command.text}\n{printed}"
        if command.shown:
            expected = "\n".join(command.shown)
            message = f"{command.text}\nthe page shows:\n{expected}\nthis was printed:\n{printed}"
            assert looks_like([line for line in command.shown if line.strip()], one.output), message
    assert len(done) == len(shown), f"not ended: {shown[len(done)].text}"


@pytest.mark.parametrize("name", PAGES)
def test_every_block_says_what_it_is(name: str) -> None:
    text = PAGES[name].read_text()
    found = blocks(text)
    assert {block.language for block in found} <= LANGUAGES
    assert 2 * len(found) == len(re.findall(r"^ *```", text, re.MULTILINE))


@pytest.mark.parametrize("name", PAGES)
def test_command_lines_that_are_not_run_are_read_by_their_own_parser(
    name: str, parsers: dict[str, argparse.ArgumentParser]
) -> None:
    text = PAGES[name].read_text()
    shown = [block.text for block in blocks(text) if block.language == "sh"] + [one.text for one in commands(text)]
    for line in GOSSIPFL.findall(re.sub(r"\\\n|(^|\s)#.*", " ", "\n".join(shown))):
        check(line, parsers)


@pytest.mark.parametrize("name", PAGES)
def test_what_the_text_names_is_there(name: str, parsers: dict[str, argparse.ArgumentParser]) -> None:
    text = PAGES[name].read_text()
    assert set(re.findall(r"`gossipfl ([a-z][\w-]*)", text)) <= {name.split()[0] for name in parsers}
    assert set(re.findall(r"python -m bench (\w+)", text)) <= set(BENCHMARKS)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", text)) <= targets
    for path in re.findall(r"\btests/[\w/.]+\w", text):
        assert (ROOT / path).exists(), path
    sections = "|".join(section for section in SECTIONS if section)
    keys = re.findall(rf"(?<![\w./-])(?:{sections})\.(?!py\b|md\b|toml\b|token\b)[a-z_]+\b", text)
    assert set(keys) <= {*KEYS, "network.loss"}  # the simulator's
    metrics = set(re.findall(r'"(gossipfl_\w+)"', Path(observing.__file__).read_text()))
    named = re.findall(r"(?<![\w./-])gossipfl_(?!topology|nodes|sims)[a-z_]+\b", text)
    assert {name.removesuffix("_total") for name in named} <= metrics


def test_every_command_shows_examples_that_it_can_read(parsers: dict[str, argparse.ArgumentParser]) -> None:
    for name, parser in parsers.items():
        lines = GOSSIPFL.findall(re.sub(r" {4,}.*", "", parser.epilog or ""))
        assert lines, name
        for line in lines:
            check(line, parsers)


def check(line: str, parsers: dict[str, argparse.ArgumentParser]) -> None:
    """Does gossipfl understand these arguments?"""
    words = shlex.split(line, comments=True)
    many = 2 if " ".join(words[:2]) in parsers else 1
    command, arguments = " ".join(words[:many]), words[many:]
    if command in ("COMMAND", "--help", "--version"):
        return
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsers[command].parse_args(arguments)
    except SystemExit:
        pytest.fail(f"gossipfl {line}: {said.getvalue()}")


@pytest.fixture(scope="module")
def parsers() -> dict[str, argparse.ArgumentParser]:
    return completion.parsers()


SHOWN = [
    ("mean 0.975   worst 0.9", "mean 0.1  worst 0.98", True),
    ("mean 0.975", "mean", False),
    ("id 12D3KooWabc", "id 12D3KooWxyz9", True),
    ("0  GqoLVYL4  7", "0  abcDEF12  11", True),
    ("0  LnYHRFUQ  7", "0  abcDEF12  11", True),
    ("585.3 ms ago", "1.2 s ago", True),
    ("joined", "left", False),
    ("…\nlast 1", "first\nsecond\nlast 2", True),
    ("…\nlast 1", "first\nsecond", False),
    ("listens on …", "listens on /ip4/1", True),
    ("a 1", "a 1\nmore", False),
]


@pytest.mark.parametrize(("shown", "output", "same"), SHOWN)
def test_what_may_differ_between_two_runs(shown: str, output: str, *, same: bool) -> None:
    assert looks_like(shown.splitlines(), output.splitlines()) is same


def test_a_page_is_run_in_order_and_its_failures_are_seen(tmp_path: Path) -> None:
    page = """
```text title="a"
hello
```
```console
$ cat a
hello
$ export B=3
$ echo $B \\
> 4
3 4
$ false
$ sleep 99 &
```
"""
    done = run(commands(page), tmp_path)
    assert [one.status for one in done] == [0, 0, 0, 0, 1, 0]
    assert done[1].output == ["hello"]
    assert done[3].output == ["3 4"]
