"""Exchange: bases and snapshots, asked for and given, which base to publish against, and when the mesh gets a new one.

What is asked for is small and what is given is not, so nobody is given twice at short notice. Encodes this node's
models; never changes one.

A delta is as noisy as it is long, and all models move away from a base as they learn. When the noise of the own codec
comes near to what peers differ by anyway, somebody makes a new base, at random, and of no more than a small part of
the bytes. Nobody has to agree: who hears of one that is much nearer asks for it, once, and publishes against it.
"""

from __future__ import annotations

import numpy as np

from gossipfl.codec.codec import Delta, codec, decode, encode
from gossipfl.codec.coordinates import All
from gossipfl.codec.quantisers import Quantiser, check, quantiser, values
from gossipfl.codec.quantisers.floats import BFLOAT16, FLOAT32, is_bfloat16, round_to_bfloat16
from gossipfl.errors import RemoteError
from gossipfl.kernels import MAX_COORDINATE
from gossipfl.kernels import numpy as reference
from gossipfl.kernels.numpy import is_sane, pieces
from gossipfl.model.bases import name_of
from gossipfl.model.replica import REFUSE_RADII
from gossipfl.model.schema import FINGERPRINT_BYTES, Vector
from gossipfl.protocol.neighbour import Neighbour
from gossipfl.protocol.parts.state import State
from gossipfl.wire import messages as msg

GIVE_AGAIN = 2.0
"""Seconds before the same peer is given another base or snapshot."""
ZEROS = bytes(FINGERPRINT_BYTES)
"""Names the parent of a base that is sent in full."""
FEW, MORE = quantiser("int4"), quantiser("int8")
"""A newcomer takes up what it is given as it is, so a snapshot has few bits only where that adds little noise."""
RENEWAL = FEW
"""A base need not be anybody's model exactly: four bits bring it near enough. What comes out is rounded to bfloat16, so
that it can be told in full with two bytes for each coordinate."""
NOISY = 0.5
"""A base is too far away when the noise of what is measured against it is so much of what peers differ by."""
NEARER = 0.5
"""Another base is better if it is not more than half as far away."""
SELDOM = 8.0
"""For each byte of a new base so many were sent before; and on average a mesh waits so many publishes for it, so that
two rarely make one at a time."""


