"""The diary: what happens to a device, for whoever watches it.

An event is a line of JSON with its `time` and its name, `event`, beside what else is known. What happens all the time,
or what others can make happen, is told of now and then, with how many such events were left out before. No line ever
holds a datum or a tensor.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
import trio

from gossipfl.protocol import events as ev
from gossipfl_nodes.network.limits import Bucket, Rate
from gossipfl_nodes.observing.ring import Ring

OFTEN = Rate(1, 1)
"""Events a second of a kind that a node that learns has all the time."""
SELDOM = Rate(1, 32)
"""Of any other kind, however often peers come and go."""
ALL_THE_TIME = ("merged", "published", "refused")
MAX_TEXT = 300
"""Characters of one value."""


class Diary:
    """The last events, by this device's clock."""

    def __init__(self) -> None:
        self.ring = Ring()
        self.life = f"{time.time_ns() // 1_000_000:x}"
        """Another one with each start of the daemon."""
        self._buckets: dict[str, Bucket] = {}
        self._left_out: dict[str, int] = {}

    def tell(self, event: str, **facts: Any) -> None:
        """`event` has happened."""
        now = trio.current_time()
        bucket = self._buckets.get(event)
        if bucket is None:
            bucket = self._buckets[event] = Bucket(OFTEN if event in ALL_THE_TIME else SELDOM, now)
        if bucket.wait(1, now) > 0:
            self._left_out[event] = self._left_out.get(event, 0) + 1
            return
        bucket.take(1, now)
        if left_out := self._left_out.pop(event, 0):
            facts["left_out"] = left_out
        told = {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in facts.items()}
        self.ring.add(msgspec.json.encode({"time": round(time.time(), 3), "event": event, **told}))

    def happened(self, event: ev.Event) -> None:
        """The peer was told of `event`."""
        match event:
            case ev.Connected(peer, _):
                self.tell("connected", peer=peer)
            case ev.Disconnected(peer):
                self.tell("lost", peer=peer)
            case ev.Paused():
                self.tell("paused")
            case ev.Resumed():
                self.tell("resumed")
            case ev.Rewired(topology):
                self.tell("rewired", topology=topology.name)
            case ev.Readdressed(addresses):
                self.tell("readdressed", addresses=addresses)
            case ev.Stopping():
                self.tell("stopping")
            case _:
                pass  # of what is inside a peer, its reports tell

    def reported(self, report: ev.Report) -> None:
        """The peer reports."""
        match report:
            case ev.Joined(sources):
                self.tell("joined", sources=sources)
            case ev.Published(seq, to, size):
                self.tell("published", seq=seq, to=len(to), bytes=size)
            case ev.Merged(peer, staleness, weight):
                self.tell("merged", peer=peer, staleness=staleness, weight=weight)
            case ev.Failed(reason):
                self.tell("failed", reason=reason)
            case ev.Suspected(peer):
                self.tell("suspected", peer=peer)
            case ev.Died(peer):
                self.tell("died", peer=peer)
            case ev.Partitioned(missing, there):
                self.tell("partitioned", missing=missing, there=there)
            case ev.Healed(missing, there):
                self.tell("healed", missing=missing, there=there)
            case ev.Revoked(revocation):
                self.tell("revoked", peer=revocation.device, by=revocation.by)
            case ev.Admitted(peer):
                self.tell("admitted", peer=peer)
            case ev.Refused():
                pass  # links refuse as well, and who counts all of it tells
