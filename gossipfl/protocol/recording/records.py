"""What a recording is made of: what one peer was made from and every event that it handled, so another can relive it.

Objects to bytes and back, one record at a time; `stream` lines them up in a file. A recording tells its reader what the
node has learnt: it holds the model and every training delta.

    Origin      what the peer was made from (kind 0)
    Happened    an event and its time (16 to 28); written before the event is handled
    Followed    8 bytes for each effect: its type, and 7 bytes of a hash of it (kind 1); written after its event
    State       hashes of the model, and the counters (kind 2); now and then after a Followed, and at the end

Events are arrays of MessagePack: time, then the fields in order. Vectors are float32, little-endian.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from random import Random
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta, Struct

from gossipfl.errors import LocalError
from gossipfl.membership.charter import Charter, Revocation
from gossipfl.model.replica import Checkpoint
from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.peer import Peer
from gossipfl.protocol.saved import Notes, Saved
from gossipfl.protocol.settings import Settings
from gossipfl_topology import TopologyError
from gossipfl_topology.live import Fixed, Topology, named

MAX_BODY = 1 << 30
"""Bytes of a body: the vector of a model of a quarter billion parameters. A length beyond it is refused unread."""
MAX_NOW = 1e11
"""Seconds: three thousand years from 1970; beyond it a time is no time."""
MAX_SIDES = 64
"""Sides of a tensor, as many as numpy has."""
OUTLINE = 8
"""Bytes that stand for one effect."""
DIGEST = 16

Timer: TypeAlias = str | tuple[str, ...]
_Digest: TypeAlias = Annotated[bytes, Meta(min_length=DIGEST, max_length=DIGEST)]


class Origin(Struct, frozen=True):
    """What a peer is made from; see Peer. `seed` is that of its random numbers, below 2¹²⁸.

    `made_with` names the software that recorded, by name and version.
    """

    me: str
    schema: Schema
    initial: Vector
    settings: Settings
    seed: int
    incarnation: int
    addresses: tuple[str, ...]
    bootstrap: Mapping[str, tuple[str, ...]]
    topology: Topology
    made_with: Mapping[str, str] = {}
    saved: Saved | None = None
    charter: Charter | None = None

    def peer(self) -> Peer:
        """A new peer, the same each time.

        Raises:
            LocalError: as Peer.
        """
        return Peer(
            self.me, self.schema, self.initial, self.settings, Random(self.seed), incarnation=self.incarnation,
            addresses=self.addresses, bootstrap=dict(self.bootstrap), topology=self.topology, saved=self.saved,
            charter=self.charter,
        )  # fmt: skip


class Happened(Struct, frozen=True):
    """`Peer.handle(event, now)` was called."""

    now: float
    event: ev.Event


class Followed(Struct, frozen=True):
    """The effects of the event before, each by its `outline`."""

    outlines: tuple[bytes, ...]

    @classmethod
    def of(cls, effects: Iterable[ev.Effect]) -> Followed:
        """The outlines of `effects`."""
        return cls(tuple(outline(effect) for effect in effects))


class State(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a peer stands: 16-byte hashes of its model, its served model and its base, and its counters."""

    model: _Digest
    served: _Digest
    age: float
    incarnation: int
    seq: int
    base: bytes

    @classmethod
    def of(cls, peer: Peer) -> State:
        """The state of `peer`."""
        model, served = _digest(peer.replica.x), _digest(peer.replica.served.x)
        return cls(model, served, float(peer.replica.age), peer.incarnation, peer.seq, peer.bases.own)

    @property
    def hash(self) -> str:
        """32 hexadecimal digits that stand for all of it."""
        return blake2b(msgspec.msgpack.encode(self), digest_size=DIGEST).hexdigest()


Record: TypeAlias = Origin | Happened | Followed | State


class Raw(NamedTuple):
    """A record in bytes, not yet deflated: what must be done before its vectors change, and no more."""

    kind: int
    body: bytes