class Exchange:
    """Gives and takes bases, gives snapshots."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._own = codec(state.settings.codec).quantiser
        self._origins: dict[bytes, tuple[bytes, Delta]] = {}
        """Of bases that were not sent in full: the parent, and the difference to it."""
        self._renewed = 0
        """Bytes that had been sent when the base was changed."""

    def ask(self, peer: str, base: bytes, now: float) -> None:
        """Ask `peer` for `base`, if it is time for that."""
        if self._state.wanted.ask(peer, base, now):
            self._state.send(peer, msg.NeedBase(base, self._state.bases.own))

    def on_need_base(self, peer: str, neighbour: Neighbour, need: msg.NeedBase, now: float) -> None:
        """`peer` asks for a base."""
        state = self._state
        base = state.bases.get(need.base)
        if base is not None and now - neighbour.base_given_at >= GIVE_AGAIN and state.budget.left(now) > 0:
            neighbour.base_given_at = now
            parent, payload = self._origins.get(need.base, (ZEROS, None))
            if payload is None or parent != need.held:
                parent, exact = ZEROS, BFLOAT16 if is_bfloat16(base) else FLOAT32
                payload, _ = encode(exact, All(), base, np.zeros_like(base), state.rng, state.kernel)
            state.send(peer, msg.Base(state.fingerprint, parent, payload))

    def on_need_snapshot(self, peer: str, neighbour: Neighbour, now: float) -> None:
        """`peer` asks for the model that we serve; who joins has none to give."""
        state = self._state
        if state.joining is None and now - neighbour.snapshot_given_at >= GIVE_AGAIN and state.budget.left(now) > 0:
            neighbour.snapshot_given_at = now
            served, base = state.replica.served.x, state.bases[state.bases.own]
            near = state.apart and not self._noisy(FEW, reference.distance(served, base))
            payload, _ = encode(FEW if near else MORE, All(), served, base, state.rng, state.kernel)
            state.send(peer, msg.Snapshot(state.fingerprint, state.bases.own, state.replica.age, payload))

    def take(self, base: msg.Base) -> bytes | None:
        """Hold a base that was asked for, and return its name; None if it is measured against one that we let go.

        Raises:
            RemoteError: nobody asked for it, or it is not sane.
        """
        state = self._state
        if base.schema != state.fingerprint:
            raise RemoteError("base of another schema")
        if base.parent != ZEROS and base.parent not in state.bases:
            return None
        vector = self._sum(base.parent, base.payload)
        if not is_sane(vector):
            raise RemoteError(f"base has a coordinate that is not within ±{MAX_COORDINATE:g}")
        name = name_of(vector)
        state.wanted.check(name)
        distance, limit = state.replica.distance(vector), REFUSE_RADII * state.replica.radius()
        if not distance <= limit:
            raise RemoteError(too_far("base", distance, limit))
        state.wanted.got(name)
        self._hold(vector, base.parent, base.payload)
        return name

    def agree(self, now: float) -> None:
        """Decide what to publish against: a base that is much nearer than ours, or else the one that most peers use.

        So a mesh whose parts began apart comes to share one, and follows whoever made a new one.
        """
        state, bases = self._state, self._state.bases
        own = bases.own
        used = [name for name in state.neighbourhood.bases if name != own]
        if used:
            away = {name: state.replica.distance(bases[name]) for name in (own, *used) if name in bases}
            nearest = min(away, key=lambda name: (away[name], name))
            common, _ = state.wanted.common(own)
            if self._noisy(self._own, away[own]) and away[nearest] <= NEARER * away[own]:
                self._adopt(nearest)
            elif common not in bases:
                self.ask(state.wanted.holder(common), common, now)
            elif not (self._noisy(self._own, away[common]) and away[own] <= NEARER * away[common]):
                self._adopt(common)
        elif self._is_turn() and self._noisy(self._own, state.replica.distance(bases[own])):
            self._renew()

    def _is_turn(self) -> bool:
        """May this node make a new base now?"""
        state = self._state
        saved = state.budget.spent - self._renewed >= SELDOM * RENEWAL.bits / 8 * state.replica.x.size
        return saved and state.rng.random() < 1 / SELDOM / (1 + len(state.neighbourhood.known))

    def _noisy(self, bits: Quantiser, distance: float) -> bool:
        """Is a base at that distance too far away for so few `bits`?"""
        return 0 < NOISY * self._state.apart < bits.noise * distance

    def _renew(self) -> None:
        """Publish against a new base, next to our model; not where training diverged and rounding leaves ±1e9."""
        state, own = self._state, self._state.bases.own
        payload, _ = encode(RENEWAL, All(), state.replica.x, state.bases[own], state.rng, state.kernel)
        vector = self._sum(own, payload)
        if is_sane(vector):
            self._adopt(self._hold(vector, own, payload))

    def _adopt(self, name: bytes) -> None:
        if name != self._state.bases.own:
            self._state.bases.adopt(name)
            self._renewed = self._state.budget.spent

    def _hold(self, vector: Vector, parent: bytes, payload: Delta) -> bytes:
        bases = self._state.bases
        name = bases.hold(vector, self._state.neighbourhood.bases)
        if parent != ZEROS:
            self._origins[name] = parent, payload
        self._origins = {held: origin for held, origin in self._origins.items() if held in bases}
        return name

    def _sum(self, parent: bytes, payload: Delta) -> Vector:
        """The base that is `payload` away from `parent`.

        Raises:
            RemoteError: the payload is none, or does not carry every coordinate.
        """
        size = self._state.replica.x.size
        if not isinstance(payload.coordinates, All):
            raise RemoteError("base with only some of the coordinates")
        _, scales, codes = decode(payload, size)
        check(scales)
        vector = np.empty(size, np.float32)
        for here, of_them in pieces(size):
            vector[here] = values(scales[of_them], codes[here])
            if parent != ZEROS:
                vector[here] += self._state.bases[parent][here]
        if parent != ZEROS:
            round_to_bfloat16(vector)
        return vector


def too_far(what: str, distance: float, limit: float) -> str:
    """Why something is refused that lies `distance` away."""
    return f"{what} is {distance:.3g} away from this model; at most {limit:.3g} is sane"
