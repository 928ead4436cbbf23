"""A scenario: the mesh, its network and devices, what goes wrong, and what must come of it.

Data only, as in a scenario file; each table is a class here. A value is refused by its own class where it makes no
sense alone, and by `plan` where it does not fit the others.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from gossipfl.protocol.settings import Settings
from gossipfl_sims.engine.network import Link
from gossipfl_sims.nemesis.faults import AnyFault, Time

Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Accuracy = Annotated[float, Meta(ge=0, le=1)]
Distance = Annotated[float, Meta(ge=0, le=1e9)]


class TaskChoice(Struct, frozen=True, forbid_unknown_fields=True):
    """[task]: what the nodes learn."""

    name: str = "digits"
    """consensus, quadratic, softmax, digits, npz, sensors, or file.py:factory."""
    data: str = ""
    """What the task reads its data from."""
    options: dict[str, Any] = {}
    """Those of the task, as train_hours = 12 of sensors."""


class Gossip(Settings, frozen=True, forbid_unknown_fields=True):
    """[gossip]: as in a daemon's configuration; and the topology may be any graph that `gossipfl topology` knows."""

    steps: int = 0
    """0: as many as suit the task, as daemons do."""

    def __post_init__(self) -> None:
        if self.steps == 0:
            structs.replace(self, steps=1)  # which checks all else
        else:
            super().__post_init__()

    def _check_topology(self) -> None:
        """It is checked when it is built, for as many nodes as there are."""


class Devices(Struct, frozen=True, forbid_unknown_fields=True):
    """[devices]: how fast they train."""

    seconds_per_step: Annotated[float, Meta(gt=0)] = 0.0005
    """Of the usual device."""
    spread: Annotated[float, Meta(ge=0, le=3)] = 0.0
    """σ of the log-normal law of speeds: with .8 the fastest sixth is 5 times as fast as the slowest."""
    slow: Annotated[int, Meta(ge=0)] = 0
    """So many devices are slower than that law says …"""
    slow_factor: Annotated[float, Meta(ge=1)] = 10.0
    """… by this factor."""


class Phases(Struct, frozen=True, forbid_unknown_fields=True):
    """[time]: in virtual seconds."""

    faulty: Time = 60.0
    """What goes wrong goes wrong before."""
    healed: Time = 60.0
    """So long, nothing does any more."""
    sample: Annotated[float, Meta(ge=0.01, le=1e9)] = 2.0
    """Between two looks at the whole mesh."""


class Expect(Struct, frozen=True, forbid_unknown_fields=True):
    """[expect]: what must be true at the end; otherwise the run has failed."""

    mean_accuracy: Accuracy | None = None
    worst_accuracy: Accuracy | None = None
    error: Distance | None = None
    """The largest mean `error` of tasks that have one."""
    disagreement: Distance | None = None
    """The largest root mean square distance of the models from their mean, per coordinate."""


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """A scenario file."""

    about: str = ""
    """What it is for, in a sentence."""
    nodes: Count = 16
    bootstraps: Count = 3
    """So many of the first nodes have addresses that all others know."""
    task: TaskChoice = TaskChoice()
    gossip: Gossip = Gossip()
    network: Link = Link()
    devices: Devices = Devices()
    time: Phases = Phases()
    faults: tuple[AnyFault, ...] = ()
    expect: Expect = Expect()
