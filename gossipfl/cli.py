"""The front door: `gossipfl COMMAND …`.

Finds commands by the entry points `gossipfl.commands` of this distribution and imports one only when it is called, so
`gossipfl --help` answers at once: the line about each command is read from its source. A command of two words, as
`city init`, is a point with a dot in between. Owns exit codes and how errors look; knows no command.
"""

from __future__ import annotations

import ast
import enum
import importlib.util
import os
import signal
import sys
from difflib import get_close_matches
from importlib.metadata import EntryPoint, distribution

from gossipfl.errors import LocalError

GROUP = "gossipfl.commands"

USAGE = """usage: gossipfl COMMAND [OPTIONS]

Learn together without a server: every device trains on its own data and gossips model deltas.

{commands}

gossipfl COMMAND --help tells more. First steps: gossipfl demo; then gossipfl init and gossipfl run on each device.
Exit status: 0 done, 1 failed, 2 wrong usage, 3 no daemon runs, 4 no device here yet, 65 bad data, 73 can't be made,
75 try again, 78 bad configuration, 130 interrupted.
"""


class Exit(enum.IntEnum):
    """What the process status means."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3
    NOT_READY = 4
    BAD_DATA = 65
    CANNOT_CREATE = 73
    TRY_AGAIN = 75
    BAD_CONFIG = 78
    INTERRUPTED = 130


def main() -> None:
    """Run the command that the process arguments name, and exit."""
    # Restored, because `__main__` lets the kernel end the process while modules are still imported.
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Before anything imports numpy: vectors here are bound by memory, or short, so that threads only cost; and sums by
    # another number of threads differ, which a simulator must not.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command, and return the exit status."""
    commands = {spoken(point): point for point in distribution("gossipfl").entry_points.select(group=GROUP)}
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE.format(commands=_listed(commands)), end="")
        return Exit.OK if arguments else Exit.USAGE
    if arguments[0] in ("-V", "--version", "version"):
        print(f"gossipfl {distribution('gossipfl').version}")
        return Exit.OK
    words = 2 if " ".join(arguments[:2]) in commands else 1
    name, rest = " ".join(arguments[:words]), arguments[words:]
    if within := {full: point for full, point in commands.items() if full.startswith(f"{name} ")}:
        asked = rest[:1] in (["-h"], ["--help"])
        print(f"usage: gossipfl {name} ACTION [OPTIONS]\n\n{_listed(within)}", file=sys.stdout if asked else sys.stderr)
        return Exit.OK if asked else Exit.USAGE
    if name not in commands:
        near = get_close_matches(name, commands, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(commands))}"
        print(f"gossipfl: no command {name!r}; {hint}", file=sys.stderr)
        return Exit.USAGE
    try:
        status: int = commands[name].load()(rest)
    except LocalError as error:
        print(f"gossipfl {name}: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads on: not an error
        return Exit.OK
    return status


def spoken(point: EntryPoint) -> str:
    """A command as it is typed."""
    return point.name.replace(".", " ")


def _listed(commands: dict[str, EntryPoint]) -> str:
    width = max(map(len, commands))
    return "\n".join(f"  {name:{width}}  {_summary(point)}" for name, point in sorted(commands.items()))


def _summary(point: EntryPoint) -> str:
    """The first line of the command's docstring, without importing it."""
    spec = importlib.util.find_spec(point.module)
    if spec is None or spec.origin is None:
        return ""
    with open(spec.origin, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == point.attr:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""
