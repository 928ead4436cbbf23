"""The mixing of a slot, compiled: what a node does as it publishes, and what a message does to its receiver.

The same rules as in `gossipfl.protocol.peer`, for all nodes of a slot one after the other: where two messages meet in
one node, the order of their publishes decides. Operations stand in the order of the originals and are not reassociated
(no fastmath), so that a plain rewriting in numpy gives the same bytes. Knows no time but slots, and draws nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from gossipfl.errors import LocalError
from gossipfl.mixing.staleness import Hinge
from gossipfl.model.replica import FLOOR_RMS, REFUSE_RADII
from gossipfl.protocol.joining import REBASE_GAP
from gossipfl.protocol.pace import SMOOTHING

try:
    import numba
except ModuleNotFoundError:
    raise LocalError("fleet: numba is not installed; pip install 'gossipfl[sim]'") from None

P = ParamSpec("P")
R = TypeVar("R")
Number = TypeVar("Number", np.float32, np.int32)
Vectors = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int32]

AGE, PROGRESS, RATE = 0, 1, 2
"""Where these stand behind the d floats of a node's row. Age: local steps in the model, exact up to 2²⁴. Progress: H̄,
age per publish. Rate: q, publishes per slot to one neighbour. One row and no tables beside it, since at a million nodes
each place in memory that a merge touches is a cache miss: it takes 2.5 times as long with three."""
LINE = 16
"""Numbers of four bytes in a line of the cache: where a row is no longer than that, no row lies across two."""
PACE = np.dtype([("period", np.float64), ("published_at", np.float64), ("published_age", np.float64)])
"""What only a publish needs. period: slots between publishes, a running mean; and when and at what age the last was."""
AHEAD = 64
"""Messages whose receivers are looked up before the first of them is merged, so that the cache misses overlap."""
TAU_WIDTH = 0.25
"""Gossip intervals per bin of the staleness histogram; the hinge is at 1."""
TAU_BINS = 17
"""Up to 4 intervals behind; the last bin holds all beyond."""
MERGED, REFUSED, MISSED = 0, 1, 2
"""What becomes of a message that arrives: it counts, is too far away, or finds nobody at home."""
HINGE_A, HINGE_B = Hinge().a, Hinge().b


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """`function` as machine code, made when it is first called.

    Not kept on disk: numba's cache is a pickle beside the source or in the home directory, which an installation may
    not be able to write, and must not have to trust.
    """
    made: Callable[P, R] = numba.njit(nogil=True)(function)
    return made


class Crowd(NamedTuple):
    """All nodes."""

    d: int
    """Floats of a vector."""
    rows: Vectors
    """Of each node its vector, its AGE, PROGRESS and RATE, shape (n, width_of(d))."""
    paces: Any
    """Their paces, shape (n,) of PACE."""
    alive: Any
    """Who is present, shape (n,)."""


class Flight(NamedTuple):
    """What was published in one slot and is on its way; m messages of p nodes."""

    to: Indices
    """Receivers, shape (m,)."""
    source: Indices
    """Which of the publishes each message carries, shape (m,)."""
    sent: Vectors
    """Rows as they were published, shape (≥ p, width_of(d))."""


class Tally(NamedTuple):
    """What became of the messages so far."""

    fate: Any
    """Counts of MERGED, REFUSED and MISSED, shape (3,)."""
    taus: Any
    """Counts of merges by staleness, shape (TAU_BINS,)."""


def width_of(d: int) -> int:
    """Floats in the row of a node whose vector has `d`: up to a line of the cache, a power of two."""
    width = d + 3
    return 1 << (width - 1).bit_length() if width <= LINE else width


def aligned(rows: int, width: int, dtype: type[Number]) -> npt.NDArray[Number]:
    """Zeros of four bytes each that begin with a line of the cache, shape (rows, width)."""
    room = np.zeros(rows * width + LINE, dtype)
    skip = -(room.ctypes.data // room.itemsize) % LINE
    return room[skip : skip + rows * width].reshape(rows, width)


@compiled
def publish(senders: Indices, now: Any, chance: Any, steps: float, crowd: Crowd, sent: Vectors) -> None:
    """The nodes `senders` publish: their ages grow, their pace is measured, and what they send is copied.

    Args:
        senders: node numbers, shape (p,).
        now: their times of publish in slots, shape (p,).
        chance: that a publish of a sender goes to a given neighbour, shape (p,).
        steps: by how much an age grows.
        crowd: all nodes.
        sent: filled with the rows that travel, shape (≥ p, width_of(d)).
    """
    d, rows, paces, _ = crowd
    for p in range(senders.size):
        i = senders[p]
        pace = paces[i]
        rows[i, d + AGE] += steps
        age = np.float64(rows[i, d + AGE])
        progress = np.float64(rows[i, d + PROGRESS])
        gained = max(0.0, age - pace.published_age)
        pace.period += SMOOTHING * (now[p] - pace.published_at - pace.period)
        pace.published_at = now[p]
        pace.published_age = age
        rows[i, d + PROGRESS] = max(1.0, progress + SMOOTHING * (gained - progress))
        rows[i, d + RATE] = chance[p] / pace.period
        for c in range(rows.shape[1]):
            sent[p, c] = rows[i, c]


@compiled
def merge(flight: Flight, crowd: Crowd, tally: Tally) -> float:
    """The messages of `flight` arrive at the nodes of `crowd`, one after the other, and are added to the `tally`.

    One function, since calls with arrays count references, which takes longer than the merge.

    Returns:
        A number without meaning, so that the compiler keeps the look-ups that it comes from.
    """
    to, source, sent = flight
    d, rows, _, alive = crowd
    fate, taus = tally
    floor = FLOOR_RMS * math.sqrt(d)
    seen = 0.0
    for m in range(to.size):
        if m % AHEAD == 0:
            for ahead in range(m, min(m + AHEAD, to.size)):
                seen += rows[to[ahead], 0]
        j, r = to[m], source[m]
        if not alive[j]:
            fate[MISSED] += 1
            continue
        # Sums in four lanes, in a fixed order: one would wait for each addition before the next.
        n0, n1, n2, n3, o0, o1, o2, o3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for c in range(0, d - 3, 4):
            x0, x1, x2, x3 = (
                np.float64(rows[j, c]),
                np.float64(rows[j, c + 1]),
                np.float64(rows[j, c + 2]),
                np.float64(rows[j, c + 3]),
            )
            n0 += (sent[r, c] - x0) ** 2
            n1 += (sent[r, c + 1] - x1) ** 2
            n2 += (sent[r, c + 2] - x2) ** 2
            n3 += (sent[r, c + 3] - x3) ** 2
            o0, o1, o2, o3 = o0 + x0 * x0, o1 + x1 * x1, o2 + x2 * x2, o3 + x3 * x3
        for c in range(d // 4 * 4, d):
            x0 = np.float64(rows[j, c])
            n0 += (sent[r, c] - x0) ** 2
            o0 += x0 * x0
        norm, own = (n0 + n1) + (n2 + n3), (o0 + o1) + (o2 + o3)
        norm = math.sqrt(norm)
        radius = math.sqrt(own) + floor
        if not norm <= REFUSE_RADII * radius:
            fate[REFUSED] += 1
            continue
        age, their_age = np.float64(rows[j, d + AGE]), np.float64(sent[r, d + AGE])
        progress = np.float64(rows[j, d + PROGRESS])
        rate, their_rate = np.float64(rows[j, d + RATE]), np.float64(sent[r, d + RATE])
        gap = REBASE_GAP * progress
        believed = min(max(their_age, age - gap), age + gap)
        tau = max(0.0, age - their_age) / progress
        weight = min(their_rate, rate) / (2 * their_rate)
        if tau > HINGE_B:
            weight *= 1.0 / (HINGE_A * (tau - HINGE_B) + 1.0)
        if norm > radius:
            weight *= radius / norm
        share = np.float32(weight)
        for c in range(d):
            rows[j, c] += share * (sent[r, c] - rows[j, c])
        rows[j, d + AGE] = age + weight * (believed - age)
        fate[MERGED] += 1
        taus[min(int(tau / TAU_WIDTH), TAU_BINS - 1)] += 1
    return seen


@compiled
def moments(crowd: Crowd, alive: Any, mean: Any) -> float:
    """Fills `mean`, shape (d,), with that of `alive`; returns their mean squared distance from it per float."""
    d, rows, _, _ = crowd
    present = 0
    mean[:] = 0.0
    for i in range(alive.size):
        if alive[i]:
            present += 1
            for c in range(d):
                mean[c] += rows[i, c]
    if present == 0:
        return 0.0
    mean /= present
    total = 0.0
    for i in range(alive.size):
        if alive[i]:
            for c in range(d):
                difference = rows[i, c] - mean[c]
                total += difference * difference
    return float(total / (present * d))
