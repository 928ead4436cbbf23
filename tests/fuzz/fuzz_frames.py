"""Malformed frames against a live peer: nothing but effects may come out, and the model must stay sane.

    python tests/fuzz/fuzz_frames.py [--frames 1000000] [--seed N] [--keep-going]

Each frame goes the whole way: FrameDecoder → decode → Peer.handle. Most are valid messages with a field changed and the
checksum made anew, so that they get past it. Deterministic: the seed decides all; a violation prints it, the number of
the frame, and its bytes, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import gc
import random
import re
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec
import numpy as np

from gossipfl.codec.codec import codec, encode
from gossipfl.errors import RemoteError
from gossipfl.kernels import numpy as reference
from gossipfl.model.bases import MAX_HELD, name_of
from gossipfl.model.replica import MAX_AGE
from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.neighbourhood import MAX_KNOWN
from gossipfl.protocol.parts.exchange import ZEROS
from gossipfl.protocol.peer import JOIN, PUBLISH, Peer
from gossipfl.protocol.settings import Settings
from gossipfl.wire import frames
from gossipfl.wire import messages as msg
from tests.gossipfl.builders import frame, in_full

SIZE = 300
"""Two blocks of the codec, the second not full."""
SCHEMA = Schema([Tensor("w", (SIZE,))])
CODECS = (
    "int8",
    "int4+top-k:0.2",
    "int4+top-k:0.01",
    "int3+random:0.3",
    "int2+round-robin:5",
    "sign",
    "bfloat16+layers",
)
"""All ways to quantise, and all to say which coordinates."""
NAMES = ("a", "b", "c", "d", "stranger")
LIFE = 500
"""Frames against one peer, until a fresh one takes its place."""
LIMIT = 0.05
"""Seconds of processor time that one frame may take."""
FLOATS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-45,
    1e-30,
    1e9,
    1.1e9,
    1e30,
    1e38,
    3.4e38,
    -3.4e38,
    float("nan"),
    float("inf"),
    -float("inf"),
)
NUMBERS: tuple[Any, ...] = (0, 1, -1, 5, 1000, 1001, 2**31, 2**53, 2**53 + 1, 2**63, 2**64 - 1, -(2**63))
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    "",
    "x" * 300,
    b"",
    b"\0" * 16,
    (),
    ((),),
    {},
    {1: 2},
    (1,) * 70,
    (((((("p",),),),),),),
)
EXTS = (msgpack.ExtType(5, b""), msgpack.ExtType(1, b"x" * 16), msgpack.Timestamp(1))


class Violation(Exception):  # noqa: N818 - it is not the fuzzer's error
    """The peer did what it must never do."""


class Victim:
    """A live peer, its clock, and the links through which it is fed."""

    def __init__(self, rng: random.Random, *, joining: bool) -> None:
        self.rng = rng
        self.np_rng = np.random.default_rng(rng.getrandbits(64))
        self.now = 0.0
        initial = self.noise(1.0)
        self.others = [initial, self.noise(1.0), self.noise(1.0), np.full(SIZE, 3.4e38, np.float32)]
        self.others.sort(key=name_of)
        self.peer = Peer(
            "me", SCHEMA, initial, Settings(interval=0.5), random.Random(rng.getrandbits(64)),
            incarnation=1, addresses=("here",), bootstrap={"a": ("at a",)},
        )  # fmt: skip
        self.asked = name_of(initial)
        self.training: ev.Train | None = None
        self.decoders = {name: frames.FrameDecoder(msg.max_body(SIZE)) for name in NAMES}
        self.handle(ev.Started())
        if not joining:
            self.handle(ev.TimerFired(JOIN))
        for name in NAMES[:-1]:
            self.introduce(name, age=1e6 if joining else 0.0)

    def noise(self, scale: float) -> Vector:
        return (scale * self.np_rng.standard_normal(SIZE)).astype(np.float32)

    def introduce(self, name: str, age: float = 0.0) -> None:
        self.handle(ev.Connected(name))
        self.handle(ev.Received(name, frames.wrap(msgpack.packb(self.hello(age)))))

    def handle(self, event: ev.Event) -> list[ev.Effect]:
        effects = self.peer.handle(event, self.now)
        for effect in effects:
            if isinstance(effect, ev.Train):
                self.training = effect
            elif isinstance(effect, ev.Send):
                sent = msg.decode(effect.body)
                if isinstance(sent, msg.NeedBase):
                    self.asked = sent.base
        return effects

    def live_on(self) -> None:
        """What happens to a peer beside frames."""
        self.now += self.rng.choice((0.1, 1.0, 6.0))
        match self.rng.randrange(6):
            case 0:
                self.handle(ev.TimerFired(PUBLISH))
            case 1:
                self.handle(ev.TimerFired(JOIN))
            case 2:
                self.handle(ev.Disconnected(self.rng.choice(NAMES)))
            case 3:
                self.introduce(self.rng.choice(NAMES), self.peer.replica.age)
            case _ if self.training is not None:
                self.handle(ev.Trained(self.training.training, self.noise(0.01), 20))
            case _:
                pass

    # valid messages, as fields

    def hello(self, age: float | None = None) -> list[Any]:
        base = name_of(self.rng.choice(self.others))
        age = self.peer.replica.age if age is None else age
        return [
            1,
            "gossipfl",
            SCHEMA.fingerprint,
            base,
            1,
            0,
            age,
            ["there"],
            self.rng.choice(("", "gateway")),
            self.rng.choice(CODECS),
            self.rng.random() < 0.5,
        ]

    def payload(self, base: Vector) -> list[Any]:
        with np.errstate(all="ignore"):
            v = self.peer.replica.x + self.noise(self.rng.choice((0.0, 0.01, 0.3, 3.0))) - base
        if not np.abs(v).max() < 1e9:
            v = self.noise(1.0)
        name = self.rng.choice(CODECS)
        made_by = codec(name)
        where = made_by.selection.choose(SCHEMA, v, self.rng.randrange(100), self.rng)
        delta, _ = encode(made_by.quantiser, where, v, np.zeros_like(v), self.rng, reference)
        fields: list[Any] = msgspec.to_builtins(delta, builtin_types=(bytes, memoryview))
        return [*fields[:-1], bytes(delta.data)]

    def valid(self, name: str) -> list[Any]:
        """A message that an honest peer could send now."""
        peer, rng = self.peer, self.rng
        base = peer.bases[peer.bases.own] if rng.random() < 0.8 else rng.choice(self.others)
        age = peer.replica.age
        match rng.choices(range(1, 9), (1, 1, 8, 1, 2, 1, 3, 0.3))[0]:
            case 1:
                return self.hello()
            case 2:
                return [2, [[f"p{rng.randrange(999)}", ["somewhere"]] for _ in range(rng.randrange(5))]]
            case 3:
                known = peer.neighbourhood.known.get(name)
                life, seq = (known.incarnation, known.seq + 1) if known else (1, 1)
                return [3, SCHEMA.fingerprint, name_of(base), life, seq, age, 1.0, self.payload(base)]
            case 4:
                return [4, name_of(base), name_of(rng.choice(self.others))]
            case 5:
                wanted = [x for x in self.others if name_of(x) == self.asked] or [base]
                whole: list[Any] = msgspec.to_builtins(in_full(wanted[0]), builtin_types=(bytes,))
                return [5, SCHEMA.fingerprint, ZEROS, whole]
            case 6:
                return [6]
            case 7:
                return [7, SCHEMA.fingerprint, name_of(base), age, self.payload(base)]
            case _:
                return [8]


# --- mutations: of fields, of bytes, of the stream


def mutate_fields(rng: random.Random, fields: list[Any]) -> None:
    """Change one or two things in a message, in place, at any depth. Most keep their type, and get far."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        where, i = fields, rng.randrange(len(fields))
        while isinstance(where[i], list) and where[i] and rng.random() < 0.9:
            where, i = where[i], rng.randrange(len(where[i]))
        match rng.randrange(20):
            case 0:
                del where[i]
                if not fields:
                    fields.append(1)
            case 1:
                where.insert(i, rng.choice(ODD))
            case 2:
                where[i] = rng.choice(ODD)
            case 3:
                where[i] = rng.choice((*EXTS, *NUMBERS, *FLOATS))
            case n if n < 8:
                where[i] = nudged(rng, where[i])
            case _:
                where[i] = plausible(rng, where[i])


