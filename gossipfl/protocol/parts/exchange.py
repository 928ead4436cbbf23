"""Exchange: bases and snapshots, asked for and given, and which base to publish against.

What is asked for is small and what is given is not, so nobody is given twice at short notice. Encodes this node's
models; never changes one.
"""

from __future__ import annotations

from gossipfl.codec.codec import encode
from gossipfl.codec.coordinates import All
from gossipfl.codec.quantisers import quantiser
from gossipfl.errors import RemoteError
from gossipfl.model.bases import name_of, parse
from gossipfl.model.replica import REFUSE_RADII
from gossipfl.protocol.neighbour import Neighbour
from gossipfl.protocol.parts.state import State
from gossipfl.wire import messages as msg

SNAPSHOT = quantiser("int8")
"""A newcomer takes up what it is given as it is, so it gets more bits than an update may have."""
GIVE_AGAIN = 2.0
"""Seconds before the same peer is given another base or snapshot."""


class Exchange:
    """Gives and takes bases, gives snapshots."""

    def __init__(self, state: State) -> None:
        self._state = state

    def ask(self, peer: str, base: bytes, now: float) -> None:
        """Ask `peer` for `base`, if it is time for that."""
        if self._state.wanted.ask(peer, base, now):
            self._state.send(peer, msg.NeedBase(base))

    def on_need_base(self, peer: str, neighbour: Neighbour, name: bytes, now: float) -> None:
        """`peer` asks for a base."""
        state = self._state
        base = state.bases.get(name)
        if base is not None and now - neighbour.base_given_at >= GIVE_AGAIN and state.budget.left(now) > 0:
            neighbour.base_given_at = now
            state.send(peer, msg.Base(state.fingerprint, base.astype("<f4", copy=False).tobytes()))

    def on_need_snapshot(self, peer: str, neighbour: Neighbour, now: float) -> None:
        """`peer` asks for the model that we serve; who joins has none to give."""
        state = self._state
        if state.joining is None and now - neighbour.snapshot_given_at >= GIVE_AGAIN and state.budget.left(now) > 0:
            neighbour.snapshot_given_at = now
            base = state.bases[state.bases.own]
            payload, _ = encode(SNAPSHOT, All(), state.replica.served.x, base, state.rng, state.kernel)
            state.send(peer, msg.Snapshot(state.fingerprint, state.bases.own, state.replica.age, payload))

    def take(self, base: msg.Base) -> bytes:
        """Hold a base that was asked for, and return its name.

        Raises:
            RemoteError: nobody asked for it, or it is not sane.
        """
        state = self._state
        if base.schema != state.fingerprint:
            raise RemoteError("base of another schema")
        vector = parse(base.vector, state.replica.x.size)
        name = name_of(vector)
        state.wanted.check(name)
        distance, limit = state.replica.distance(vector), REFUSE_RADII * state.replica.radius()
        if not distance <= limit:
            raise RemoteError(too_far("base", distance, limit))
        state.wanted.got(name)
        state.bases.hold(vector)
        return name

    def agree(self, now: float) -> None:
        """Publish against the base that most peers use, so that a mesh whose parts began apart comes to share one."""
        bases, wanted = self._state.bases, self._state.wanted
        common, _ = wanted.common(bases.own)
        if common == bases.own:
            return
        if common in bases:
            bases.adopt(common)
        else:
            self.ask(wanted.holder(common), common, now)


def too_far(what: str, distance: float, limit: float) -> str:
    """Why something is refused that lies `distance` away."""
    return f"{what} is {distance:.3g} away from this model; at most {limit:.3g} is sane"
