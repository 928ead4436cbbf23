"""A machine: one simulated device, with its task, its clock, its disk, and its peer while it is up.

Holds what a device is and what has become of it; the world moves it. What survives a crash is what stands under
"disk": who the device is, how often it has started, and what its peer saved last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from gossipfl.membership.charter import Charter
from gossipfl.protocol.peer import Peer
from gossipfl.protocol.saved import Saved, Schedule
from gossipfl.tasks.task import Task
from gossipfl_sims.engine.uplink import Uplink

Lie: TypeAlias = Callable[[bytes, str], Iterable[bytes]]
"""What a lying peer sends instead of a frame to a receiver."""


class Machine:
    """Device number `index`, which calls itself `name`."""

    __slots__ = (
        "asleep_since", "asleep_until", "bytes_sent", "charter", "frames_sent", "identity", "incarnation", "index",
        "lie", "life", "links", "merges", "name", "offset", "peer", "rate", "role", "saved", "schedule",
        "seconds_per_step", "slowdown", "task", "timers", "uplink",
    )  # fmt: skip

    def __init__(self, index: int, name: str, task: Task, seconds_per_step: float, role: str) -> None:
        self.index = index
        self.task = task
        self.seconds_per_step = seconds_per_step
        self.role = role
        # disk
        self.identity = name
        self.name = name
        self.incarnation = 0
        self.saved: Saved | None = None
        self.charter: Charter | None = None
        """Where the mesh is closed."""
        # process
        self.peer: Peer | None = None
        self.schedule = Schedule()
        self.life = 0
        """Starts so far, of whatever identity: what was on its way to an earlier life does not arrive."""
        self.timers: dict[Any, int] = {}
        self.asleep_since = self.asleep_until = 0.0
        """Until then nothing happens here: the process is stopped, or the device asleep."""
        self.slowdown = 1.0
        """By how much longer training takes than usual."""
        self.lie: Lie | None = None
        # clock
        self.offset, self.rate = 0.0, 1.0
        # network
        self.links: dict[str, int] = {}
        """By peer: the number of the link. The other end of a link that died may not have noticed yet."""
        self.uplink = Uplink()
        self.bytes_sent = self.frames_sent = self.merges = 0

    @property
    def up(self) -> bool:
        """Does its process run? It may be asleep."""
        return self.peer is not None

    def clock(self, now: float) -> float:
        """What this device's clock shows, in seconds."""
        return self.offset + self.rate * now

    def drift(self, now: float, rate: float) -> None:
        """From `now` on the clock runs `rate` times as fast as time, without a jump."""
        self.offset += (self.rate - rate) * now
        self.rate = rate

    def save(self) -> None:
        """Put what the peer must remember on the disk, as it is now; that it stays so is the peer's part."""
        assert self.peer is not None
        self.saved = self.peer.save()

    def accuracy(self) -> float:
        """Of the served model, on the task's held-out data; NaN for tasks that know none."""
        return self.metrics().get("accuracy", float("nan"))

    def metrics(self) -> dict[str, float]:
        """Of the served model, on the task's held-out data."""
        assert self.peer is not None
        return self.task.evaluate(self.peer.replica.full_served())
