"""Messages: what peers say to each other, and the total function from bytes to messages.

Owns the vocabulary of the protocol and every limit on it. `decode` returns a message whose fields have the right types,
lengths and ranges, or raises RemoteError; nothing else leaves it. Whether a message fits *this* node (its schema, its
bases, what it has seen) is the peer's to judge, not ours.

A message is a MessagePack array: first its number, then its fields in order. `msgspec` reads it straight into these
types, and never more than they say: every text and list has a limit that is checked before anything is allocated for
it, bytes can't claim more than the body has, nothing nests deeper than the types do, and no type has maps, extensions
or unknown fields.
"""

from __future__ import annotations

import math
import struct
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from gossipfl.codec.codec import Delta
from gossipfl.errors import RemoteError
from gossipfl.membership.charter import Credential as Admissions
from gossipfl.membership.charter import Revocation
from gossipfl.membership.rumours import Rumour
from gossipfl.model.replica import MAX_AGE
from gossipfl.model.schema import FINGERPRINT_BYTES
from gossipfl.wire import frames

MAX_PEERS = 64
"""Peers in one exchange: with 8 addresses each a few kilobytes, enough to find a mesh of any size step by step."""
MAX_TEXT = 256
"""Characters of the longest text, an address."""
MAX_ADDRESSES = 8
"""Addresses of one peer: a device has a handful of interfaces, in IPv4 and IPv6."""
MAX_RATE = 1e6
"""Publishes per second: no device publishes a million times a second."""

MAX_REVOCATIONS = 32
"""In one message: eight kilobytes."""
MAX_RUMOURS = 8
"""In one message: half a kilobyte, at most."""
MAX_VALUE = 1e6
"""Of what is averaged, which is between 0 and 1 for each node: as much as a million of them can send one way."""

PeerId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
Address: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
Addresses: TypeAlias = Annotated[tuple[Address, ...], Meta(max_length=MAX_ADDRESSES)]
Name: TypeAlias = Annotated[str, Meta(max_length=64)]
Role: TypeAlias = Annotated[str, Meta(max_length=16)]
Counter: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
Age: TypeAlias = Annotated[float, Meta(ge=0, le=MAX_AGE)]
Rate: TypeAlias = Annotated[float, Meta(gt=0, le=MAX_RATE)]
Hash: TypeAlias = Annotated[bytes, Meta(min_length=FINGERPRINT_BYTES, max_length=FINGERPRINT_BYTES)]


Value: TypeAlias = Annotated[float, Meta(ge=-MAX_VALUE, le=MAX_VALUE)]
Rumours: TypeAlias = Annotated[tuple[Rumour, ...], Meta(max_length=MAX_RUMOURS)]


class Hello(Struct, frozen=True, array_like=True, gc=False, tag=1, forbid_unknown_fields=True):
    """First on every link: who I am, what I train, how far I am, and where I can be reached."""

    mesh: Name
    schema: Hash
    base: Hash
    incarnation: Counter
    seq: Counter
    age: Age
    addresses: Addresses
    role: Role
    codec: Name
    """With what I would have you encode what you send me; see `gossipfl.codec`."""
    heard: bool
    """Have I heard your Hello on this link? If not, and you have heard mine, say it again."""


