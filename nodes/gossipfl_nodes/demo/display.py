"""What a person sees of the demo: a live table on stderr while it runs, the closing table on stdout."""

from __future__ import annotations

from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gossipfl.output.terminal import number, size
from gossipfl_nodes.demo.mesh import Member, Mesh

LINE_EVERY = 5.0
"""Seconds between two lines where stderr is not a terminal."""


class Display:
    """The live table, or now and then a line where there is no terminal."""

    def __init__(self, headline: str) -> None:
        self._headline = headline
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._next_line = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.__enter__()
        else:
            self._console.print(self._headline)
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.__exit__(None, None, None)

    def update(self, mesh: Mesh, note: str) -> None:
        """Show the mesh as it was last observed."""
        accuracies = [member.accuracy for member in mesh.members if member.accuracy is not None]
        mean = f"mean accuracy {sum(accuracies) / len(accuracies):.3f}" if accuracies else "no accuracy yet"
        line = f"{mesh.elapsed:5.1f} s  {mean}  {note}"
        if self._console.is_terminal:
            self._live.update(Group(Text(self._headline), _live_table(mesh.members), Text(line)), refresh=True)
        elif mesh.elapsed >= self._next_line:
            self._next_line = mesh.elapsed + LINE_EVERY
            self._console.print(line)


def _live_table(members: list[Member]) -> Table:
    table = Table("node", "id", "state", "accuracy", "peers", "merges", "sent", "received", box=None)
    for index, member in enumerate(members):
        status = member.status
        state = status.get("state", "starting") if member.alive else "killed"
        accuracy = "–" if member.accuracy is None else f"{member.accuracy:.3f}"
        table.add_row(
            str(index), member.id[-8:], state, accuracy, str(status.get("peers", "–")), str(member.total("merges")),
            size(member.total("bytes_sent")), size(member.total("bytes_received")),
        )  # fmt: skip
    return table


def print_result(result: dict[str, Any]) -> None:
    """The closing table, and what was measured beside it."""
    console = Console()
    table = Table("node", "id", "accuracy", "peers", "merges", "longest gap", "sent", "received", "restarts", box=None)
    for index, node in enumerate(result["nodes"]):
        table.add_row(
            str(index), node["id"][-8:], number(node["accuracy"]), str(node["peers"]), str(node["merges"]),
            f"{node['longest_gap']:.1f} s", size(node["bytes_sent"]), size(node["bytes_received"]),
            str(node["restarts"]),
        )  # fmt: skip
    console.print(table)
    spread = f"mean {number(result['mean_accuracy'])}   worst {number(result['worst_accuracy'])}"
    console.print(f"\nmesh        {spread}")
    console.print(f"local only  {number(result['local_only_accuracy'])}   each node alone, as many steps")
    console.print(
        f"central     {number(result['central_accuracy'])}   all data together, {result['central_steps']} steps"
    )
    ready = result["seconds_to_all_training"]
    console.print(
        f"\n{result['seconds']:.1f} s; all nodes trained after {'–' if ready is None else f'{ready:.1f} s'}", end=""
    )
    if result["target"] is not None:
        reached = result["seconds_to_target"]
        console.print(
            f"; {result['target']} " + ("not reached" if reached is None else f"reached after {reached:.1f} s"), end=""
        )
    console.print()
    if result["loopback_bytes_per_node"] is not None:
        console.print(f"{size(result['loopback_bytes_per_node'])} sent per node, by this machine's loopback counter")
    if result["pss_bytes"] is not None:
        console.print(f"{size(result['pss_bytes'])} memory (PSS) of all processes at the most")
