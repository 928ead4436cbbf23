"""What the core's tests share: small models, peers driven by hand, and frames as another node would send them."""

from __future__ import annotations

import random
from collections import deque
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gossipfl.codec.codec import Delta, encode
from gossipfl.codec.coordinates import All
from gossipfl.codec.quantisers import quantiser
from gossipfl.kernels import BLOCK
from gossipfl.kernels import numpy as reference
from gossipfl.membership.charter import Charter, Credential, Members, Revocation
from gossipfl.membership.ids import KEY_BYTES, id_of
from gossipfl.model.bases import name_of
from gossipfl.model.rebase import Told
from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.neighbour import Neighbour
from gossipfl.protocol.parts.exchange import ZEROS
from gossipfl.protocol.peer import JOIN, Peer
from gossipfl.protocol.saved import Saved
from gossipfl.protocol.settings import Settings
from gossipfl.wire import messages as msg
from gossipfl.wire.frames import parts

T = TypeVar("T")


def frame(body: bytes) -> bytes:
    """`body` as it lies on a byte stream."""
    return b"".join(parts(body))


def flat(size: int) -> Schema:
    """A schema of one shared tensor."""
    return Schema([Tensor("w", (size,))])


def vector(*values: float) -> Vector:
    return np.array(values, dtype=np.float32)


def full_of(value: float, size: int = 8) -> Vector:
    return np.full(size, value, dtype=np.float32)


def noise(size: int, seed: int = 0, scale: float = 1.0) -> Vector:
    return (scale * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)


def a_peer(
    initial: Vector | None = None,
    *,
    me: str = "me",
    seed: int = 0,
    incarnation: int = 1,
    schema: Schema | None = None,
    addresses: tuple[str, ...] = ("here",),
    bootstrap: dict[str, tuple[str, ...]] | None = None,
    saved: Saved | None = None,
    charter: Charter | None = None,
    **settings: Any,
) -> Peer:
    """A peer that has not been started. Without `initial` its model has 8 coordinates of 0.5."""
    initial = full_of(0.5) if initial is None else initial
    return Peer(
        me,
        schema or flat(initial.size),
        initial,
        Settings(**settings),
        random.Random(seed),
        incarnation=incarnation,
        addresses=addresses,
        bootstrap=bootstrap,
        saved=saved,
        charter=charter,
    )


def a_learning_peer(initial: Vector | None = None, **options: Any) -> Peer:
    """A peer that found nobody and began alone."""
    peer = a_peer(initial, **options)
    peer.handle(ev.Started(), 0.0)
    assert only(ev.Joined, peer.handle(ev.TimerFired(JOIN), 3.0))
    return peer


def hello(peer: Peer, **fields: Any) -> bytes:
    """A greeting that fits `peer`, from somebody who has not learnt yet and has the same base."""
    usual: dict[str, Any] = {
        "mesh": peer.settings.mesh, "schema": peer.replica.schema.fingerprint, "base": peer.bases.own,
        "incarnation": 1, "seq": 0, "age": 0.0, "addresses": ("there",), "role": "",
        "codec": peer.settings.codec, "heard": True,
    }  # fmt: skip
    return msg.encode(msg.Hello(**usual | fields))


def meet(peer: Peer, *others: str, now: float = 0.0, **fields: Any) -> list[ev.Effect]:
    """Link `peer` with `others`, who greet it."""
    effects = []
    for other in others:
        effects += peer.handle(ev.Connected(other), now)
        effects += peer.handle(ev.Received(other, hello(peer, **fields)), now)
    return effects


def quantised(x: Vector, base: Vector, seed: int = 0, *, codec: str = "int8") -> Delta:
    """All coordinates of x − base."""
    return encode(quantiser(codec), All(), x, base, random.Random(seed), reference)[0]


def int8(scales: bytes, codes: bytes) -> Delta:
    """A payload of all coordinates with these scales and codes, whatever they are worth."""
    return Delta(All(), quantiser("int8").number, packed=False, data=memoryview(scales + codes))


def update(peer: Peer, x: Vector, seq: int = 1, **fields: Any) -> bytes:
    """The version `seq` of somebody's model `x`, against the base of `peer`."""
    usual: dict[str, Any] = {
        "schema": peer.replica.schema.fingerprint, "base": peer.bases.own, "incarnation": 1, "seq": seq,
        "age": peer.replica.age, "rate": 1.0, "payload": quantised(x, peer.bases[peer.bases.own]),
    }  # fmt: skip
    return msg.encode(msg.Update(**usual | fields))


def base_message(peer: Peer, x: Vector, **fields: Any) -> bytes:
    usual: dict[str, Any] = {"schema": peer.replica.schema.fingerprint, "parent": ZEROS, "payload": in_full(x)}
    return msg.encode(msg.Base(**usual | fields))


def in_full(x: Vector) -> Delta:
    """`x` as float32."""
    return Delta(All(), quantiser("float32").number, packed=False, data=memoryview(x.astype("<f4").tobytes()))