class KnownPeer(Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """Somebody I know, and where they say they can be reached."""

    peer: PeerId
    addresses: Addresses


class Peers(Struct, frozen=True, array_like=True, gc=False, tag=2, forbid_unknown_fields=True):
    """Peer exchange: some of the peers that I know."""

    peers: Annotated[tuple[KnownPeer, ...], Meta(max_length=MAX_PEERS)]
    asks: bool
    """Tell me of yours, too."""


class Update(Struct, frozen=True, array_like=True, gc=False, tag=3, forbid_unknown_fields=True):
    """A published version of my model, as its difference to a base that we both hold."""

    schema: Hash
    base: Hash
    incarnation: Counter
    seq: Counter
    age: Age
    rate: Rate
    payload: Delta


class NeedBase(Struct, frozen=True, array_like=True, gc=False, tag=4, forbid_unknown_fields=True):
    """I lack the base that your message refers to."""

    base: Hash
    held: Hash
    """One that I have."""


class Base(Struct, frozen=True, array_like=True, gc=False, tag=5, forbid_unknown_fields=True):
    """A base, as its difference to another one that the asker holds, or to zeros; the hash of the sum is its name."""

    schema: Hash
    parent: Hash
    payload: Delta


class NeedSnapshot(Struct, frozen=True, array_like=True, gc=False, tag=6, forbid_unknown_fields=True):
    """I join, or come back after long: send me the model that you serve."""


class Snapshot(Struct, frozen=True, array_like=True, gc=False, tag=7, forbid_unknown_fields=True):
    """The model that I serve, as its difference to a base."""

    schema: Hash
    base: Hash
    age: Age
    payload: Delta


class Goodbye(Struct, frozen=True, array_like=True, gc=False, tag=8, forbid_unknown_fields=True):
    """I end this link on purpose; don't redial me."""

    leaves: bool
    """Do I leave the mesh? If not, I have links enough; cut this one."""


class Credential(Struct, frozen=True, array_like=True, gc=False, tag=9, forbid_unknown_fields=True):
    """Why I am of the mesh; where it is closed, it comes before the Hello. See `gossipfl.membership.charter`."""

    admissions: Admissions


class Revocations(Struct, frozen=True, array_like=True, gc=False, tag=10, forbid_unknown_fields=True):
    """Who is of the mesh no more."""

    revocations: Annotated[tuple[Revocation, ...], Meta(max_length=MAX_REVOCATIONS)]


class Count(Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """What I take for the number of members; see `gossipfl.protocol.parts.census`."""

    rank: Counter
    beat: Counter
    flow: Value
    estimate: Value


class Ping(Struct, frozen=True, array_like=True, gc=False, tag=11, forbid_unknown_fields=True):
    """Do you live? And some news."""

    number: Counter
    rumours: Rumours
    count: Count


class Ack(Struct, frozen=True, array_like=True, gc=False, tag=12, forbid_unknown_fields=True):
    """`about` lives: I, if you asked me, or the peer that you had me ask."""

    number: Counter
    about: PeerId
    rumours: Rumours
    count: Count


class PingFor(Struct, frozen=True, array_like=True, gc=False, tag=13, forbid_unknown_fields=True):
    """Ask `peer`, from whom I have no answer, whether it lives."""

    number: Counter
    peer: PeerId
    addresses: Addresses


Message: TypeAlias = (
    Hello
    | Peers
    | Update
    | NeedBase
    | Base
    | NeedSnapshot
    | Snapshot
    | Goodbye
    | Credential
    | Revocations
    | Ping
    | Ack
    | PingFor
)

_encoder = msgspec.msgpack.Encoder()
_NOTHING = memoryview(b"")
_decoder = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """The frame body that carries `message`."""
    if not isinstance(message, Update | Base | Snapshot):
        return frames.wrap(_encoder.encode(message))
    # Data comes last, and may be as large as the model. Bytes are joined while other threads go on; views are not.
    data = message.payload.data
    whole = data.obj if isinstance(data.obj, bytes) and len(data.obj) == len(data) else data
    without = replace(message, payload=replace(message.payload, data=_NOTHING))
    return frames.wrap(_encoder.encode(without).removesuffix(_encoder.encode(_NOTHING)) + _begin_of(data), whole)


def _begin_of(data: memoryview) -> bytes:
    """What stands before `data` in MessagePack."""
    size = len(data)
    if size < 1 << 8:
        return struct.pack(">BB", 0xC4, size)
    return struct.pack(">BH", 0xC5, size) if size < 1 << 16 else struct.pack(">BI", 0xC6, size)


def max_body(shared_size: int) -> int:
    """The largest legal body in bytes: a full base of `shared_size` float32, or a peer exchange, with room to spare."""
    return 4 * shared_size + (1 << 18)


def decode(body: bytes) -> Message:
    """The message in a frame body.

    Raises:
        RemoteError: anything at all is wrong with it.
    """
    message = frames.unwrap(body)
    try:
        decoded: Message = _decoder.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: text that is not UTF-8
        raise RemoteError(f"not a message: {error}") from error
    if math.isnan(_number(decoded)):  # the one that no range keeps out
        raise RemoteError(f"{type(decoded).__name__} carries NaN")
    return decoded


def _number(message: Message) -> float:
    """What is NaN if any number of `message` is."""
    match message:
        case Update():
            return message.age + message.rate
        case Ping() | Ack():
            return message.count.flow + message.count.estimate
        case Hello() | Snapshot():
            return message.age
        case _:
            return 0.0
