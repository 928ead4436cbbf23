"""The seam: what can happen to a peer, and what a peer can want.

`Peer.handle(event, now)` takes one Event and returns Effects. The driver, one in the daemon and one in the simulator,
turns the world into events and carries out the effects; it never looks inside a frame or a timer.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Struct

from gossipfl.membership.charter import Revocation
from gossipfl.model.schema import Vector
from gossipfl_topology.live import Topology


class Started(Struct, frozen=True, gc=False):
    """The node runs; the first event."""


class Connected(Struct, frozen=True, gc=False):
    """There is a link to `peer`: sends to it may arrive from now on. Have we `dialled` it?"""

    peer: str
    dialled: bool = False


class Disconnected(Struct, frozen=True, gc=False):
    """The link to `peer` is gone."""

    peer: str


class DialFailed(Struct, frozen=True, gc=False):
    """A Dial of `peer` came to nothing; there may be a link that came the other way meanwhile."""

    peer: str


class Found(Struct, frozen=True, gc=False):
    """The network has come across `peer`, where it can be reached: on the LAN, or in a directory. Hearsay, as ever."""

    peer: str
    addresses: tuple[str, ...]


class Readdressed(Struct, frozen=True, gc=False):
    """From now on, this node can be reached at `addresses`."""

    addresses: tuple[str, ...]


class Received(Struct, frozen=True, gc=False):
    """A frame body came from `peer`, exactly as the network delivered it."""

    peer: str
    body: bytes


class Trained(Struct, frozen=True):
    """Local training ended: `delta` is its result minus the vector that it started from, after `steps` steps.

    It need only be there while the event is handled.
    """

    training: int
    delta: Vector
    steps: int


class TrainingFailed(Struct, frozen=True, gc=False):
    """Local training broke; the peer goes on with what it has."""

    training: int
    reason: str


class TimerFired(Struct, frozen=True, gc=False):
    """The timer that SetTimer handed out is due."""

    timer: Any


class Rewired(Struct, frozen=True):
    """From now on, `topology` says who gets a publish."""

    topology: Topology


class Revoke(Struct, frozen=True, gc=False):
    """The user of this device bans another one; in a mesh that is closed."""

    revocation: Revocation


class Paused(Struct, frozen=True, gc=False):
    """Begin no more local training; what has begun counts. Publishing and merging go on."""


class Resumed(Struct, frozen=True, gc=False):
    """Train again, from the next publish interval on."""


class Hurried(Struct, frozen=True, gc=False):
    """Publish now, beside the publishes of every interval."""


class Stopping(Struct, frozen=True, gc=False):
    """The node is about to leave; the last event."""


Event: TypeAlias = (
    Started
    | Connected
    | Disconnected
    | DialFailed
    | Found
    | Readdressed
    | Received
    | Trained
    | TrainingFailed
    | TimerFired
    | Rewired
    | Revoke
    | Paused
    | Resumed
    | Hurried
    | Stopping
)


class Send(Struct, frozen=True, gc=False):
    """Send the frame `body` to each of `to`. With `supersedes`, an earlier such frame still queued is obsolete."""

    to: tuple[str, ...]
    body: bytes
    supersedes: bool = False


class Dial(Struct, frozen=True, gc=False):
    """Make a link to `peer`, trying every address. DialFailed follows if none answers."""

    peer: str
    addresses: tuple[str, ...]


class Disconnect(Struct, frozen=True, gc=False):
    """Cut the link to `peer`."""

    peer: str
    reason: str


class SetTimer(Struct, frozen=True, gc=False):
    """Hand `timer` back in `delay` seconds; a timer that equals a pending one replaces it."""

    timer: Any
    delay: float


class Train(Struct, frozen=True):
    """Train on local data for `steps` steps from the full vector `start`; answer with Trained or TrainingFailed.

    `start` is the model itself, so it is only there until the next event is handled. `age` is how many local steps it
    contains.
    """

    training: int
    start: Vector
    steps: int
    age: float


class Joined(Struct, frozen=True, gc=False):
    """The node begins to learn: `sources` are the peers whose snapshots it took up, none at a cold start."""

    sources: tuple[str, ...]


class Published(Struct, frozen=True, gc=False):
    """A version of the model went out: `size` bytes of frames, to all of `to` together."""

    seq: int
    to: tuple[str, ...]
    size: int


class Merged(Struct, frozen=True, gc=False):
    """A peer's version was mixed in with `weight`; `staleness` in gossip intervals."""

    peer: str
    staleness: float
    weight: float


class Refused(Struct, frozen=True, gc=False):
    """Something from `peer` was refused, and changed nothing."""

    peer: str
    reason: str


class Failed(Struct, frozen=True, gc=False):
    """Something local went wrong; the node goes on."""

    reason: str


class Suspected(Struct, frozen=True, gc=False):
    """`peer`, whom there is a link with, does not answer, neither us nor others."""

    peer: str


class Died(Struct, frozen=True, gc=False):
    """`peer` has not refuted in time that it is dead; the link is cut."""

    peer: str


class Partitioned(Struct, frozen=True, gc=False):
    """So many peers can't be reached any more, and so many are there: the mesh looks split. Nothing has to be done."""

    missing: int
    there: int


class Healed(Struct, frozen=True, gc=False):
    """It does not look split any longer."""

    missing: int
    there: int


class Admitted(Struct, frozen=True, gc=False):
    """`peer` has shown, now or before, that it is of the mesh: on this link it is no stranger any more."""

    peer: str


class Revoked(Struct, frozen=True, gc=False):
    """A device is of the mesh no more, perhaps this one. To be remembered: it was not known before."""

    revocation: Revocation


Report: TypeAlias = (
    Joined | Published | Merged | Refused | Failed | Suspected | Died | Partitioned | Healed | Admitted | Revoked
)
Effect: TypeAlias = Send | Dial | Disconnect | SetTimer | Train | Report
