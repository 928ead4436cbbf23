"""Replay of reality: a fresh peer relives what a real one recorded, and must do the same, bit for bit.

Feeds the events of a recording (`gossipfl/protocol/recording/`) to a peer made from the same origin, and compares what
follows from each; the first event after which the two differ is where to look. It knows nothing of networks and virtual
time: the recording says what came when. The peer is the protocol's own, so a changed protocol is shown by its effects.

Equal bits need equal arithmetic: the same numpy on the same kind of processor as where it was recorded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from msgspec import Struct

from gossipfl.errors import LocalError
from gossipfl.protocol import events as ev
from gossipfl.protocol.peer import Peer
from gossipfl.protocol.recording.records import Followed, Happened, Origin, Record, State, effect_of
from gossipfl.protocol.recording.stream import Reader

CHUNK = 1 << 18
"""Bytes read at once: many small records, or a part of a large one."""

Progress = Callable[[int, int], None]
"""Called with bytes read and bytes in all."""


class Difference(Struct, frozen=True):
    """Event number `event`, counted from 1, `seconds` after the first, and `what` differs after it."""

    event: int
    happened: str
    seconds: float
    what: str


class Replayed(Struct, frozen=True):
    """What a replay has shown. It ends at the first difference."""

    node: str
    incarnation: int
    begun: float
    """When the first event happened, by the clock of the recording."""
    seconds: float
    """From there to the last event."""
    events: int
    """Events replayed."""
    compared_at: int
    """The last event after which the recording has a state; 0 if there is none."""
    recorded_state: str
    replayed_state: str
    difference: Difference | None
    unfinished: str
    """Set if the recording ends within an event: that event, and what came of it here."""
    cut: int
    """Bytes at the end that are no whole record: the node was killed while it wrote."""
    made_with: Mapping[str, str]
    made_here: Mapping[str, str]
    """The software that recorded, and this."""

    @property
    def same(self) -> bool:
        """Did the peer do all that was recorded?"""
        return self.difference is None

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        shown: dict[str, Any] = msgspec.to_builtins(self)
        return shown | {"same": self.same}

    def lines(self) -> list[str]:
        """As a person reads it; what the recording has of texts can't command a terminal."""
        return ["".join(c if c.isprintable() else "?" for c in line) for line in self._lines()]

    def _lines(self) -> list[str]:
        lines = [f"node     {self.node}, life {self.incarnation}"]
        when = ""
        if 1e9 < self.begun < 1e10:  # counted from 1970, as daemons do
            when = f" from {dt.datetime.fromtimestamp(self.begun, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
        lines.append(f"replayed {self.events:,} events, {self.seconds:.1f} s{when}")
        if self.cut:
            lines.append(
                f"cut      the last {self.cut:,} bytes are an unfinished record; the node did not stop by itself"
            )
        if self.unfinished:
            lines.append(f"ends     within {self.unfinished}")
        if self.compared_at:
            lines.append(f"state    {self.recorded_state} recorded after event {self.compared_at:,}")
            lines.append(f"         {self.replayed_state} replayed")
        if self.difference is None:
            and_state = ", and the state" if self.compared_at else ""
            lines.append(f"result   the same: every effect of every event{and_state}")
            return lines
        found = self.difference
        lines.append(f"differs  at event {found.event:,}, {found.happened}, {found.seconds:.3f} s after the first")
        lines.append(f"         {found.what}")
        for name in sorted({*self.made_with, *self.made_here}):
            there, here = self.made_with.get(name, "unknown"), self.made_here.get(name, "unknown")
            if there != here:
                lines.append(f"note     recorded with {name} {there}, replayed with {here}")
        return lines


def replay(path: Path, progress: Progress | None = None) -> Replayed:
    """Replay the recording at `path`, one record in memory at a time.

    Raises:
        LocalError: it can't be read, is not a recording, or is damaged; the message names file and byte.
    """
    try:
        with open(path, "rb") as file:
            return _Replay(file, progress).run()
    except LocalError as error:
        raise LocalError(f"{path}: {error}") from error
    except OSError as error:
        raise LocalError(f"{path}: can't be read: {error.strerror}") from error


