"""Daemons as real processes that know one address: they find each other, learn, survive kill -9 and hostile peers."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import trio
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedStreamError
from multiaddr import Multiaddr

from gossipfl.codec.codec import Delta, decode
from gossipfl.codec.quantisers import values
from gossipfl.errors import RemoteError
from gossipfl.membership.reputation import MAX_STRIKES
from gossipfl.model.bases import name_of
from gossipfl.protocol.events import Connected, Disconnected, Received
from gossipfl.tasks.digits import digits
from gossipfl.tasks.task import Node
from gossipfl.wire import frames
from gossipfl.wire import messages as msg
from gossipfl_nodes.network import cures
from gossipfl_nodes.network.network import PROTOCOL
from tests.gossipfl.builders import Device, int8, opened
from tests.nodes.network.hosts import Party, party
from tests.nodes.support import Daemon, gossipfl, mesh_key, runs, wait_for

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

NODES = 4
MESH = "under-test"
numbers = itertools.count(2)
"""Of guests."""
KEYS = {"gossip__interval": "0.2", "gossip__mesh": MESH, "task__count": str(NODES)}


@pytest.fixture(scope="module")
def mesh() -> Iterator[list[Daemon]]:
    """Four daemons of digits; only the address of the first is known to the others. All learn already."""
    daemons: list[Daemon] = []
    with tempfile.TemporaryDirectory(prefix="gfl-", dir="/tmp") as folder:
        try:
            bootstrap = ""
            for index in range(NODES):
                daemon = Daemon(
                    Path(folder) / f"node-{index}", **KEYS, task__index=str(index), network__bootstrap=bootstrap
                )
                daemons.append(daemon)
                daemon.start()
                bootstrap = bootstrap or daemon.address()
            for daemon in daemons:
                daemon.wait_until(lambda status: status["merges"] > 0 and status["peers"] >= NODES - 1, "the mesh")
            yield daemons
        finally:
            for daemon in daemons:
                daemon.kill()


# --- learning


def test_all_find_each_other_though_only_one_address_was_known(mesh: list[Daemon]) -> None:
    ids = {daemon.id for daemon in mesh}
    for daemon in mesh:
        others = ids - {daemon.id}
        wait_for(lambda: {i for i, row in daemon.peers().items() if row["live"]} >= others, "live links to all")  # noqa: B023


def test_all_learn_what_no_node_alone_has_data_for(mesh: list[Daemon]) -> None:
    for daemon in mesh:
        # Each node has seen three of ten classes: alone it gets no further than .3.
        daemon.wait_until(lambda status: status["metrics"].get("accuracy", 0) > 0.7, "an accuracy over .7")
    for daemon in mesh:
        rows = daemon.peers()
        assert all(rows[other.id]["merges"] > 0 for other in mesh if other is not daemon)
        assert all(rows[other.id]["bytes_received"] > 0 for other in mesh if other is not daemon)


def test_each_daemon_has_one_training_process(mesh: list[Daemon]) -> None:
    assert [len(daemon.workers()) for daemon in mesh] == [1] * NODES


def test_a_daemon_killed_without_a_word_comes_back_with_the_mesh_s_model(mesh: list[Daemon]) -> None:
    victim, others = mesh[-1], mesh[:-1]
    before = victim.status()
    (worker,) = victim.workers()
    victim.kill()
    wait_for(lambda: not runs(worker), "the training process of the killed daemon is gone")
    for other in others:
        other.wait_until(lambda status: status["peers"] <= NODES - 2, "the loss is noticed")
    merges = [other.status()["merges"] for other in others]
    for other, count in zip(others, merges, strict=True):
        other.wait_until(lambda status, count=count: status["merges"] > count + 3, "the others go on")  # type: ignore[misc]

    victim.start()
    after = victim.wait_until(lambda status: status["state"] == "learning", "it learns again")
    assert after["incarnation"] > before["incarnation"]
    assert after["rebases"] >= 1
    assert after["age"] > before["age"] / 2, "it did not begin anew"
    victim.wait_until(lambda status: status["merges"] > 3 and status["peers"] >= NODES - 1, "it merges again")
    victim.wait_until(lambda status: status["metrics"].get("accuracy", 0) > 0.5, "it knows more than its own classes")
    for other in others:
        wait_for(lambda: other.peers()[victim.id]["incarnation"] == after["incarnation"], "its new life is known")  # noqa: B023
        seen = other.peers()[victim.id]["merges"]
        wait_for(lambda: other.peers()[victim.id]["merges"] > seen, "its versions are merged again")  # noqa: B023


# --- data never leaves


class Guest:
    """A member of the mesh that trains nothing, does as it likes, and remembers every frame that it is sent."""

    def __init__(self, here: Party, device: Device) -> None:
        self.here = here
        self._credential = msg.encode(msg.Credential(device.charter.credential))
        self.heard: list[tuple[str, bytes]] = []
        self.hellos: dict[str, msg.Hello] = {}
        self.left: set[str] = set()
        self.incarnation = 1

    async def listen(self) -> None:
        """Take in what comes, until cancelled."""
        async for event in self.here.events:
            match event:
                case Received(peer, body):
                    self.heard.append((peer, body))
                    message = msg.decode(body)
                    if isinstance(message, msg.Hello):
                        self.hellos[peer] = message
                case Disconnected(peer):
                    self.left.add(peer)
                    self.hellos.pop(peer, None)
                case Connected(peer):
                    self.left.discard(peer)
                    self.here.network.admit(peer)
                    self.here.network.send(peer, self._credential, supersedes=False)

    async def join(self, daemon: Daemon) -> msg.Hello:
        """Link up with a daemon, and greet it correctly; what it said of itself."""
        where, _, peer = daemon.address().partition("/p2p/")
        if peer in self.left:
            await trio.sleep(1)  # as the core waits before it dials again
        with trio.fail_after(30):
            while peer not in self.hellos:
                if peer not in self.here.network.links:
                    self.here.network.dial(peer, (where,))
                await trio.sleep(0.1)
        theirs = self.hellos[peer]
        self.say(
            daemon,
            msg.Hello(
                theirs.mesh, theirs.schema, theirs.base, self.incarnation, 0, theirs.age, (), "", "int8", heard=True
            ),
        )
        return theirs

    def say(self, daemon: Daemon, message: msg.Message) -> None:
        self.shout(daemon, msg.encode(message))

    def shout(self, daemon: Daemon, body: bytes) -> None:
        self.here.network.send(daemon.id, body, supersedes=False)

    async def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait until `condition` holds."""
        with trio.move_on_after(20):
            while not await trio.to_thread.run_sync(condition):
                await trio.sleep(0.1)
            return
        raise AssertionError(what)

    def messages(self, peer: str, kind: type[msg.Message]) -> list[msg.Message]:
        found = (msg.decode(body) for sender, body in self.heard if sender == peer)
        return [message for message in found if isinstance(message, kind)]


