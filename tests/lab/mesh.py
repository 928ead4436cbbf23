"""A mesh of real daemons on a LAN whose links do as they are told, and what was seen of its merges over time.

Owns the daemons, and ends them whatever happens. What happened is judged afterwards: a `History` is only looks.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from gossipfl.errors import LocalError
from tests.lab.lan import Lan, lan
from tests.nodes.support import GENEROUS, Daemon, wait_for

LOOK = 0.5
"""Seconds between two looks: as exactly as gaps and merges are known."""

Merges = dict[int, int]
"""By the number of the daemon that it merged from: how many."""


class Look(Struct, frozen=True):
    """What the daemons said at one time."""

    at: float
    merges: dict[int, Merges]
    """Of each daemon that answered."""
    links: dict[int, set[int]]
    """As well."""


class History:
    """Looks, the oldest first."""

    def __init__(self, looks: list[Look]) -> None:
        self.looks = looks

    def since(self, seconds: float) -> History:
        """What there was from then on."""
        return History([look for look in self.looks if look.at - self.looks[0].at >= seconds])

    def gaps(self, of: Collection[int], *, together: bool = False) -> float:
        """The longest time, in seconds, in which one of these merged nothing; or in which all of them did."""
        groups = [list(of)] if together else [[daemon] for daemon in of]
        return max(self._gap(group) for group in groups)

    def _gap(self, group: list[int]) -> float:
        last, longest, before = self.looks[0].at, 0.0, self.looks[0]
        for look in self.looks[1:]:
            longest = max(longest, look.at - last)
            if any(look.merges.get(one) != before.merges.get(one) for one in group if one in look.merges):
                last = look.at
            before = look
        return longest

    def first(self, receivers: Collection[int], senders: Collection[int]) -> dict[int, float]:
        """Seconds until each of `receivers` had merged something of one of `senders`; who never did is missing."""
        begin = self.looks[0]
        found: dict[int, float] = {}
        for look in self.looks[1:]:
            for one in receivers:
                had, has = begin.merges.get(one, {}), look.merges.get(one, {})
                if any(has.get(other, 0) > had.get(other, 0) for other in senders):
                    found.setdefault(one, look.at - begin.at)
        return found

    def linked(self, some: Collection[int], others: Collection[int]) -> float:
        """Seconds until there was a link between one of `some` and one of `others`; infinite if there never was."""
        begin = self.looks[0].at
        return next(
            (look.at - begin for look in self.looks if any(look.links.get(one, set()) & {*others} for one in some)),
            float("inf"),
        )


class Mesh:
    """Daemons 0 to n - 1, each at the place of its number; made by `mesh`."""

    def __init__(self, net: Lan, daemons: list[Daemon]) -> None:
        self.net = net
        self.daemons = daemons
        self._frozen: set[int] = set()
        self._numbers = {daemon.id: number for number, daemon in enumerate(daemons)}

    def __len__(self) -> int:
        return len(self.daemons)

    def start(self, *numbers: int) -> None:
        """Start these daemons, or all."""
        for number in numbers or range(len(self)):
            self.daemons[number].start()

    def freeze(self, number: int) -> None:
        """Stop a daemon and its training process, as when a device sleeps."""
        self._frozen.add(number)
        self._signal(number, signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        """Let a frozen daemon go on."""
        self._signal(number, signal.SIGCONT)
        self._frozen.discard(number)

    def _signal(self, number: int, what: signal.Signals) -> None:
        daemon = self.daemons[number]
        for pid in (daemon.pid, *daemon.workers()):
            os.kill(pid, what)

    def look(self) -> Look:
        """What the daemons that answer say now."""
        merges, links = {}, {}
        for number, daemon in enumerate(self.daemons):
            if number not in self._frozen:
                with contextlib.suppress(LocalError):  # it is down, or starts
                    rows = daemon.peers()
                    merges[number] = {self._numbers[peer]: row["merges"] for peer, row in rows.items()}
                    links[number] = {self._numbers[peer] for peer, row in rows.items() if row["live"]}
        return Look(time.monotonic(), merges, links)

    def watch(self, seconds: float, until: Callable[[History], object] = lambda _: False) -> History:
        """Look for so many seconds, or until the history is as wanted."""
        history = History([self.look()])
        begun = time.monotonic()
        while time.monotonic() - begun < seconds and not until(history):
            time.sleep(max(0.0, LOOK - (time.monotonic() - history.looks[-1].at)))
            history.looks.append(self.look())
        return history

    def wait_until_whole(self, seconds: float = 2 * GENEROUS) -> None:
        """Wait until every daemon learns, and is linked with every other."""

        def whole(daemon: Daemon) -> bool:
            status = daemon.status()
            return bool(status) and status["peers"] == len(self) - 1 and status["state"] == "learning"

        for number, daemon in enumerate(self.daemons):
            wait_for(lambda one=daemon: whole(one), f"daemon {number} has all its links", seconds)  # type: ignore[misc]

    def accuracies(self) -> list[float]:
        """Of the served models."""
        return [float(daemon.status()["metrics"]["accuracy"]) for daemon in self.daemons]


@contextmanager
def mesh(count: int, interval: float, **keys: str) -> Iterator[Mesh]:
    """`count` daemons that learn digits, not yet started. All know the first one's address, and nothing finds others.

    Without mDNS: across a mesh that is larger than a LAN, links come back by dialling alone.
    """
    with lan(count) as net, ExitStack() as stack, tempfile.TemporaryDirectory(prefix="gfl-", dir="/tmp") as folder:
        daemons: list[Daemon] = []
        for number, place in enumerate(net.places):
            given = {
                "network__listen": "/ip4/0.0.0.0/tcp/9444",
                "network__mdns": "false",
                "network__bootstrap": f"/ip4/10.77.0.1/tcp/9444/p2p/{daemons[0].id}" if daemons else "",
                "gossip__interval": str(interval),
                "task__index": str(number),
                "task__count": str(count),
            }
            daemon = Daemon(Path(folder) / f"node-{number}", **given | keys)
            daemon.within = place.within
            stack.callback(daemon.kill)
            daemons.append(daemon)
        yield Mesh(net, daemons)