class _Replay:
    """One pass over a recording."""

    def __init__(self, file: BinaryIO, progress: Progress | None) -> None:
        self._file = file
        self._progress = progress
        self._reader = Reader()
        self._events = 0
        self._first = self._last = 0.0
        self._happened = ""
        self._effects: Sequence[ev.Effect] = ()
        self._raised: Exception | None = None
        self._open = False
        """Is the recording yet to say what followed from the last event?"""
        self._compared: tuple[int, str, str] = (0, "", "")

    def run(self) -> Replayed:
        records = self._records()
        origin = next(records, None)
        if not isinstance(origin, Origin):
            raise LocalError("it ends before it says what was recorded")
        peer = origin.peer()
        what = ""
        for record in records:
            what = self._take(peer, record)
            if what:
                break
        ended = "" if what or not self._open else f"event {self._events:,}, {self._happened}: {self._outcome()}"
        seconds = self._last - self._first
        at, recorded, replayed = self._compared
        return Replayed(
            origin.me, origin.incarnation, self._first, seconds, self._events, at, recorded, replayed,
            Difference(self._events, self._happened, seconds, what) if what else None,
            ended, 0 if what else self._reader.left,
            origin.made_with, {"gossipfl": version("gossipfl"), "numpy": np.__version__},
        )  # fmt: skip

    def _records(self) -> Iterator[Record]:
        total, read = self._file.seek(0, 2), 0
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            self._reader.feed(chunk)
            while (record := self._reader.next()) is not None:
                yield record
            read += len(chunk)
            if self._progress is not None:
                self._progress(read, max(read, total))

    def _take(self, peer: Peer, record: Record) -> str:
        """Relive one record; what differs, if anything does."""
        match record:
            case Happened(now, event):
                self._happen(peer, now, event)
            case Followed():
                self._open = False
                return self._compare_effects(record)
            case State():
                return self._compare_states(record, State.of(peer))
        return ""

    def _happen(self, peer: Peer, now: float, event: ev.Event) -> None:
        if self._events == 0:
            self._first = now
        self._events, self._last, self._open = self._events + 1, now, True
        self._happened = _described(event)
        self._raised = None
        try:
            self._effects = peer.handle(event, now)
        except Exception as error:  # noqa: BLE001 - a bug that the recording shows, or a changed peer: a finding
            self._effects, self._raised = (), error

    def _outcome(self) -> str:
        if self._raised is None:
            return "handling it goes well here"
        return f"handling it raises {type(self._raised).__name__}: {self._raised}"

    def _compare_effects(self, recorded: Followed) -> str:
        if self._raised is not None:
            return f"{self._outcome()}; when recorded, {_names(recorded) or 'nothing'} followed"
        replayed = Followed.of(self._effects)
        if replayed == recorded:
            return ""
        if (theirs := _names(recorded)) != (ours := _names(replayed)):
            return f"recorded: {theirs or 'no effect'}; replayed: {ours or 'no effect'}"
        pairs = zip(recorded.outlines, replayed.outlines, strict=True)
        number = next(i for i, (one, other) in enumerate(pairs) if one != other)
        what = f"effect {number + 1} of {len(self._effects)}, {effect_of(recorded.outlines[number])}, differs"
        return f"{what}; replayed: {_shown(self._effects[number])}"

    def _compare_states(self, recorded: State, replayed: State) -> str:
        self._compared = (self._events, recorded.hash, replayed.hash)
        if recorded.hash == replayed.hash:
            return ""
        parts = []
        for name in State.__struct_fields__:
            theirs, ours = getattr(recorded, name), getattr(replayed, name)
            if theirs != ours:
                parts.append(name if isinstance(ours, bytes) else f"{name} (recorded {theirs}, replayed {ours})")
        return f"the effects are the same, the state is not: {', '.join(parts)}"


def _described(event: ev.Event) -> str:
    match event:
        case ev.Received(peer, body):
            return f"Received from {peer}, {len(body):,} bytes"
        case ev.Connected(peer, _) | ev.Disconnected(peer) | ev.DialFailed(peer):
            return f"{type(event).__name__} {peer}"
        case ev.TimerFired(timer):
            return f"TimerFired {timer if isinstance(timer, str) else ' '.join(timer)}"
        case ev.Trained(training, _, steps):
            return f"Trained {training}, {steps} steps"
        case ev.Rewired(topology):
            return f"Rewired to {topology.name}"
        case _:
            return type(event).__name__


def _names(followed: Followed) -> str:
    return ", ".join(map(effect_of, followed.outlines))


def _shown(effect: ev.Effect) -> str:
    """`effect` in one line: bytes and vectors by their sizes."""
    parts = []
    for name, value in msgspec.structs.asdict(effect).items():
        if isinstance(value, bytes):
            value = f"{len(value):,} bytes"  # noqa: PLW2901
        elif isinstance(value, np.ndarray):
            value = f"{value.size:,} coordinates"  # noqa: PLW2901
        parts.append(f"{name} {value}")
    return f"{type(effect).__name__}({', '.join(parts)})"