@asynccontextmanager
async def guest() -> AsyncIterator[Guest]:
    """A guest at loopback, another one each time."""
    device = Device(1, mesh=MESH).welcome(next(numbers))
    async with party(device.seed, secret=mesh_key(MESH)) as here, trio.open_nursery() as nursery:
        visitor = Guest(here, device)
        nursery.start_soon(visitor.listen)
        yield visitor
        nursery.cancel_scope.cancel()


def raw_rows() -> list[bytes]:
    """Every training row and run of labels of the four nodes, in each form in which they lie in memory."""
    found = []
    for index in range(NODES):
        task = digits(Node(index, NODES, 0))
        x, y = task._x, task._y
        for row in x:
            middle = row[16:48]  # the image's middle rows, where the ink is; whole rows contain them
            pixels = np.rint(middle * 16)
            assert len(np.unique(pixels)) > 3
            found += [middle.astype(np.float32).tobytes(), middle.astype(np.float64).tobytes()]
            found += [pixels.astype(kind).tobytes() for kind in (np.uint8, np.float32, np.float64, np.int64)]
        for start in range(0, len(y) - 32, 16):
            labels = y[start : start + 32]
            if len(np.unique(labels)) > 1:
                found += [labels.astype(kind).tobytes() for kind in (np.uint8, np.int32, np.int64, np.float32)]
    return found


