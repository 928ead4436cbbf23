"""The command that takes the served model out as a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from http.client import HTTPResponse
from pathlib import Path

from gossipfl.cli import Exit
from gossipfl.output.files import write_durably
from gossipfl.output.terminal import print_json, shown, size
from gossipfl_nodes.commands import client, options
from gossipfl_nodes.disk.home import Home

EXAMPLES = """
gossipfl export model.safetensors
gossipfl export model.onnx --int8
"""
FORMATS = ("safetensors", "onnx")
TIMEOUT = 120.0
"""Seconds: longer than the daemon takes to give up."""
CHUNK = 1 << 20


def export(arguments: list[str]) -> int:
    """Write the model that this device's daemon serves to a file, whole or not at all, and check what it predicts."""
    parser = options.parser("export", export.__doc__, EXAMPLES, json=True)
    parser.add_argument("file", type=Path, metavar="FILE.safetensors|FILE.onnx", help="the file to write")
    parser.add_argument("--int8", action="store_true", help="ONNX with int8 weights, and what that costs")
    given = parser.parse_args(arguments)
    kind = given.file.suffix.removeprefix(".")
    if kind not in FORMATS:
        near = get_close_matches(kind, FORMATS, 1)
        hint = f"; did you mean {given.file.with_suffix('.' + near[0])}?" if near else ""
        parser.error(f"{given.file}: allowed is a name that ends in .safetensors or .onnx{hint}")
    if given.int8 and kind != "onnx":
        parser.error("--int8 is for .onnx files")
    body = {"format": kind, "int8": given.int8}
    with client.asked(Home(given.home), "POST", "/v1/export", body, timeout=TIMEOUT) as response:
        found = json.loads(response.headers["Gossipfl-Export"])
        write_durably(given.file, _content(response))
    found |= {"file": str(given.file), "bytes": given.file.stat().st_size}
    if given.json:
        print_json(found)
    version = found["version"]
    print(
        f"{given.file}: {size(found['bytes'])}, model {version['incarnation']}.{version['seq']}, age"
        f" {shown(version['age'])}",
        file=sys.stderr,
    )
    if kind == "onnx":
        most = found.get("difference", 0)
        print(f"predictions differ by {most:.1g} at most, on {found['rows']} rows", file=sys.stderr)
    if "score" in found:
        print(f"{found['score']} {found['float32']:.4f} in float32, {found['int8']:.4f} in int8", file=sys.stderr)
    return Exit.OK


def _content(response: HTTPResponse) -> Iterator[bytes]:
    left = int(response.headers["Content-Length"])
    while chunk := response.read(CHUNK):
        left -= len(chunk)
        yield chunk
    if left:
        raise ConnectionError("the daemon broke off")
