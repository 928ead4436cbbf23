"""The state of a peer: all that its parts share, and the outbox for what it wants to happen.

Owns nothing but the references: each object keeps its own invariants. Knows no event; the clock is an argument wherever
it matters.
"""

from __future__ import annotations

import random

from gossipfl.kernels import Kernel
from gossipfl.membership.charter import Charter, Members
from gossipfl.model.bases import Bases
from gossipfl.model.replica import Replica
from gossipfl.model.schema import Schema, Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.budget import Budget
from gossipfl.protocol.contacts import Contacts
from gossipfl.protocol.joining import Joining
from gossipfl.protocol.neighbourhood import Neighbourhood
from gossipfl.protocol.pace import Pace
from gossipfl.protocol.parts.wanted import Wanted
from gossipfl.protocol.saved import Saved
from gossipfl.protocol.settings import Settings
from gossipfl.wire import frames
from gossipfl.wire import messages as msg
from gossipfl_topology.live import Topology, named


class State:
    """What `me` is, has, and knows. `Peer` says what the arguments mean."""

    def __init__(
        self,
        me: str,
        schema: Schema,
        initial: Vector,
        settings: Settings,
        rng: random.Random,
        *,
        incarnation: int,
        addresses: tuple[str, ...],
        topology: Topology | None,
        kernel: Kernel,
        saved: Saved | None,
        charter: Charter | None,
    ) -> None:
        self.me = me
        self.settings = settings
        self.addresses = addresses[: msg.MAX_ADDRESSES]
        self.rng = rng
        self.kernel = kernel
        self.fingerprint = schema.fingerprint
        self.incarnation, self.seq = incarnation, 0
        self.replica = Replica(schema, saved.model if saved else initial, kernel)
        self.bases = Bases(saved.base if saved else self.replica.lend())
        self.neighbourhood = Neighbourhood(me)
        self.members = Members(me, settings.mesh, charter) if charter is not None else None
        """Whom this node has to do with; anybody where the mesh is open."""
        self.contacts = Contacts(me, settings.role, self.neighbourhood, topology or named(settings.topology), rng)
        self.wanted = Wanted(self.neighbourhood)
        self.pace = Pace(settings, saved.notes if saved else None)
        self.budget = Budget(settings.budget, saved.notes.budget if saved else None)
        self.apart = 0.0
        """The usual distance of a peer's model to ours, a running mean; 0 before the first merge."""
        self.joining: Joining | None = Joining()
        """The attempt to join that is under way; None while the node learns."""
        self.out: list[ev.Effect] = []
        """What the event that is being handled leads to."""

    def emit(self, effect: ev.Effect) -> None:
        """Let `effect` happen."""
        self.out.append(effect)

    def send(self, peer: str, message: msg.Message) -> None:
        """Say `message` to `peer`."""
        self.post((peer,), msg.encode(message))

    def post(self, to: tuple[str, ...], body: bytes, *, supersedes: bool = False) -> None:
        """Send a frame body; all that leaves this node goes through here."""
        self.budget.spend((len(body) + frames.LENGTH_BYTES) * len(to))
        self.out.append(ev.Send(to, body, supersedes))

    def rate(self) -> float:
        """q: publishes per second from here to one neighbour."""
        return self.pace.rate(self.contacts.chance())

    def epoch(self, now: float) -> int:
        """How many publish intervals there were since the clock began."""
        return int(now // self.settings.interval)
