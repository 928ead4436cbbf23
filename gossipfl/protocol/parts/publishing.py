"""Publishing: what of the model goes to whom, when, and with how many bits.

The way of a vector: x → its difference to the base → selected coordinates → quantised → one body for all recipients
whose links are alike. What others were told is remembered once for the node and never per link, so loss can't corrupt
it: what was rounded away or left out stays in the difference between x and that, until it is sent.

A slow node is not flooded: nobody is sent more than it can weigh. A node with a budget speaks when it has something to
say: a change half as large as usual waits until twice its cost is saved.
"""

from __future__ import annotations

from gossipfl.codec import codec as coding
from gossipfl.codec.coordinates import All, Coordinates, count
from gossipfl.codec.quantisers import Quantiser, values
from gossipfl.codec.selections import Selection
from gossipfl.kernels import numpy as reference
from gossipfl.model.schema import Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.pace import SMOOTHING, WELCOME
from gossipfl.protocol.parts.state import State
from gossipfl.wire import messages as msg

PATIENT = 32.0
"""Nobody is sent less than a 32nd of what others are, whatever rate it claims: one lie must not last."""


class Publishing:
    """Sends updates."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._told: Vector | None = None
        """What others were last told of each coordinate, shape (d,); None until it matters."""
        self._usual_change = 0.0
        self._usual_cost = 0.0
        """Of a publish, in bytes."""

    def begin(self) -> None:
        """The node has joined: nothing of this model was told to anybody."""
        self._told = None

    def publish(self, now: float) -> bool:
        """Send this version of the model to the recipients of this moment. Returns whether there was one."""
        state = self._state
        if not self._worth_it(now):
            return False
        state.pace.publish(now, state.replica.age)
        sent: list[str] = []
        before = state.budget.spent
        state.seq += 1
        for name, peers in self._by_codec(state.contacts.recipients(state.epoch(now)), now).items():
            made_by = coding.codec(name)
            while peers:
                where = self._choose(made_by.selection, now)
                many = 1 if made_by.selection.each and not isinstance(where, All) else len(peers)
                recipients, peers = tuple(peers[:many]), peers[many:]  # noqa: PLW2901
                if (body := self._body(made_by.quantiser, where)) is not None:
                    state.post(recipients, body, supersedes=True)
                    sent += recipients
        if not sent:
            state.seq -= 1
            return False
        cost = state.budget.spent - before
        self._usual_cost += SMOOTHING * (cost - self._usual_cost) if self._usual_cost else cost
        state.emit(ev.Published(state.seq, tuple(sent), cost))
        return True

    def _worth_it(self, now: float) -> bool:
        """Are there bytes enough for how much there is to say?"""
        budget = self._state.budget
        if not budget.limited:
            return True
        change = reference.distance(self._state.replica.x, self._last_told())
        self._usual_change += SMOOTHING * (change - self._usual_change) if self._usual_change else change
        price = self._usual_cost * max(1.0, self._usual_change / change if change else float("inf"))
        return budget.left(now) > min(price, 0.9 * budget.capacity)

    def _by_codec(self, to: tuple[str, ...], now: float) -> dict[str, list[str]]:
        """Who can be sent the same body; not who has had as much as it can weigh."""
        state = self._state
        chance, rate = state.contacts.chance(), state.rate()
        groups: dict[str, list[str]] = {}
        for peer in to:
            neighbour = state.neighbourhood.meet(peer)
            if neighbour.rate:
                # Its rate to us is that to anybody of whom there are as many, so it says how long its interval is.
                most = max(WELCOME * neighbour.rate / chance, rate / PATIENT)
                if neighbour.fed_at > now:
                    continue
                neighbour.fed_at = max(neighbour.fed_at, now - 1 / most) + 1 / most
            groups.setdefault(coding.cheaper(state.settings.codec, neighbour.codec), []).append(peer)
        return groups

    def _choose(self, selection: Selection, now: float) -> Coordinates:
        state = self._state
        change = state.replica.x - self._last_told() if selection.by_change else None
        return selection.choose(state.replica.schema, change, state.epoch(now), state.rng)

    def _body(self, made_by: Quantiser, where: Coordinates) -> bytes | None:
        """An update; None when nothing has changed that could be told."""
        state = self._state
        x, base = state.replica.x, state.bases[state.bases.own]
        index = where.index(x.size)
        n = count(index)
        if not n:
            return None
        delta, raw = coding.encode(made_by, where, x, base, state.rng, state.kernel)
        if self._told is not None:
            self._told[index] = base[index] + values(*made_by.decode(raw, n))
        del raw  # of a large model it is as large
        update = msg.Update(
            state.fingerprint, state.bases.own, state.incarnation, state.seq, state.replica.age, state.rate(), delta
        )
        return msg.encode(update)

    def _last_told(self) -> Vector:
        """What others were last told of each coordinate, shape (d,); from now on that is remembered."""
        state = self._state
        if self._told is None:
            self._told = state.bases[state.bases.own].copy()
        return self._told
