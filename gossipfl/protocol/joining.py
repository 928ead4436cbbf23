"""Joining: when a node may begin to learn, and on what model.

One object per attempt. It collects what greeting peers say, and decides between the ways in:
* cold start: nobody is ahead; begin, from the base that most have, or the smallest name (so all begin from one vector);
* back: it has a model, and is not too far behind; go on from that, as soon as somebody is there;
* rebase: the mesh is ahead; take up the median of at least three peers' snapshots (fewer where fewer live);
* alone: nobody is there.
Knows no vectors but in the snapshots that it holds, and sends nothing itself.
"""

from __future__ import annotations

from gossipfl.model.rebase import Told
from gossipfl.protocol.neighbourhood import Neighbourhood
from gossipfl.wire.messages import Snapshot

ENOUGH = 3
"""Peers to hear before deciding early, and snapshots for a median that one liar can't choose."""
ASKED = 5
"""Peers asked for a snapshot, so that two may stay silent."""
PATIENCE = 3.0
"""Seconds to wait for greetings, and for each round of snapshots."""
ROUNDS = 5
"""Rounds of asking until a node begins from its own model."""
REBASE_GAP = 8.0
"""Gossip intervals of progress behind its peers' median from which a node must not merge. High enough that the two
halves of a partition still merge: their gap is what one of them learnt more, not what both learnt."""


class Joining:
    """One attempt to join."""

    def __init__(self) -> None:
        self.snapshots: dict[str, tuple[Told, float, bytes]] = {}
        """By peer: the served model, its age, and the name of the base that it came against."""
        self.waiting: dict[str, Snapshot] = {}
        """By peer: a snapshot whose base is still on its way."""
        self.asked: set[str] = set()
        self.rounds = 0

    def expect(self, peers: list[str]) -> None:
        """Snapshots were asked of `peers`."""
        self.asked.update(peers)
        self.rounds += 1

    def complete(self, alive: set[str]) -> bool:
        """Are there snapshots enough, or all that living peers can give?"""
        waiting = (self.asked & alive) - self.snapshots.keys()
        return len(self.snapshots) >= ENOUGH or (bool(self.snapshots) and not waiting)

    def take_waiting(self, base: bytes) -> dict[str, Snapshot]:
        """Snapshots that waited for `base`, which are waited for no longer."""
        taken = {peer: snapshot for peer, snapshot in self.waiting.items() if snapshot.base == base}
        for peer in taken:
            del self.waiting[peer]
        return taken

    def median_age(self) -> float:
        """The median of the snapshots' ages: never above the oldest peer's."""
        return median([age for _, age, _ in self.snapshots.values()])

    def common_base(self) -> bytes:
        """The base that most snapshots came against; the smallest name among equals."""
        names = [base for _, _, base in self.snapshots.values()]
        return min(names, key=lambda name: (-names.count(name), name))


def is_behind(age: float, per_interval: float, neighbourhood: Neighbourhood) -> bool:
    """Is a node of this `age` too far behind the median of its live peers to merge with them?

    Judged by the median, so that a liar about its age can't send others into endless rebasing.
    """
    theirs = neighbourhood.median_age()
    return theirs is not None and theirs - age > REBASE_GAP * per_interval


def median(values: list[float]) -> float:
    """The lower median: one of the values."""
    return sorted(values)[(len(values) - 1) // 2]
