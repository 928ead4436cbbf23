"""Faults: what a scenario can ask to go wrong. Data only; `nemesis` carries it out.

Times are virtual seconds since the start of the run. `nodes` is how many machines, drawn at random, or a list of their
numbers, from 0. A fault ends when it has lasted, and in any case when the run's faulty phase is over.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from gossipfl_sims.engine.network import Share

Time: TypeAlias = Annotated[float, Meta(ge=0, le=1e9)]
Span: TypeAlias = Annotated[float, Meta(gt=0, le=1e9)]
Nodes: TypeAlias = Annotated[int, Meta(ge=1)] | tuple[Annotated[int, Meta(ge=0)], ...]
Shape: TypeAlias = Literal["halves", "groups", "ring", "bridge"]
LieName: TypeAlias = Literal["garbage", "nan", "huge", "replay", "leap", "age", "rate", "schema", "flip"]
MILD: tuple[LieName, ...] = ("garbage", "nan", "huge", "replay", "leap", "age", "rate", "schema")
"""All but `flip`: a model that points the other way is well-formed, and merging can't tell it from an honest one."""


class Fault(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """Something that goes wrong at a time, and for a while."""

    at: Time
    lasts: Span | None = None
    """Until the end of the faulty phase if not given."""


class Partition(Fault, frozen=True, tag="partition"):
    """The network falls apart, and frames between the parts are lost.

    `halves` and `groups` are drawn at random; in a `ring` everybody reaches only the nearest half of the others, so
    that no two see the same; a `bridge` is one machine that two halves reach, which don't reach each other. With
    `first` there are two parts: those machines, and the others.
    """

    shape: Shape = "halves"
    groups: Annotated[int, Meta(ge=2)] = 2
    first: tuple[Annotated[int, Meta(ge=0)], ...] = ()
    """Who is in the first part, by number; if nobody is named, `shape` says it."""
    one_way: bool = False
    """Is only one direction blocked: from the first part to the others?"""


class Hold(Fault, frozen=True, tag="hold"):
    """As a partition into halves, but frames between them wait, and arrive when it is over."""


class Weather(Fault, frozen=True, tag="weather"):
    """All links are worse for a while."""

    loss: Share | None = None
    duplication: Share | None = None
    reordering: Share | None = None
    corruption: Share | None = None
    latency: Annotated[float, Meta(ge=0)] | None = None


class OnNodes(Fault, frozen=True, kw_only=True):
    """Something that goes wrong for some machines."""

    nodes: Nodes = 1


class Crash(OnNodes, frozen=True, tag="crash"):
    """kill -9; the machines come back after `lasts`.

    Without `disk` they come back as somebody else, but for those that others bootstrap from: their keys are backed up.
    """

    disk: bool = True


class Bounce(OnNodes, frozen=True, tag="bounce"):
    """kill -9, and started again at once."""


class Pause(OnNodes, frozen=True, tag="pause"):
    """kill -STOP, and -CONT after `lasts`."""


class Slow(OnNodes, frozen=True, tag="slow"):
    """Training takes `factor` times as long."""

    factor: Annotated[float, Meta(ge=1)] = 10.0


class Skew(OnNodes, frozen=True, tag="skew"):
    """Clocks run `rate` times as fast as time."""

    rate: Annotated[float, Meta(ge=0.1, le=10)] = 1.1


class Lie(OnNodes, frozen=True, tag="lie"):
    """The machines send lies instead of every `every`-th frame of theirs."""

    how: Annotated[tuple[LieName, ...], Meta(min_length=1)] = MILD
    every: Annotated[int, Meta(ge=1)] = 2


class Join(OnNodes, frozen=True, tag="join"):
    """Machines that were not there before start, spread over `lasts`: a flash crowd."""


class Leave(OnNodes, frozen=True, tag="leave"):
    """Machines leave for good: on purpose, or with `crash` without a word."""

    crash: bool = False


class Upgrade(OnNodes, frozen=True, tag="upgrade"):
    """The machines stop on purpose and start again, one after the other, spread over `lasts`."""

    down: Span = 2.0
    """Seconds that each is down."""


class Churn(OnNodes, frozen=True, tag="churn"):
    """Machines come and go: sessions and absences are exponential (Poisson leaves and joins)."""

    up: Span = 60.0
    """Mean seconds of a session."""
    down: Span = 30.0
    """Mean seconds of an absence."""


class Diurnal(OnNodes, frozen=True, tag="diurnal"):
    """Phones: awake on the charger for a share of each day, at about the same hours, and asleep for the rest."""

    day: Span = 100.0
    """Seconds of a day."""
    awake: Annotated[float, Meta(gt=0, le=1)] = 0.4
    """Share of the day, ± a fifth of it from phone to phone."""


class DutyCycle(OnNodes, frozen=True, tag="duty-cycle"):
    """Sensors that save power: awake for a share of each period, each at a time of its own."""

    period: Span = 10.0
    awake: Annotated[float, Meta(gt=0, le=1)] = 0.5


class Chaos(Fault, frozen=True, tag="chaos"):
    """Any of the others at random, about `rate` a second: what the seed makes of it."""

    rate: Span = 1.0


AnyFault: TypeAlias = (
    Partition
    | Hold
    | Weather
    | Crash
    | Bounce
    | Pause
    | Slow
    | Skew
    | Lie
    | Join
    | Leave
    | Upgrade
    | Churn
    | Diurnal
    | DutyCycle
    | Chaos
)