def told_model(x: Vector) -> Told:
    """`x` exactly, as if a peer had said so."""
    return Told(x, np.zeros(-(-x.size // BLOCK), np.float32), np.zeros(x.size, np.int8))


def opened(body: bytes) -> bytes:
    """A frame as it is, and behind it what is packed in it."""
    payload = getattr(msg.decode(body), "payload", None)
    return body + zstandard.decompress(payload.data) if payload is not None and payload.packed else body


def snapshot(peer: Peer, x: Vector, against: Vector | None = None, **fields: Any) -> bytes:
    """The model `x` that somebody serves, against that base, or the base of `peer`."""
    against = peer.bases[peer.bases.own] if against is None else against
    usual: dict[str, Any] = {
        "schema": peer.replica.schema.fingerprint, "base": name_of(against), "age": 1000.0,
        "payload": quantised(x, against),
    }  # fmt: skip
    return msg.encode(msg.Snapshot(**usual | fields))


def only(kind: type[T], effects: list[ev.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def said(effects: list[ev.Effect]) -> list[tuple[tuple[str, ...], msg.Message]]:
    """What was sent to whom."""
    return [(send.to, msg.decode(send.body)) for send in only(ev.Send, effects)]


def told(kind: type[T], effects: list[ev.Effect]) -> list[tuple[str, T]]:
    """Messages of one kind, with the first recipient of each."""
    return [(to[0], message) for to, message in said(effects) if isinstance(message, kind)]


def trained(peer: Peer, delta: Vector | float = 0.0, *, steps: int | None = None, now: float = 10.0) -> list[ev.Effect]:
    """The training that runs ends with `delta`."""
    assert peer._training is not None
    change = full_of(delta, peer.replica.schema.size) if isinstance(delta, float | int) else delta
    return peer.handle(ev.Trained(peer._training, change, steps or peer.settings.steps), now)


def state(peer: Peer) -> dict[str, Any]:
    """All that a peer holds, but what it thinks of others' behaviour: strikes."""
    replica = peer.replica
    joining = peer.joining
    return {
        "x": replica.x.tobytes(), "served": replica.served.x.tobytes(),
        "served count": replica.served.count, "age": replica.age, "full": replica.full().tobytes(),
        "base": peer.bases.own, "bases": list(peer.bases._held), "seq": (peer.incarnation, peer.seq),
        "training": (peer._training, peer._trainings), "pace": (peer.pace.progress, peer.pace.period),
        "published": (peer.pace._at, peer.pace._age),
        "neighbours": {
            name: {
                field: getattr(one if isinstance(one, Neighbour) else Neighbour(one), field)
                for field in Neighbour.__struct_fields__
                if field not in ("strikes", "struck_at")
            }
            for name, one in peer.neighbourhood.known.items()
        },
        "joining": None
        if joining is None
        else (sorted(joining.asked), joining.rounds, sorted(joining.snapshots), sorted(joining.waiting)),
        "wanted": list(peer.wanted.asked.items()),
        "randomness": peer.rng.getstate(),
    }  # fmt: skip


def content(saved: Saved) -> tuple[Any, ...]:
    """All that was saved, in bytes and numbers that nothing can change any more."""
    model = saved.model
    vectors = (model.x, model.personal, model.served, saved.base)
    return saved.notes, model.age, model.averaged, *(vector.tobytes() for vector in vectors)


def distance(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    return float(np.linalg.norm(one.astype(np.float64) - other.astype(np.float64)))


class Device:
    """A device with a key: number `number` of them. It may hold a charter, and speak for it."""

    def __init__(self, number: int, charter: Charter | None = None, mesh: str = Settings().mesh) -> None:
        self.seed = number.to_bytes(KEY_BYTES, "big")
        self._key = Ed25519PrivateKey.from_private_bytes(self.seed)
        self.id = id_of(self._key.public_key().public_bytes_raw())
        self.sign = self._key.sign
        self.mesh = mesh
        self.charter = charter or Charter(self.id)

    @property
    def members(self) -> Members:
        """As this device starts with them."""
        return Members(self.id, self.mesh, self.charter)

    def admit(self, device: str, *, admin: bool = False) -> Credential:
        return self.members.admit(device, self.id, self.sign, admin=admin)

    def welcome(self, number: int, *, admin: bool = False) -> Device:
        """Another device, which this one has admitted."""
        device = Device(number)
        return Device(number, Charter(self.charter.founder, self.admit(device.id, admin=admin)), self.mesh)

    def ban(self, device: str) -> Revocation:
        return self.members.revoke(device, self.id, self.sign)


class Room:
    """Peers in one room: what one says, the others hear at once. Timers and training wait for the test."""

    def __init__(self, *peers: Peer) -> None:
        self.peers = {peer.me: peer for peer in peers}
        self.heard: list[tuple[str, ev.Effect]] = []
        self._links: set[frozenset[str]] = set()
        self._queue: deque[tuple[str, ev.Event]] = deque()

    def happen(self, name: str, event: ev.Event, now: float = 0.0) -> None:
        """Let `event` happen to one of the peers, and everything that follows from it."""
        self._queue.append((name, event))
        while self._queue:
            receiver, happening = self._queue.popleft()
            for effect in self.peers[receiver].handle(happening, now):
                self.heard.append((receiver, effect))
                self._carry_out(receiver, effect)

    def joined(self) -> dict[str, tuple[str, ...]]:
        """Who has begun to learn, and from whom."""
        return {name: effect.sources for name, effect in self.heard if isinstance(effect, ev.Joined)}

    def _carry_out(self, name: str, effect: ev.Effect) -> None:
        if isinstance(effect, ev.Send):
            self._queue += [(to, ev.Received(name, effect.body)) for to in effect.to if {name, to} in self._links]
        elif isinstance(effect, ev.Dial) and effect.peer in self.peers and {name, effect.peer} not in self._links:
            self._links.add(frozenset((name, effect.peer)))
            self._queue += [(name, ev.Connected(effect.peer)), (effect.peer, ev.Connected(name))]
