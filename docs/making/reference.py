"""The reference: what commands, configuration and control API say of themselves, as pages.

Made whenever the site is built, from the very objects that parse and check, so it can't differ from them.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_type_hints

from gossipfl import completion
from gossipfl_nodes.control.api import operations
from gossipfl_nodes.control.web.openapi import document
from gossipfl_nodes.daemon.config import KEYS, PROFILES, SECTIONS, Key

CLI = """# Commands

What `gossipfl COMMAND --help` says, too. Commands that speak to a daemon take the one of `--home DIR`, or of
`GOSSIPFL_HOME`. Data goes to stdout, what is said about it to stderr; [exit statuses](../operate.md#in-a-shell) tell
programs how it went. Those that take [keys of the configuration](config.md) have a flag for each, as
`--gossip.interval 5`.
"""
CONFIG = """# Configuration

Keys of `config.toml` in a device's home, with their defaults. `gossipfl init` writes that file, with what stands here
as comments. What counts is, from the weakest: these defaults, the [profile](../operate.md#what-kind-of-device),
`config.toml`, the environment, flags. In a list, flags and the environment separate values by commas. `gossipfl config
show --origin` tells where each value comes from, and a wrong one is refused with what is allowed.
"""
API = """# Control API

One daemon's, over HTTP/1.1 on `HOME/run/control.sock`, and [over TCP](../operate.md#over-tcp) if that is wanted. A
running daemon documents itself at `/v1/openapi.json`, from which this page is made; [the document as it
is](openapi.json) is for programs. Whatever is refused is answered by [a problem](../operate.md#for-programs).
"""
BOUNDS = {
    "minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<", "minLength": "length ≥",
    "maxLength": "length ≤", "maxItems": "length ≤",
}  # fmt: skip


def pages() -> dict[str, str]:
    """Texts by their places in the site."""
    described = openapi()
    return {
        "reference/cli.md": cli(),
        "reference/config.md": config(),
        "reference/api.md": api(described),
        "reference/openapi.json": json.dumps(described, indent=2),
    }


def cli() -> str:
    """Every command, with what it takes."""
    return "\n".join(
        [CLI, *(line for _, parser in sorted(completion.parsers().items()) for line in _command(parser, 2))]
    )


def _command(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    yield f"{'#' * level} {parser.prog}\n\n{_text(parser.description)}\n"
    usage = [_written(action) for action in parser._actions if not _is_key(action) and action.dest != "help"]
    keys = ["[--KEY VALUE …]"] if any(map(_is_key, parser._actions)) else []
    yield f"```text\n{' '.join([parser.prog, *usage, *keys])}\n```\n"
    rows = [
        (f"`{', '.join(action.option_strings) or action.metavar or action.dest}`", _help(action))
        for action in parser._actions
        if not _is_key(action) and action.dest != "help" and action not in below
    ]
    if rows:
        yield _table(("argument", "what it is"), rows)
    if parser.epilog:
        yield "```sh\n" + "\n".join(line[2:] for line in parser.epilog.strip().splitlines()[1:]) + "\n```\n"
    for action in below:
        for one in action.choices.values():
            yield from _command(one, level + 1)


def _is_key(action: argparse.Action) -> bool:
    return action.dest in KEYS


def _written(action: argparse.Action) -> str:
    """As it stands in a usage line."""
    if isinstance(action, argparse._SubParsersAction):
        return "COMMAND …"
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    value = " ".join(value) if isinstance(value, tuple) else value
    if action.nargs in ("+", "*"):
        value = f"{value} …"
    if not action.option_strings:
        return f"[{value}]" if action.nargs in ("?", "*") else value
    option = action.option_strings[-1] if action.nargs == 0 else f"{action.option_strings[-1]} {value}"
    return option if action.required else f"[{option}]"


def _help(action: argparse.Action) -> str:
    """With its default and choices filled in, as argparse does it."""
    names = {name: value for name, value in vars(action).items() if value is not argparse.SUPPRESS}
    names["choices"] = ", ".join(map(str, action.choices)) if action.choices else ""
    return _text((action.help or "") % names)


def config() -> str:
    """Every key, with what it means."""
    found = [CONFIG]
    for section in SECTIONS:
        found.append(f"## [{section}]\n" if section else "## In no section\n")
        for key in (key for key in KEYS.values() if key.section == section):
            found.append(f"### {key.path}\n\n{_text(key.description)}\n")
            rows = [
                ("type", kind_of(key)),
                ("default", f"`{_toml(key.default)}`"),
                ("environment", f"`{key.variable}`"),
            ]
            found.append(_table(("", ""), rows))
    found.append("## Profiles\n\nA profile sets these keys; the comments say why.\n")
    found += [f"### {name}\n\n```toml\n{file.read_text()}```\n" for name, file in PROFILES.items()]
    return "\n".join(found)


def kind_of(key: Key) -> str:
    """The type of a key, as people call it, with its bounds."""
    name = {bool: "true or false", int: "whole number", float: "number", str: "text", tuple: "list of texts"}
    bounds = next((meta for meta in getattr(key.type, "__metadata__", ()) if meta.ge is not None), None)
    kind = name[type(key.default)]
    if bounds is None:
        return kind
    return f"{kind} ≥ {bounds.ge:g}" if bounds.le is None else f"{kind}, {bounds.ge:g} to {bounds.le:g}"


def openapi() -> dict[str, Any]:
    """The API's document, whose operations are asked what they are and never called."""
    rooms = {name: kind.__new__(kind) for name, kind in get_type_hints(operations).items() if name != "return"}
    return document(operations(**rooms))


def api(described: dict[str, Any]) -> str:
    """Every path, with what it takes and answers."""
    found = [API]
    for path, methods in described["paths"].items():
        for method, told in methods.items():
            found += _operation(f"{method.upper()} {path}", told)
    found.append("## Types\n")
    for name, schema in described["components"]["schemas"].items():
        found.append(f"### {name}\n\n{_text(schema.get('description'))}\n")
        required = schema.get("required", [])
        rows = []
        for field, of in schema.get("properties", {}).items():
            default = "" if field in required else f"`{json.dumps(of.get('default'))}`"
            rows.append((f"`{field}`", _kind(of), default, _text(of.get("description"))))
        found.append(_table(("field", "type", "default", ""), rows) if rows else f"{_kind(schema)}\n")
    return "\n".join(found)


def _operation(title: str, told: dict[str, Any]) -> Iterator[str]:
    yield f"## {title}\n\n{_text(told['summary'])} {_text(told.get('description'))}\n"
    rows = []
    for one in told["parameters"]:
        schema = one["schema"]
        meaning = one.get("description", schema.get("description"))
        rows.append((f"`{one['name']}`", one["in"], _kind(schema), _text(meaning)))
    if rows:
        yield _table(("parameter", "in", "type", ""), rows)
    if "requestBody" in told:
        yield f"Body: {_contents(told['requestBody']['content'])}.\n"
    yield f"Answer: {_contents(told['responses']['200']['content'])}.\n"


def _contents(contents: dict[str, Any]) -> str:
    return ", or ".join(
        f"`{media}`, {_kind(of['schema'])}" if "schema" in of else f"`{media}`" for media, of in contents.items()
    )


def _kind(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        items = schema.get("items")
        kind = f"list of {_kind(items)}" if isinstance(items, dict) else "list"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        kind = f"object of {_kind(schema['additionalProperties'])}"
    bounds = [f"{sign} {schema[name]:g}" for name, sign in BOUNDS.items() if name in schema]
    return f"{kind} ({', '.join(bounds)})" if bounds else kind


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _text(text: str | None) -> str:
    """As one paragraph of Markdown, in which capitals in pointed brackets are no HTML."""
    return re.sub(r"\s+", " ", text or "").strip().replace("<", "&lt;").replace("|", "\\|")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('||', '|') for cell in row)} |" for row in lines) + "\n"
