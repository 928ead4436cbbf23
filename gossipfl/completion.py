"""Shell completion: `gossipfl completion bash|zsh|fish` prints a script that the shell sources.

The script is made from the commands' own parsers, so it knows what they know. A command builds its parser when it is
called and lets it parse first of all; so each is called up to there, and hands its parser over instead.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from gossipfl.cli import GROUP, Exit, spoken

FILES = ("FILE", "DIR", "PATH", "FILE|-")
"""What an argument that is a file is called in the help."""
SHELLS = ("bash", "zsh", "fish")
EXAMPLES = """examples:
  source <(gossipfl completion bash)        in ~/.bashrc; zsh and ~/.zshrc, after compinit, likewise
  gossipfl completion fish | source         in ~/.config/fish/config.fish
"""


def completion(arguments: list[str]) -> int:
    """Print a script that completes gossipfl's commands and options in a shell."""
    parser = argparse.ArgumentParser(
        "gossipfl completion", description=completion.__doc__, epilog=EXAMPLES, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("shell", choices=SHELLS)
    given = parser.parse_args(arguments)
    script = {"bash": _bash, "zsh": _zsh, "fish": _fish}[given.shell]
    print(script(list(_places(parsers()))), end="")
    return Exit.OK


class Word(NamedTuple):
    """What can stand at a place: a command, an option, or a value."""

    text: str
    help: str = ""


class Place(NamedTuple):
    """Where one can be in a command line: after these words, the first of which is a command."""

    after: tuple[str, ...]
    words: list[Word]
    files: bool
    """Can a file stand here?"""
    values: dict[str, list[Word] | None]
    """What follows an option that takes a value; None for a file."""


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, by its name of one or two words."""
    found = {}
    for point in distribution("gossipfl").entry_points.select(group=GROUP):
        with _handing_over():
            try:
                point.load()([])
            except _Built as built:
                found[spoken(point)] = built.parser
    return found


class _Built(Exception):  # noqa: N818 - not an error
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


@contextlib.contextmanager
def _handing_over() -> Iterator[None]:
    """Have parsers raise themselves where they would parse."""

    def hand_over(self: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        raise _Built(self)

    usual = argparse.ArgumentParser.parse_args
    argparse.ArgumentParser.parse_args = hand_over  # type: ignore[method-assign]
    try:
        yield
    finally:
        argparse.ArgumentParser.parse_args = usual  # type: ignore[method-assign]


def _places(commands: dict[str, argparse.ArgumentParser]) -> Iterator[Place]:
    words: dict[tuple[str, ...], list[Word]] = {(): []}
    for name, parser in sorted(commands.items()):
        *group, last = name.split()
        if group and tuple(group) not in words:
            words[()].append(Word(group[0]))
        words.setdefault(tuple(group), []).append(Word(last, _first_line(parser.description)))
    words[()] += [Word("--help"), Word("--version")]
    for after, offered in words.items():
        yield Place(after, offered, False, {})
    for name, parser in sorted(commands.items()):
        yield from _within(tuple(name.split()), parser)


def _within(after: tuple[str, ...], parser: argparse.ArgumentParser) -> Iterator[Place]:
    """The place after `after`, and those behind it."""
    words: list[Word] = []
    values: dict[str, list[Word] | None] = {}
    files = False
    for action in parser._actions:  # noqa: SLF001 - argparse shows them to nobody else
        choices = [Word(str(choice)) for choice in action.choices or ()]
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            words += [Word(name, _first_line(below.description)) for name, below in action.choices.items()]
            for name, below in action.choices.items():
                yield from _within((*after, name), below)
        elif action.option_strings:
            words += [Word(option, _first_line(action.help)) for option in action.option_strings]
            if action.nargs != 0:
                known = None if _is_file(action) else choices if len(choices) < 20 else []
                values |= dict.fromkeys(action.option_strings, known)
        else:
            words += choices
            files = files or _is_file(action)
    yield Place(after, sorted(words, key=lambda word: word.text.startswith("-")), files, values)


def _is_file(action: argparse.Action) -> bool:
    return action.type is Path or action.metavar in FILES


def _first_line(text: str | None) -> str:
    """Without what a shell would take for its own."""
    line = (text or "").strip().partition("\n")[0].partition(". ")[0].replace("%%", "%")
    return line.rstrip(".")


def _texts(words: Sequence[Word]) -> str:
    return shlex.quote(" ".join(word.text for word in words))


def _bash(places: list[Place]) -> str:
    lines = [
        "# Completion of gossipfl for bash; made by: gossipfl completion bash",
        "_gossipfl() {",
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at= words= files= i",
        "    COMPREPLY=()",
        "    for ((i = 1; i < COMP_CWORD; i++)); do",
        '        case "$at ${COMP_WORDS[i]}" in',
        f"            {'|'.join(_pattern(place.after) for place in places if place.after)})",
        '                at="$at ${COMP_WORDS[i]}" ;;',
        "        esac",
        "    done",
        '    case "$at $prev" in',
    ]
    for place in places:
        for option, values in place.values.items():
            reply = "files=yes" if values is None else f"words={_texts(values)}"
            lines.append(f"        {_pattern((*place.after, option))}) {reply} ;;")
    lines += ["        *)", '            case "$at" in']
    for place in places:
        files = " files=yes" if place.files else ""
        lines.append(f"                {_pattern(place.after)}) words={_texts(place.words)}{files} ;;")
    lines += [
        "            esac ;;",
        "    esac",
        '    COMPREPLY=($(compgen -W "$words" -- "$cur"))',
        "    if [[ $files && $cur != -* ]]; then",
        "        compopt -o filenames 2>/dev/null",
        '        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$cur")',
        "    fi",
        "}",
        "complete -F _gossipfl gossipfl",
    ]
    return "\n".join(lines) + "\n"


def _pattern(words: Sequence[str]) -> str:
    """As a case has it: each word after a blank."""
    return shlex.quote("".join(f" {word}" for word in words)) if words else "''"


def _zsh(places: list[Place]) -> str:
    lines = [
        "#compdef gossipfl",
        "# Completion of gossipfl for zsh; made by: gossipfl completion zsh",
        "_gossipfl() {",
        "    local at= files= i prev=${words[CURRENT-1]}",
        "    local -a items",
        "    for ((i = 2; i < CURRENT; i++)); do",
        '        case "$at ${words[i]}" in',
        f"            ({'|'.join(_pattern(place.after) for place in places if place.after)})",
        '                at="$at ${words[i]}" ;;',
        "        esac",
        "    done",
        '    case "$at $prev" in',
    ]
    for place in places:
        for option, values in place.values.items():
            reply = "files=yes" if values is None else f"items=({_described(values)})"
            lines.append(f"        ({_pattern((*place.after, option))}) {reply} ;;")
    lines += ["        (*)", '            case "$at" in']
    for place in places:
        files = " files=yes" if place.files else ""
        lines.append(f"                ({_pattern(place.after)}) items=({_described(place.words)}){files} ;;")
    lines += [
        "            esac ;;",
        "    esac",
        "    (( ${#items} )) && _describe gossipfl items",
        "    [[ -n $files && $PREFIX != -* ]] && _files",
        "}",
        'if [[ ${funcstack[1]} == _gossipfl ]]; then _gossipfl "$@"; else compdef _gossipfl gossipfl; fi',
    ]
    return "\n".join(lines) + "\n"


def _described(words: Sequence[Word]) -> str:
    """As _describe has it: text:help."""
    return " ".join(
        shlex.quote(word.text.replace(":", "\\:") + (f":{word.help}" if word.help else "")) for word in words
    )


def _fish(places: list[Place]) -> str:
    lines = [
        "# Completion of gossipfl for fish; made by: gossipfl completion fish",
        "function __gossipfl_at",
        "    set -l at",
        "    for word in (commandline -opc)[2..]",
        '        if contains -- (string join -- " " $at $word) ' + " ".join(
            shlex.quote(" ".join(place.after)) for place in places if place.after
        ),
        "            set -a at $word",
        "        end",
        "    end",
        '    test "$at" = "$argv"',
        "end",
        "complete -c gossipfl -f",
    ]  # fmt: skip
    for place in places:
        at = f"complete -c gossipfl -n {shlex.quote(' '.join(['__gossipfl_at', *place.after]))}"
        for word in place.words:
            option = _fish_option(word.text)
            what = option or f"-a {shlex.quote(word.text)}"
            if word.text in place.values:
                values = place.values[word.text]
                what += " -rF" if values is None else f" -xa {_texts(values)}"
            lines.append(f"{at} {what}" + (f" -d {shlex.quote(word.help)}" if word.help else ""))
        if place.files:
            lines.append(f"{at} -F")
    return "\n".join(lines) + "\n"


def _fish_option(text: str) -> str:
    if text.startswith("--"):
        return f"-l {text[2:]}"
    return f"-s {text[1:]}" if text.startswith("-") else ""