def test_no_row_and_no_label_of_a_node_s_data_is_in_anything_that_it_sends(mesh: list[Daemon]) -> None:
    heard: list[bytes] = []
    bases: dict[bytes, bytes] = {}

    async def main() -> None:
        async with guest() as visitor:
            for daemon in mesh:
                theirs = await visitor.join(daemon)
                bases[theirs.base] = b""
                visitor.say(daemon, msg.NeedSnapshot())
                visitor.say(daemon, msg.NeedBase(theirs.base, bytes(16)))
            for daemon in mesh:
                for kind, least in ((msg.Snapshot, 1), (msg.Base, 1), (msg.Update, 5), (msg.Peers, 1)):
                    await visitor.wait(
                        lambda kind=kind, daemon=daemon, least=least: len(visitor.messages(daemon.id, kind)) >= least,  # type: ignore[misc]
                        f"{kind.__name__} of {daemon.home.path.name}",
                    )
                for base in visitor.messages(daemon.id, msg.Base):
                    assert isinstance(base, msg.Base)
                    _, scales, codes = decode(base.payload, SIZE)
                    bases[name_of(values(scales, codes))] = opened(msg.encode(base))
            heard.extend(opened(body) for _, body in visitor.heard)

    trio.run(main)
    rows = raw_rows()
    assert len(rows) > 8000
    everything = b"\n".join(heard)
    assert len(everything) > 50_000
    assert not [row for row in rows if row in everything]
    assert all(base and base in everything for base in bases.values()), "the search finds what was sent, as their bases"


# --- hostile peers


def assert_the_mesh_goes_on(mesh: list[Daemon]) -> None:
    """Every daemon merges on, and its model is still good."""
    for daemon in mesh:
        merges = daemon.status()["merges"]
        after = daemon.wait_until(
            lambda status, merges=merges: status["merges"] > merges + 5 and status["peers"] >= NODES - 1,  # type: ignore[misc]
            "merges go on, with all",
        )
        assert after["metrics"]["accuracy"] > 0.6
        assert all(math.isfinite(value) for value in (after["age"], after["loss"], *after["metrics"].values()))


