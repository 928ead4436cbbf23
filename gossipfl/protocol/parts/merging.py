"""Merging: a peer's published model comes in. Every check first, then the change.

The way of a vector: message → codes → distance to our model → clip → x += w · difference (anchored gossip deltas), on
the coordinates that came.
Which weight: the Metropolis coefficient of the two publish rates, less for a stale model, and no more than the sender
has left. Sends nothing but a question for a base that is not held.
"""

from __future__ import annotations

import math

from gossipfl.codec.codec import decode
from gossipfl.codec.quantisers import check
from gossipfl.errors import RemoteError
from gossipfl.mixing.metropolis import alpha
from gossipfl.mixing.staleness import staleness
from gossipfl.protocol import events as ev
from gossipfl.protocol.joining import REBASE_GAP
from gossipfl.protocol.neighbour import Neighbour
from gossipfl.protocol.pace import SMOOTHING
from gossipfl.protocol.parts.exchange import Exchange, too_far
from gossipfl.protocol.parts.state import State
from gossipfl.wire import messages as msg


class Merging:
    """Takes in updates."""

    def __init__(self, state: State, exchange: Exchange) -> None:
        self._state, self._exchange = state, exchange
        self._staleness = staleness(state.settings.staleness)

    def on_update(self, peer: str, neighbour: Neighbour, update: msg.Update, now: float) -> None:
        """`peer` has published.

        Raises:
            RemoteError: the update is none, or not sane. Nothing has changed then.
        """
        state, replica, pace = self._state, self._state.replica, self._state.pace
        if update.schema != state.fingerprint:
            raise RemoteError("update of another schema")
        if (refusal := neighbour.accepts(update.incarnation, update.seq)) is not None:
            if (update.incarnation, update.seq) <= (neighbour.incarnation, neighbour.seq):
                return  # duplicated or overtaken on the way: nobody's fault, and nothing to do
            raise RemoteError(refusal)
        if state.joining is not None:
            return
        base = state.bases.get(update.base)
        if base is None:
            state.neighbourhood.set_base(neighbour, update.base)
            self._exchange.ask(peer, update.base, now)
            return
        index, scales, codes = decode(update.payload, replica.x.size)

        tau = max(0.0, replica.age - update.age) / pace.progress
        # Ages are self-reported, so one may move ours by no more than a fixed step. With a step that grows as ages do,
        # like H̄, one liar makes those of a whole mesh grow exponentially.
        step = REBASE_GAP * state.settings.steps
        age = min(max(update.age, replica.age - step), replica.age + step)
        allowance = neighbour.allowance_at(now, pace.period)
        rate = min(update.rate, pace.welcome())
        granted = min(alpha(rate, state.rate()) * self._staleness.weight(tau), allowance)
        distance, limit, weight = replica.merge(index, base, scales, codes, granted, age)
        if not distance <= limit:  # NaN and infinity fail this too
            check(scales)
            raise RemoteError(too_far("update", distance, limit))

        apart = distance * math.sqrt(replica.x.size / codes.size)
        state.apart += SMOOTHING * (apart - state.apart) if state.apart else apart
        state.neighbourhood.set_version(neighbour, update.incarnation, update.seq, update.age, update.base)
        neighbour.rate = update.rate
        neighbour.allowance, neighbour.allowed_at = allowance - granted, now
        if neighbour.strikes:
            neighbour.strikes = max(0.0, neighbour.strikes - 1)
        state.out.append(ev.Merged(peer, tau, weight))