class _Wiring(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A topology: its name says it all, but for a graph from a file."""

    name: str
    adjacency: Mapping[str, tuple[str, ...]] | None


class _Saved(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A Saved as it is recorded: vectors are bytes."""

    notes: Notes
    x: bytes
    personal: bytes
    served: bytes
    averaged: int
    age: float
    base: bytes


class _Origin(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An Origin as it is recorded."""

    me: str
    tensors: tuple[Tensor, ...]
    initial: bytes
    settings: Settings
    seed: Annotated[bytes, Meta(min_length=16, max_length=16)]
    incarnation: int
    addresses: tuple[str, ...]
    bootstrap: dict[str, tuple[str, ...]]
    topology: _Wiring
    made_with: dict[str, str]
    saved: _Saved | None = None
    charter: Charter | None = None


_ORIGIN, _FOLLOWED, _STATE = 0, 1, 2
_EVENTS: dict[int, tuple[type, Any]] = {
    16: (ev.Started, tuple[float]),
    17: (ev.Connected, tuple[float, str, bool]),
    18: (ev.Disconnected, tuple[float, str]),
    19: (ev.DialFailed, tuple[float, str]),
    20: (ev.Received, tuple[float, str, bytes]),
    21: (ev.Trained, tuple[float, int, bytes, int]),
    22: (ev.TrainingFailed, tuple[float, int, str]),
    23: (ev.TimerFired, tuple[float, Timer]),
    24: (ev.Rewired, tuple[float, _Wiring]),
    25: (ev.Stopping, tuple[float]),
    26: (ev.Found, tuple[float, str, tuple[str, ...]]),
    27: (ev.Readdressed, tuple[float, tuple[str, ...]]),
    28: (ev.Revoke, tuple[float, Revocation]),
}
"""Events by kind: time and fields as they are recorded. A number is never given to another event."""
_KINDS = {event: kind for kind, (event, _) in _EVENTS.items()}
_EFFECTS = (
    ev.Send, ev.Dial, ev.Disconnect, ev.SetTimer, ev.Train, ev.Joined, ev.Published, ev.Merged, ev.Refused, ev.Failed,
    ev.Suspected, ev.Died, ev.Partitioned, ev.Healed, ev.Admitted, ev.Revoked,
)  # fmt: skip
"""Effects by the first byte of their outlines; new ones go to the end."""


def outline(effect: ev.Effect) -> bytes:
    """8 bytes that stand for an effect: the number of its type, and 7 bytes of a hash of all that is in it."""
    content = _encoder.encode(effect)
    return bytes([_EFFECTS.index(type(effect))]) + blake2b(content, digest_size=OUTLINE - 1).digest()


def effect_of(outline: bytes) -> str:
    """The name of the effect's type."""
    return _EFFECTS[outline[0]].__name__


def encode(record: Record) -> Raw:
    """`record` in bytes that share nothing with it.

    Raises:
        LocalError: it holds what can't be recorded; the message says what.
    """
    try:
        match record:
            case Origin():
                raw = Raw(_ORIGIN, _encoder.encode(_flat_origin(record)))
            case Happened(now, event):
                raw = Raw(_KINDS[type(event)], _encoder.encode((float(now), *_flat(event))))
            case Followed(outlines):
                raw = Raw(_FOLLOWED, b"".join(outlines))
            case State():
                raw = Raw(_STATE, _encoder.encode(record))
    except (msgspec.MsgspecError, TopologyError, TypeError, ValueError, OverflowError) as error:
        raise LocalError(f"{type(record).__name__} can't be recorded: {error}") from error
    if len(raw.body) > MAX_BODY:
        raise LocalError(f"{len(raw.body)} bytes can't be recorded at once; at most {MAX_BODY} are allowed")
    return raw


def decode(raw: Raw) -> Record:
    """The record in `raw`.

    Raises:
        LocalError: it does not hold what its kind promises.
    """
    kind, body = raw
    try:
        if kind == _ORIGIN:
            return _full_origin(msgspec.msgpack.decode(body, type=_Origin))
        if kind == _FOLLOWED:
            return _followed(body)
        if kind == _STATE:
            return msgspec.msgpack.decode(body, type=State)
        if kind not in _EVENTS:
            raise LocalError(f"a record of kind {kind}; there is none")
        event, types = _EVENTS[kind]
        now, *fields = msgspec.msgpack.decode(body, type=types)
        if not 0 <= now <= MAX_NOW:  # NaN fails this too
            raise LocalError(f"an event at {now} s; allowed is 0 to {MAX_NOW:g}")
        return Happened(now, _full(event, fields))
    except (msgspec.MsgspecError, ValueError, RecursionError, TopologyError) as error:
        raise LocalError(f"a record does not hold what its kind promises: {error}") from error


def _followed(body: bytes) -> Followed:
    outlines = tuple(body[at : at + OUTLINE] for at in range(0, len(body), OUTLINE))
    if len(body) % OUTLINE or not all(outline[0] < len(_EFFECTS) for outline in outlines):
        raise LocalError(f"{len(body)} bytes that are no outlines of effects")
    return Followed(outlines)


def _flat(event: ev.Event) -> tuple[Any, ...]:
    """The fields of `event` as they are recorded."""
    match event:
        case ev.Trained(training, delta, steps):
            return training, _bytes(delta), steps
        case ev.TimerFired(timer):
            return (msgspec.convert(timer, Timer),)
        case ev.Rewired(topology):
            return (_wiring(topology),)
        case _:
            return msgspec.structs.astuple(event)


def _full(event: type, fields: list[Any]) -> ev.Event:
    """The other way."""
    if event is ev.Trained:
        fields[1] = _vector(fields[1])
    elif event is ev.Rewired:
        fields[0] = _topology(fields[0])
    made: ev.Event = event(*fields)
    return made


def _flat_origin(origin: Origin) -> _Origin:
    return _Origin(
        origin.me, origin.schema.tensors, _bytes(origin.initial), origin.settings, origin.seed.to_bytes(16, "little"),
        origin.incarnation, origin.addresses, dict(origin.bootstrap), _wiring(origin.topology), dict(origin.made_with),
        _flat_saved(origin.saved) if origin.saved else None, origin.charter,
    )  # fmt: skip


def _full_origin(flat: _Origin) -> Origin:
    if any(len(tensor.shape) > MAX_SIDES for tensor in flat.tensors):
        raise LocalError(f"a tensor of more than {MAX_SIDES} sides")
    # Before a Schema is made, which takes memory for every element.
    if 4 * sum(math.prod(tensor.shape) for tensor in flat.tensors) != len(flat.initial):
        raise LocalError(f"an initial vector of {len(flat.initial)} bytes, which does not fit its schema")
    return Origin(
        flat.me, Schema(flat.tensors), _vector(flat.initial), flat.settings, int.from_bytes(flat.seed, "little"),
        flat.incarnation, flat.addresses, flat.bootstrap, _topology(flat.topology), flat.made_with,
        _full_saved(flat.saved) if flat.saved else None, flat.charter,
    )  # fmt: skip


def _flat_saved(saved: Saved) -> _Saved:
    model = saved.model
    x, personal, served, base = map(_bytes, (model.x, model.personal, model.served, saved.base))
    return _Saved(saved.notes, x, personal, served, model.averaged, model.age, base)


def _full_saved(flat: _Saved) -> Saved:
    x, personal, served, base = map(_vector, (flat.x, flat.personal, flat.served, flat.base))
    return Saved(flat.notes, Checkpoint(x, personal, served, flat.averaged, flat.age), base)


def _wiring(topology: Topology) -> _Wiring:
    if isinstance(topology, Fixed):
        return _Wiring(topology.name, topology.adjacency)
    if named(topology.name) != topology:
        raise LocalError(f"topology {topology.name!r} can't be recorded: its name does not tell all of it")
    return _Wiring(topology.name, None)


def _topology(wiring: _Wiring) -> Topology:
    return named(wiring.name) if wiring.adjacency is None else Fixed(wiring.name, wiring.adjacency)


def _bytes(vector: Vector) -> bytes:
    if not isinstance(vector, np.ndarray) or vector.dtype != np.float32 or vector.ndim != 1:
        raise LocalError("a vector that is not a flat array of float32 can't be recorded")
    return vector.astype("<f4", copy=False).tobytes()


def _vector(content: bytes) -> Vector:
    if len(content) % 4:
        raise LocalError(f"a vector of {len(content)} bytes, which are no float32")
    return np.frombuffer(content, dtype="<f4").astype(np.float32)


def _digest(array: np.ndarray[Any, Any]) -> bytes:
    """Of dtype, shape and content."""
    whole = np.ascontiguousarray(array)
    content = blake2b(f"{whole.dtype.str}{whole.shape}".encode(), digest_size=DIGEST)
    content.update(whole.data)
    return content.digest()


def _plain(value: Any) -> Any:
    """What stands for a value of numpy where effects are hashed."""
    if isinstance(value, np.ndarray):
        return _digest(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} can't be recorded")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain, order="deterministic")