def payload(size: int, scale: float) -> Delta:
    """An update's payload of ones."""
    return int8(struct.pack("<f", scale) * -(-size // 256), b"\1" * size)


SIZE = digits(Node()).schema.shared_size


def malformed(hello: msg.Hello, incarnation: int) -> list[bytes]:
    """Frame bodies of which each breaks a rule."""

    def update(seq: int, **changed: object) -> msg.Update:
        plain = msg.Update(hello.schema, hello.base, incarnation, seq, hello.age, 1.0, payload(SIZE, 0.001))
        return msgspec.structs.replace(plain, **changed)

    wrapped = msg.encode(update(1))
    return [
        b"",
        b"\0" * 3,
        b"HTTP/1.1 400 Bad Request",
        frames.wrap(b""),
        frames.wrap(b"\xc1"),
        frames.wrap(b"\x91" * 5000),
        frames.wrap(b"\xdd\xff\xff\xff\xff"),
        frames.wrap(b"\xc6\xff\xff\xff\xff"),
        frames.wrap(b"\x92\x63\x00"),
        wrapped[:2] + bytes([frames.PROTOCOL_VERSION + 1]) + wrapped[3:],
        wrapped[:-1] + bytes([wrapped[-1] ^ 1]),
        wrapped[:-10],
        msg.encode(update(2, payload=payload(SIZE, math.nan))),
        msg.encode(update(3, payload=payload(SIZE, math.inf))),
        msg.encode(update(4, payload=payload(SIZE, -1.0))),
        msg.encode(update(5, payload=payload(SIZE, 1e29))),
        msg.encode(update(6, payload=payload(SIZE + 1, 0.001))),
        msg.encode(update(7, payload=int8(b"", b""))),
        msg.encode(update(8, age=math.nan)),
        msg.encode(update(9, rate=math.inf)),
        msg.encode(update(10, rate=0.0)),
        msg.encode(update(11, schema=bytes(16))),
        msg.encode(update(2**53)),
        msg.encode(update(12, age=-1.0)),
    ]


def test_the_test_s_own_malformed_frames_are_malformed() -> None:
    hello = msg.Hello("m", bytes(range(16)), bytes(16), 1, 0, 10.0, (), "", "int8", heard=True)
    bodies = malformed(hello, 1)
    broken = 0
    for body in bodies:
        try:
            msg.decode(body)
        except RemoteError:
            broken += 1
    assert broken >= 15, "the others fit no node: wrong lengths, scales, schema and jumps"
    assert all(body for body in bodies[1:])


def test_malformed_frames_are_refused_counted_and_logged_by_name_and_the_mesh_goes_on(mesh: list[Daemon]) -> None:
    target = mesh[1]
    before = target.status()["refused"]

    async def shout_some(first: int) -> tuple[str, int]:
        """As many from `first` on as one peer may before it is shunned; who, and how many there are in all."""
        async with guest() as visitor:
            hello = await visitor.join(target)
            bodies = [body for body in malformed(hello, visitor.incarnation) if body]
            some = bodies[first : first + MAX_STRIKES - 1]
            for number, body in enumerate(some, start=first + 1):
                visitor.shout(target, body)
                await visitor.wait(
                    lambda number=number: target.status()["refused"] == before + number,  # type: ignore[misc]
                    f"malformed frame {number} is refused",
                )
            row = target.peers()[visitor.here.id]
            assert (row["refused"], row["strikes"], row["merges"]) == (len(some), len(some), 0)
            return visitor.here.id, len(bodies)

    first, there = 0, 1
    while first < there:
        begun = time.monotonic()
        hostile, there = trio.run(shout_some, first)
        took = time.monotonic() - begun
        first += MAX_STRIKES - 1
        lines = [line for line in target.events("refused") if line["peer"] == hostile]
        assert 1 <= len(lines) <= 1 + took / 10, "one line in ten seconds"
    assert target.status()["refused"] - before == there
    assert all(line["reason"] for line in lines)
    assert all(line["reason"].isprintable() and len(line["reason"]) < 300 for line in lines)
    assert_the_mesh_goes_on(mesh)


def test_an_update_that_is_said_again_counts_once_whoever_says_it(mesh: list[Daemon]) -> None:
    source, target = mesh[0], mesh[2]

    async def main() -> None:
        async with guest() as visitor:
            await visitor.join(source)
            await visitor.wait(lambda: visitor.messages(source.id, msg.Update), "an update to say again")
            stolen = [
                body for peer, body in visitor.heard if peer == source.id and isinstance(msg.decode(body), msg.Update)
            ][-1]
            await visitor.join(target)
            for _ in range(30):
                visitor.shout(target, stolen)
            await visitor.wait(
                lambda: target.peers()[visitor.here.id]["merges"], "it is taken once, as the guest's own"
            )
            for _ in range(30):
                visitor.shout(target, stolen)
            await trio.sleep(2)
            row = target.peers()[visitor.here.id]
            assert row["merges"] == 1
            assert row["live"], "what the network may repeat by itself is nobody's fault"

    trio.run(main)
    assert_the_mesh_goes_on(mesh)


@pytest.mark.parametrize("field", ["mesh", "schema"])
def test_a_stranger_of_another_mesh_or_model_is_shown_out_and_not_redialled(mesh: list[Daemon], field: str) -> None:
    target = mesh[3]
    foreign: dict[str, object] = {"mesh": "another", "schema": bytes(16)}

    async def main() -> None:
        async with guest() as visitor:
            hello = await visitor.join(target)
            visitor.say(
                target,
                msgspec.structs.replace(
                    hello, incarnation=1, seq=0, addresses=visitor.here.addresses, **{field: foreign[field]}
                ),
            )
            await visitor.wait(lambda: target.id in visitor.left, "the link is cut")
            await visitor.wait(lambda: not target.peers()[visitor.here.id]["live"], "it is no peer")
            await trio.sleep(2)
            assert target.id in visitor.left, "redialled"
            assert target.peers()[visitor.here.id]["refused"] == 1

    trio.run(main)
    assert_the_mesh_goes_on(mesh)


async def lie(hostile: Party, peer_id: ID, where: str) -> None:
    """Link up, announce a frame of four gigabytes, and go."""
    with trio.fail_after(60):
        while True:
            try:
                await cures.dial(hostile.host, peer_id, [Multiaddr(where)], 5)
                stream = await cures.open_stream(hostile.host, peer_id, PROTOCOL, 5)
                await stream.write(b"\xff\xff\xff\xf0" + bytes(64))
            except (ConnectionError, MuxedStreamError):  # the last link is still being cut
                await trio.sleep(0.1)
            else:
                break
    await trio.sleep(0.3)
    await hostile.host.get_network().close_peer(peer_id)
    await trio.sleep(0.3)


def test_lying_lengths_again_and_again_cost_the_liar_its_link_and_are_logged_now_and_then(mesh: list[Daemon]) -> None:
    target = mesh[1]
    cut = 5

    async def main() -> str:
        async with party(secret=mesh_key(MESH)) as hostile:
            where, _, peer = target.address().partition("/p2p/")
            async with guest() as visitor:
                assert (await visitor.join(target)).mesh == "under-test"
            peer_id = ID.from_string(peer)
            for _ in range(cut):
                await lie(hostile, peer_id, where)
            return hostile.id

    begun = time.monotonic()
    liar = trio.run(main)
    took = time.monotonic() - begun
    wait_for(lambda: [line for line in target.events("refused") if line["peer"] == liar], "the log names the liar")
    about = [line for line in target.log().splitlines() if liar in line]
    assert len(about) <= 2 + took / 10, "a peer must not be able to fill the log"
    wait_for(lambda: target.peers().get(liar, {}).get("refused", cut) >= 1, "it is counted")
    assert_the_mesh_goes_on(mesh)


def test_hearsay_about_a_thousand_peers_is_bounded_and_harmless(mesh: list[Daemon]) -> None:
    target = mesh[2]

    async def main() -> None:
        async with guest() as visitor:
            await visitor.join(target)
            for chunk in range(16):
                known = tuple(
                    msg.KnownPeer(f"nobody-{chunk}-{number}", ("/ip4/127.0.0.1/tcp/1", "nonsense"))
                    for number in range(msg.MAX_PEERS)
                )
                visitor.say(target, msg.Peers(known, asks=False))
            await visitor.wait(lambda: len(target.peers()) > 50, "hearsay is taken in")
            await trio.sleep(1)
            assert len(target.peers()) <= 256
            assert {daemon.id for daemon in mesh} - {target.id} <= set(target.peers())

    trio.run(main)
    assert_the_mesh_goes_on(mesh)


def test_no_daemon_has_met_a_bug_of_ours_in_all_this(mesh: list[Daemon]) -> None:
    for daemon in mesh:
        assert "Traceback" not in daemon.log()
        assert daemon.status()["failures"] == 0
        for line in daemon.log().splitlines():
            json.loads(line)


def test_the_mesh_leaves_gracefully_and_leaves_nothing_behind(mesh: list[Daemon]) -> None:
    workers = [worker for daemon in mesh for worker in daemon.workers()]
    assert len(workers) == NODES
    assert [daemon.stop() for daemon in mesh] == [0] * NODES
    wait_for(lambda: not any(map(runs, workers)), "no training process is left")


# --- a task that goes wrong


def write_task(folder: Path, body: str) -> str:
    (folder / "task.py").write_text(
        "import math, os\n"
        "import numpy as np\n"
        "from gossipfl.tasks.digits import digits\n"
        "from gossipfl.tasks.task import Progress\n"
        "def make(node):\n"
        "    task = digits(node)\n"
        f"    {body}\n"
        "    return task\n"
    )
    return f"{folder / 'task.py'}:make"


def test_a_task_that_always_fails_is_told_of_in_the_status_and_the_daemon_lives(
    home: Path, make_daemon: Callable[..., Daemon]
) -> None:
    daemon = make_daemon(gossip__interval="0.2", task__name=write_task(home, "task.train = lambda *_: 1 / 0"))
    daemon.start()
    status = daemon.wait_until(lambda status: status["failures"] > 5, "failures are counted")
    assert "ZeroDivisionError" in status["last_failure"]
    lines = daemon.events("local training failed")
    assert 1 <= len(lines) <= 1 + status["uptime"] / 10
    assert daemon.stop() == 0


def test_a_training_process_that_dies_is_replaced_and_learning_goes_on(
    home: Path, make_daemon: Callable[..., Daemon]
) -> None:
    daemon = make_daemon(gossip__interval="0.2", task__name=write_task(home, "pass"))
    daemon.start()
    daemon.wait_until(lambda status: status["steps"] > 0, "it trains")
    (worker,) = daemon.workers()
    os.kill(worker, signal.SIGKILL)
    failed = daemon.wait_until(lambda status: status["failures"] > 0 or "evaluation" in daemon.log(), "it is noticed")
    daemon.wait_until(lambda status: status["steps"] > failed["steps"], "it trains again")
    assert daemon.workers() != [worker]
    assert daemon.stop() == 0


def test_a_task_that_is_slow_to_begin_is_still_evaluated_often(home: Path, make_daemon: Callable[..., Daemon]) -> None:
    evaluate = "calls = []; task.evaluate = lambda _: calls.append(1) or {'calls': len(calls)}"
    slow_first = (
        "begun = []; import time; first = lambda: begun or time.sleep(3) or begun.append(1);"
        " inner = task.evaluate; task.evaluate = lambda vector: first() and None or inner(vector);"
        " train = task.train; task.train = lambda *given: first() and None or train(*given)"
    )
    daemon = make_daemon(gossip__interval="0.2", task__name=write_task(home, f"{evaluate}; {slow_first}"))
    daemon.start()
    daemon.wait_until(lambda status: status["metrics"].get("calls", 0) >= 3, "it is evaluated", seconds=20.0)
    assert daemon.stop() == 0


@pytest.mark.parametrize(
    "body",
    [
        "task.train = lambda *_: Progress(1, 1, math.nan); task.evaluate = lambda _: {'accuracy': math.inf}",
        "task.train = lambda vector, steps, rng: vector.fill(math.nan) or Progress(steps, steps, math.inf)",
    ],
)
def test_a_loss_or_a_metric_that_is_no_number_does_not_break_the_status(
    home: Path, make_daemon: Callable[..., Daemon], body: str
) -> None:
    daemon = make_daemon(gossip__interval="0.2", task__name=write_task(home, body))
    daemon.start()
    wait_for(lambda: daemon.events("learning"), "it learns")
    time.sleep(1.5)
    shown = gossipfl("status", "--json", "--home", daemon.home.path)
    assert shown.returncode == 0, shown.stderr

    def no_such_number(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    assert json.loads(shown.stdout, parse_constant=no_such_number)["id"] == daemon.id
    assert gossipfl("status", "--home", daemon.home.path).returncode == 0