def plausible(rng: random.Random, value: Any) -> Any:
    """Another value that passes for one of a message: what is wrong with it only the peer can tell."""
    match value:
        case bool():
            return not value
        case int() if value < 9:
            return value + rng.choice((0, 1, 2))
        case int():
            return max(0, min(2**53, value + rng.choice((-1000, -1, 1, 2, 500, 1000, 1001, 2**53))))
        case float():
            return rng.choice((0.0, 5e-324, 1.0, 100.0, 1e6, value * rng.uniform(0.5, 2.0)))
        case bytes() if len(value) == 16:
            return rng.choice((value[::-1], rng.randbytes(16), bytes(16)))
        case bytes() if len(value) >= 4:
            changed = bytearray(value)
            start = 4 * rng.randrange(len(changed) // 4)
            changed[start : start + 4] = np.float32(
                rng.choice((0.0, 1e-45, 0.1, 1.0, 50.0, 1e8, 1e9, *FLOATS))
            ).tobytes()
            return bytes(changed)
        case _:
            return nudged(rng, value)


def nudged(rng: random.Random, value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            near = value + rng.choice((-2, -1, 1, 2, 999, 1000, 1001, 5000))
            return rng.choice((*NUMBERS, max(-(2**63), min(2**64 - 1, near))))
        case float():
            return rng.choice((*FLOATS, 1e15, 1.1e15, 1e6, 1.1e6, 5e-324, value * rng.uniform(0.0, 1e3)))
        case str():
            # Cut first: what is multiplied again and again would come in pieces that no network reads at once.
            return rng.choice(("", value[:100] * 300, value + "\0", "ü" * 200, "else"))
        case bytes() if len(value) >= 4:
            return nudged_bytes(rng, value)
        case list() if value:
            return rng.choice((value * 9, value[1:], value[::-1], [value]))
        case _:
            return rng.choice(ODD)


def nudged_bytes(rng: random.Random, value: bytes) -> bytes:
    changed = bytearray(value)
    i = rng.randrange(len(changed))
    match rng.randrange(6):
        case 0:
            changed[i] ^= 1 << rng.randrange(8)
        case 1:
            del changed[i:]
        case 2:
            changed += b"\0\0\x80\x3f"
        case 3:
            changed[:] = rng.randbytes(len(changed))
        case _:  # one float32 of a vector or of the scales, if that is what it is
            start = i // 4 * 4
            changed[start : start + 4] = np.float32(rng.choice(FLOATS)).tobytes()
    return bytes(changed)


def mutate_bytes(rng: random.Random, raw: bytes, donor: bytes) -> bytes:
    changed = bytearray(raw)
    i = rng.randrange(len(changed))
    match rng.randrange(6):
        case 0 | 1:
            for _ in range(rng.choice((1, 1, 2, 8))):
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        case 2:
            del changed[i:]
        case 3:
            changed += rng.randbytes(rng.randrange(1, 40))
        case 4:
            changed[i:] = donor[rng.randrange(len(donor)) :]
        case _:
            changed[i : i + 5] = rng.choice(
                (b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\0\0\1\0", b"\x91" * 200)
            )
    return bytes(changed)


def kind_of(reason: str) -> str:
    """A reason without its numbers and names, to count by."""
    words = re.sub(r"[0-9][0-9.e+-]*|'[^']*'|[^a-zA-Z' ]+", " ", reason).split()
    return " ".join(words[:5])


class Fuzzer:
    """Throws frames, checks what comes of each, and counts."""

    def __init__(self, seed: int, *, keep_going: bool = False) -> None:
        self.seed, self.keep_going = seed, keep_going
        self.rng = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()
        self.slowest, self.slowest_frame = 0.0, b""
        self.thrown = 0
        self.before = b""
        self.victim = Victim(self.rng, joining=False)

    def run(self, count: int) -> bool:
        """Throw `count` frames. Returns whether all went well."""
        gc.freeze()  # what was there before is not for a frame to look through
        for number in range(count):
            if number % LIFE == LIFE - 1:
                self.victim = Victim(self.rng, joining=number // LIFE % 2 == 0)
            if self.rng.random() < 0.02:
                self.check(b"", self.victim.live_on)
            self.throw()
            self.thrown += 1
            if self.violations and not self.keep_going:
                return False
        return not self.violations

    def throw(self) -> None:
        name = self.rng.choice((*NAMES, *NAMES[:-1]))
        kind = self.rng.choices(("fields", "bytes", "body", "junk", "stream", "valid"), (62, 12, 6, 4, 6, 10))[0]
        if kind == "stream":
            self.lie_on_the_stream()
            return
        body = self.rng.randbytes(self.rng.randrange(1, 100)) if kind == "junk" else self.body(kind, name)
        self.check(body, lambda: self.deliver(name, body))

    def body(self, kind: str, name: str) -> bytes:
        fields = self.victim.valid(name)
        if kind == "fields":
            mutate_fields(self.rng, fields)
        raw = msgpack.packb(fields)
        if kind == "bytes":
            raw = mutate_bytes(self.rng, raw, msgpack.packb(self.victim.valid(name)))
        body = frames.wrap(raw)
        return mutate_bytes(self.rng, body, body) if kind == "body" else body

    def check(self, body: bytes, happening: Callable[[], None]) -> None:
        """Let it happen; whatever must not come of it is a violation."""
        replica = self.victim.peer.replica
        self.before = replica.x.tobytes()
        start = time.thread_time()
        try:
            happening()
            took = time.thread_time() - start
            if took > self.slowest:
                self.slowest, self.slowest_frame = took, body
            if took > LIMIT:
                raise Violation(f"a frame took more than {LIMIT} s")
            self.look()
        except Exception as error:  # noqa: BLE001 - that is what it looks for
            self.violated(body, error)

    def look(self) -> None:
        peer = self.victim.peer
        for x in (peer.replica.x, peer.replica.served.x):
            if not np.isfinite(x).all():
                raise Violation("the model is not finite")
            if np.abs(x).max() > 1e12:
                raise Violation("the model is finite but not sane")
        if len(peer.neighbourhood.known) > MAX_KNOWN or len(peer.bases._held) > MAX_HELD:
            raise Violation("a table is not bounded")
        if not 0 <= peer.replica.age <= 2 * MAX_AGE:
            raise Violation("the age is not sane")

    def deliver(self, name: str, body: bytes) -> None:
        """The way of a frame from the stream to the peer."""
        decoder = self.victim.decoders[name]
        stream = frame(body) if body else frames.KEEP_ALIVE
        cut = self.rng.randrange(len(stream) + 1)
        if len(body) > msg.max_body(SIZE):
            self.refuse_on_the_stream(name, stream)
            return
        if [*decoder.feed(stream[:cut]), *decoder.feed(stream[cut:])] != [body]:
            raise Violation("the stream was cut elsewhere")
        if body:
            self.receive(name, body)

    def refuse_on_the_stream(self, name: str, stream: bytes) -> None:
        try:
            next(self.victim.decoders[name].feed(stream))
        except RemoteError:
            self.outcomes["refused: a length over the limit"] += 1
            self.victim.decoders[name] = frames.FrameDecoder(msg.max_body(SIZE))
        else:
            raise Violation("a frame over the limit was taken")

    def receive(self, name: str, body: bytes) -> None:
        victim = self.victim
        victim.now += 0.01
        peer = victim.peer
        radius = peer.replica.radius()
        effects = victim.handle(ev.Received(name, body))
        # A base can complete a rebase and, in the same turn, show that another snapshot that waited for it is bad.
        joined = any(isinstance(effect, ev.Joined) for effect in effects)
        moved = not joined and peer.replica.x.tobytes() != self.before
        outcome = "no effect"
        for effect in effects:
            match effect:
                case ev.Merged(_, _, weight):
                    outcome = "accepted: Merged"
                    self.check_merge(weight, radius)
                    moved = False
                case ev.Joined():
                    outcome = "accepted: Joined"
                case ev.Refused(_, reason):
                    outcome = "refused: " + kind_of(reason)
                    if moved:
                        raise Violation("a refused frame moved the model")
                case ev.Disconnect(other, _):
                    victim.handle(ev.Disconnected(other))
                    victim.handle(ev.TimerFired(("pardon", other)))  # if it is shunned, that long has passed
                    if other != NAMES[-1]:
                        victim.introduce(other, peer.replica.age)
                    moved = False
                case _:
                    outcome = "accepted: answered" if outcome == "no effect" else outcome
        if moved:
            raise Violation("the model moved without a merge")
        self.outcomes[outcome] += 1

    def check_merge(self, weight: float, radius: float) -> None:
        if not 0 <= weight <= 0.5:
            raise Violation(f"a merge of weight {weight}")
        x = self.victim.peer.replica.x.astype(np.float64)
        if not float(np.linalg.norm(x - np.frombuffer(self.before, np.float32))) <= 0.5 * radius * (1 + 1e-4):
            raise Violation("a merge moved the model by more than half its radius")

    def lie_on_the_stream(self) -> None:
        """A length that lies: over the limit it must be refused at once, below it must wait without memory."""
        rng, limit = self.rng, msg.max_body(SIZE)
        length = rng.choice((0, 1, limit, limit + 1, 2**31, 2**32 - 1, rng.randrange(2**32)))
        stream = length.to_bytes(4, "big") + rng.randbytes(rng.randrange(40))

        def feed() -> None:
            try:
                bodies = [body for body in frames.FrameDecoder(limit).feed(stream) if body]
            except RemoteError:
                self.outcomes["refused: a length over the limit"] += 1
                return
            if length > limit:
                raise Violation("a length over the limit was believed")
            for body in bodies:
                self.receive(NAMES[0], body)
            self.outcomes["no effect: waits for the rest of a frame"] += not bodies

        self.check(stream, feed)

    def violated(self, body: bytes, error: Exception) -> None:
        where = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__}: {re.sub(r'[^a-zA-Z ]+', '', str(error))[:80]} ({where.name}:{where.lineno})"
        self.violations[kind] += 1
        if self.violations[kind] == 1:
            print(f"VIOLATION {kind}\n  replay: --seed {self.seed} --frames {self.thrown + 1}\n  frame: {body.hex()}")
        self.victim = Victim(self.rng, joining=self.rng.random() < 0.5)

    def report(self, seconds: float, grown: int) -> None:
        print(f"seed {self.seed}: {self.thrown} frames in {seconds:.1f} s, {self.thrown / seconds:.0f} frames/s")
        print(f"slowest frame {1000 * self.slowest:.2f} ms: {self.slowest_frame[:32].hex()}…")
        print(f"memory grew by {grown / 1024:.1f} MiB")
        for outcome, count in sorted(self.outcomes.items(), key=lambda pair: (pair[0].split(":")[0], -pair[1])):
            if count >= max(1, self.thrown // 100_000):
                print(f"{count:10} {outcome}")
        for kind, count in self.violations.most_common():
            print(f"{count:10} VIOLATION {kind}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep-going", action="store_true", help="count violations instead of stopping at the first")
    options = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fuzzer = Fuzzer(options.seed, keep_going=options.keep_going)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.monotonic()
        well = fuzzer.run(options.frames)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    fuzzer.report(time.monotonic() - start, grown)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
