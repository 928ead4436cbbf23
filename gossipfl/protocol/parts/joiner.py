"""The joiner: decides, with what greeting peers have said, when and from what model a node begins.

`gossipfl.protocol.joining` says what the ways in are. One attempt ends when the node begins, and another starts when it
finds itself too far behind.
"""

from __future__ import annotations

from collections.abc import Callable

from gossipfl.codec.codec import decode
from gossipfl.codec.coordinates import All
from gossipfl.codec.quantisers import check
from gossipfl.errors import RemoteError
from gossipfl.kernels import MAX_COORDINATE
from gossipfl.model.rebase import Told
from gossipfl.protocol import events as ev
from gossipfl.protocol.joining import ASKED, ENOUGH, PATIENCE, ROUNDS, Joining, is_behind
from gossipfl.protocol.parts.exchange import Exchange
from gossipfl.protocol.parts.state import State
from gossipfl.wire import messages as msg

JOIN = "join"
"""The timer of an attempt."""


class Joiner:
    """Joins, and joins again. `begin` is called with whose snapshots were taken up, and the time."""

    def __init__(self, state: State, exchange: Exchange, begin: Callable[[tuple[str, ...], float], None]) -> None:
        self._state, self._exchange, self._begin = state, exchange, begin

    def patience(self) -> None:
        """Wait for others to speak."""
        self._state.emit(ev.SetTimer(JOIN, PATIENCE))

    def is_behind(self) -> bool:
        """Is this node too far behind its peers to merge with them?"""
        state = self._state
        return is_behind(state.replica.age, state.pace.progress, state.neighbourhood)

    def again(self, now: float) -> None:
        """Join again: ask for snapshots at once."""
        self._state.joining = Joining()
        self._ask_for_snapshots(self._state.joining, now)

    def news(self, now: float) -> None:
        """Somebody came or went."""
        if self._state.joining is not None:
            self._try(self._state.joining, now, hurry=False)

    def hurry(self, now: float) -> None:
        """The time for waiting is over."""
        if self._state.joining is not None:
            self._try(self._state.joining, now, hurry=True)

    def on_base(self, name: bytes, now: float) -> list[tuple[str, str]]:
        """The base `name` is here. Returns whose snapshots, which waited for it, are refused, and why."""
        joining, refused = self._state.joining, []
        if joining is not None:
            for sender, snapshot in joining.take_waiting(name).items():
                try:
                    self._add_snapshot(joining, sender, snapshot)
                except RemoteError as error:
                    refused.append((sender, str(error)))
            self._try(joining, now, hurry=not joining.asked)
        return refused

    def on_snapshot(self, peer: str, snapshot: msg.Snapshot, now: float) -> None:
        """`peer` says what it serves.

        Raises:
            RemoteError: the snapshot is none, or not sane.
        """
        joining = self._state.joining
        if snapshot.schema != self._state.fingerprint:
            raise RemoteError("snapshot of another schema")
        if joining is None or peer not in joining.asked:
            return  # a late answer
        if snapshot.base in self._state.bases:
            self._add_snapshot(joining, peer, snapshot)
            self._try(joining, now, hurry=False)
        else:
            joining.waiting[peer] = snapshot
            self._exchange.ask(peer, snapshot.base, now)

    def _add_snapshot(self, joining: Joining, peer: str, snapshot: msg.Snapshot) -> None:
        payload, state = snapshot.payload, self._state
        if not isinstance(payload.coordinates, All):
            raise RemoteError("snapshot with only some of the coordinates")
        _, scales, codes = decode(payload, state.replica.x.size)
        check(scales)
        model = Told(state.bases[snapshot.base], scales, codes)
        if not model.is_sane():
            raise RemoteError(f"snapshot has a coordinate that is not within ±{MAX_COORDINATE:g}")
        joining.snapshots[peer] = (model, snapshot.age, snapshot.base)

    def _try(self, joining: Joining, now: float, *, hurry: bool) -> None:
        """Decide with what is known."""
        state = self._state
        if joining.asked:
            if joining.complete(set(state.neighbourhood.live())):
                self._rebase(joining, now)
            elif hurry:
                self._ask_for_snapshots(joining, now)
        elif not self.is_behind():
            if state.replica.age == 0:
                self._start_cold(joining, now, hurry=hurry)
            elif hurry or state.neighbourhood.live():
                self._begin((), now)
        elif hurry or len(state.neighbourhood.ahead_of(state.replica.age)) >= ENOUGH:
            self._ask_for_snapshots(joining, now)

    def _ask_for_snapshots(self, joining: Joining, now: float) -> None:
        state = self._state
        # The others may be joining as well, and then don't answer.
        ahead = state.neighbourhood.ahead_of(state.replica.age)
        if joining.rounds >= ROUNDS or not ahead:
            if not joining.snapshots:
                self._begin((), now)
            elif len(joining.snapshots) >= min(ENOUGH, len(ahead)):
                self._rebase(joining, now)
            else:  # few speak for many: don't believe them yet
                state.joining = Joining()
                self.patience()
            return
        ask = [peer for peer in ahead if peer not in joining.snapshots]
        ask = state.rng.sample(ask, min(ASKED, len(ask)))
        joining.expect(ask)
        for peer in ask:
            state.send(peer, msg.NeedSnapshot())
        self.patience()

    def _rebase(self, joining: Joining, now: float) -> None:
        state = self._state
        models = [model for model, _, _ in joining.snapshots.values()]
        if (base := joining.common_base()) in state.bases:
            state.bases.adopt(base)
        state.replica.rebase(models, joining.median_age())
        self._begin(tuple(joining.snapshots), now)

    def _start_cold(self, joining: Joining, now: float, *, hurry: bool) -> None:
        """Begin with those that begin with us, and from one vector: the base that most have."""
        state = self._state
        common, agreed = state.wanted.common(state.bases.own)
        if hurry and common not in state.bases and joining.rounds < ROUNDS:
            joining.rounds += 1
            self._exchange.ask(state.wanted.holder(common), common, now)
            self.patience()
        elif hurry or (agreed and len(state.neighbourhood.live()) >= ENOUGH):
            if common in state.bases:
                state.bases.adopt(common)
                state.replica.restart(state.bases[common])
            self._begin((), now)
