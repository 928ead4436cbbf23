"""The pages of the documentation, and what their blocks of code are.

A page's blocks are, by what stands behind the three backticks:

* `console`: run in bash, in order, in one empty home for each page. `$ ` begins a command, `> ` goes on with it, and
  what follows is what it prints: numbers and ids may differ, `…` stands for anything, and alone for any lines.
* any language with title="FILE": that file, written there before what follows is run.
* `python` without a title: run there, too.
* `sh`: not run here, as it needs root, other devices, or long. The command line's own parser reads the gossipfl in it.
* `text`, `toml`, `yaml`, …, or nothing: to be looked at.

A file beside the page that it links to is there as well.

`python -m tests.docs.pages FILE …` runs pages, and writes what was printed into them.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = {str(path.relative_to(ROOT)): path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]}
"""By their paths from the root of the repository."""
BLOCK = re.compile(r"^( *)```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
LANGUAGES = {"", "console", "python", "sh", "text", "toml", "yaml", "json"}
SECONDS = 900.0
"""For a page, on a busy machine."""
PATIENCE = 15.0
"""Seconds that a daemon is given to stop."""
YOURS = "/home/you"
"""What the home is called in what is shown."""
FILES = ("cat > ", "python - <<")
"""How commands begin that take a block as a file."""
END = "\x1e"
"""Written after the output of each command, before its exit status."""
NUMBER = r"[-−]?\d[\d.,]*(?:e[-+]\d+)?(?: (?:[µm]?s|min|h|[kMG]?B)\b)?"
ID = r"12D3KooW\w+|\b(?=\w*[A-Za-z])(?:(?=\w*\d)|(?=\w+[A-Z]))[1-9A-HJ-NP-Za-km-z]{8}\b"
TOKEN = re.compile(rf"(?P<id>{ID})|(?P<number>{NUMBER})|(?P<any>…)|\s+")
"""What differs between two runs, or between two terminals."""


class Block(NamedTuple):
    """A block of code in a page."""

    language: str
    title: str
    text: str


class Command(NamedTuple):
    """A command of a page, and what it prints."""

    text: str
    shown: list[str]


class Done(NamedTuple):
    """What became of a command."""

    status: int
    output: list[str]


def blocks(page: str) -> list[Block]:
    """All in the text of a page."""
    return [Block(language, title, textwrap.dedent(text)) for _, language, title, text in BLOCK.findall(page)]


def commands(page: str) -> list[Command]:
    """What is run of a page."""
    found: list[Command] = []
    for block in blocks(page):
        if block.title:
            found.append(Command(f"{FILES[0]}{block.title} <<'END OF FILE'\n{block.text}END OF FILE", []))
        elif block.language == "python":
            found.append(Command(f"{FILES[1]}'END OF FILE'\n{block.text}END OF FILE", []))
        elif block.language == "console":
            found += _prompted(block.text)
    return found


def _prompted(text: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        first, *rest = part.splitlines()
        more = next((at for at, line in enumerate(rest) if not line.startswith("> ")), len(rest))
        yield Command("\n".join([first, *(line[2:] for line in rest[:more])]), rest[more:])


def run(page: list[Command], home: Path) -> list[Done]:
    """Have bash run them in `home`, one after the other; ends what they leave behind."""
    script = "\n".join(f"{{ {command.text}\n}} < /dev/null\nprintf '{END}%s{END}' $?" for command in page)
    others = ("GOSSIPFL_", "PYTEST_", "XDG_", "NOTIFY_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    environment |= {
        "HOME": str(home), "NO_COLOR": "1", "COLUMNS": "110", "PYTHONSAFEPATH": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    with (home / ".printed").open("w+") as printed:
        shell = subprocess.Popen(
            ["bash", "--norc", "-c", script], cwd=home, env=environment, stdout=printed, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            shell.wait(SECONDS)
        finally:
            _end(shell)
        printed.seek(0)
        pieces = printed.read().replace(str(home), YOURS).split(END)
    return [Done(int(status), output.splitlines()) for output, status in zip(pieces[::2], pieces[1::2], strict=False)]


def _end(shell: subprocess.Popen[bytes]) -> None:
    """End what is left of its group: gracefully, if it takes no longer than PATIENCE."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + PATIENCE
        try:
            os.killpg(shell.pid, kind)
            while time.monotonic() < deadline:
                shell.poll()
                os.killpg(shell.pid, 0)
                time.sleep(0.05)
        except ProcessLookupError:
            return


def looks_like(shown: list[str], output: list[str]) -> bool:
    """Is `output` what a page shows, but for numbers, ids, blanks, and what is left out?"""
    pattern = "".join(r"(.*\n)*?" if line.strip() == "…" else _pattern(line.strip()) + r"\s*\n" for line in shown)
    return re.fullmatch(pattern, "".join(line.strip() + "\n" for line in output if line.strip())) is not None


def _pattern(line: str) -> str:
    made, at = "", 0
    patterns = {"id": r"\w+", "number": NUMBER, "any": r".*", None: r"\s+"}
    for token in TOKEN.finditer(line):
        made += re.escape(line[at : token.start()]) + patterns[token.lastgroup]
        at = token.end()
    return made + re.escape(line[at:])


def bring(page: Path, home: Path) -> None:
    """Put the files beside a page that it links to into `home`; other pages are none."""
    for name in set(re.findall(r"\]\(([\w.-]+)\)", page.read_text())):
        if not name.endswith(".md") and (page.parent / name).is_file():
            shutil.copy(page.parent / name, home)


def _rewritten(page: str, home: Path) -> str:
    """The page, with what its commands print now."""
    ran = commands(page)
    outcomes = chain(run(ran, home), repeat(Done(-1, ["(not run)"])))
    done = ((command, one) for command, one in zip(ran, outcomes, strict=False) if not command.text.startswith(FILES))

    def rewrite(found: re.Match[str]) -> str:
        if found[2] != "console":
            return found[0]
        lines = []
        for _ in _prompted(textwrap.dedent(found[4])):
            command, (status, output) = next(done)
            if status:
                print(f"exit status {status}: {command.text}", file=sys.stderr)
            same = looks_like([line for line in command.shown if line.strip()], output)
            lines += ["$ " + command.text.replace("\n", "\n> "), *(command.shown if same else output)]
        return f"{found[1]}```console\n{textwrap.indent(chr(10).join(lines), found[1])}\n{found[1]}```"

    return BLOCK.sub(rewrite, page)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            bring(Path(name), Path(folder))
            Path(name).write_text(_rewritten(Path(name).read_text(), Path(folder)))
