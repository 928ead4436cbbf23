"""The network: its laws as stated, walls, dams that lose nothing, and uplinks that are no wider than they say."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gossipfl.protocol.settings import Settings
from gossipfl.wire import messages as msg
from gossipfl_sims.engine.draws import Draws
from gossipfl_sims.engine.network import LATE, SIGMA, Link, Network, flipped
from gossipfl_sims.engine.world import FRAME_LENGTH
from gossipfl_sims.nemesis.walls import Groups
from tests.sims.worlds import World, blobs, boot

FRAMES = 20_000
BODY = bytes(range(100))
QUICK = Settings(interval=0.5)


def network(seed: int = 0, /, **law: Any) -> Network:
    return Network(structs.replace(Link(), **law), Draws(seed))


def arrivals(net: Network, count: int = FRAMES) -> list[list[tuple[float, bytes]]]:
    return [net.arrivals(0, 1, BODY) for _ in range(count)]


def is_share(hits: int, share: float, of: int) -> bool:
    """Within four standard deviations of a binomial."""
    return abs(hits - share * of) <= 4 * math.sqrt(of * share * (1 - share))


# --- the law of the links


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("latency", [0.001, 0.02, 3.0])
@pytest.mark.parametrize(("law", "relative"), [("exponential", 1.0), ("lognormal", None), ("fixed", 0.0)])
def test_delays_have_the_mean_and_spread_of_their_law(
    law: str, relative: float | None, latency: float, seed: int
) -> None:
    net = network(seed, law=law, latency=latency)
    delays = np.array([net.delay() for _ in range(FRAMES)])
    spread = latency * (math.sqrt(math.expm1(SIGMA**2)) if relative is None else relative)
    assert abs(delays.mean() - latency) <= 5 * spread / math.sqrt(FRAMES) + 1e-12
    assert delays.std() == pytest.approx(spread, rel=0.05, abs=1e-12)
    assert delays.min() >= 0


def test_an_exponential_law_is_one() -> None:
    """Kolmogorov and Smirnov: not only its mean."""
    from scipy.stats import kstest

    net = network(latency=0.5)
    assert kstest([net.delay() for _ in range(FRAMES)], "expon", args=(0, 0.5)).pvalue > 0.01


@pytest.mark.parametrize("law", ["exponential", "lognormal", "fixed"])
def test_a_network_without_latency_is_immediate(law: str) -> None:
    net = network(law=law, latency=0.0, reordering=1.0)
    assert all(delay == 0 for made in arrivals(net, 100) for delay, _ in made)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("fault", ["loss", "duplication", "reordering", "corruption"])
def test_shares_of_faults_are_as_stated_and_counted(fault: str, share: float, seed: int) -> None:
    net = network(seed, **{fault: share, "law": "fixed"})
    made = arrivals(net)
    counted = {"loss": "lost", "duplication": "duplicated", "reordering": "reordered", "corruption": "corrupted"}
    seen = {
        "loss": sum(not one for one in made),
        "duplication": sum(len(one) == 2 for one in made),
        "reordering": sum(delay > net.link.latency for one in made for delay, _ in one),
        "corruption": sum(body != BODY for one in made for _, body in one),
    }
    assert is_share(seen[fault], share, FRAMES)
    assert net.faults == {f"{counted[fault]} frame": seen[fault]}
    assert not any(count for name, count in seen.items() if name != fault)


def test_faults_are_independent_of_each_other() -> None:
    net = network(loss=0.5, duplication=0.5, reordering=0.5, corruption=0.5, law="fixed")
    seen = Counter[tuple[int, ...]]()
    for one in arrivals(net):
        seen[len(one), *(2 * (body != BODY) + (delay > net.link.latency) for delay, body in one)] += 1
    shares: dict[tuple[int, ...], float] = {(0,): 0.5} | {(1, a): 1 / 16 for a in range(4)}
    shares |= {(2, a, b): 1 / 64 for a in range(4) for b in range(4)}
    assert seen.keys() == shares.keys()
    chi = sum((seen[key] - share * FRAMES) ** 2 / (share * FRAMES) for key, share in shares.items())
    assert chi < 45.3  # 20 degrees of freedom, p = .001


@pytest.mark.parametrize("fault", ["loss", "duplication", "corruption", "reordering"])
def test_a_certain_fault_always_happens_and_an_impossible_one_never(fault: str) -> None:
    assert not network().faults
    always = network(**{fault: 1.0})
    arrivals(always, 500)
    assert always.faults.total() == 500
    never = network()
    assert all([body for _, body in one] == [BODY] for one in arrivals(never, 500))
    assert not never.faults


def test_late_frames_are_late_by_up_to_ten_mean_latencies_and_overtaken() -> None:
    net = network(reordering=0.5, law="fixed", latency=0.1)
    delays = [delay for one in arrivals(net) for delay, _ in one]
    late = np.array([delay - 0.1 for delay in delays if delay > 0.1])
    assert late.max() <= LATE * 0.1
    assert late.max() > 0.99 * LATE * 0.1
    assert late.mean() == pytest.approx(LATE * 0.05, rel=0.03)


def test_one_bit_of_a_corrupt_frame_flips_and_any_of_them() -> None:
    net = network(corruption=1.0)
    flips = Counter[int]()
    for ((_, body),) in arrivals(net):
        (place,) = (i for i, (one, other) in enumerate(zip(BODY, body, strict=True)) if one != other)
        bits = BODY[place] ^ body[place]
        assert bits.bit_count() == 1
        flips[8 * place + bits.bit_length() - 1] += 1
    expected = FRAMES / (8 * len(BODY))
    chi = sum((flips[bit] - expected) ** 2 / expected for bit in range(8 * len(BODY)))
    assert chi < 799 + 4 * math.sqrt(2 * 799)


def test_each_copy_of_a_doubled_frame_is_damaged_on_its_own() -> None:
    net = network(duplication=1.0, corruption=0.5)
    pairs = Counter[tuple[bool, ...]]((one != BODY, other != BODY) for (_, one), (_, other) in arrivals(net))
    assert all(is_share(pairs[pair], 0.25, FRAMES) for pair in itertools.product((False, True), repeat=2))


@given(st.binary(min_size=1, max_size=64), st.data())
def test_flipping_a_bit_twice_changes_nothing(body: bytes, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, 8 * len(body) - 1))
    assert flipped(body, bit) != body
    assert flipped(flipped(body, bit), bit) == body


def test_a_calm_link_is_as_fast_and_loses_nothing() -> None:
    wild = Link(0.5, "lognormal", 0.1, 0.2, 0.3, 0.4, 1000.0)
    assert wild.calm == Link(latency=0.5, law="lognormal", bandwidth=1000.0)


def test_more_loss_does_not_change_how_long_frames_take() -> None:
    few, many = network(loss=0.1), network(loss=0.9)
    delays = [[delay for one in arrivals(net, 500) for delay, _ in one] for net in (few, many)]
    assert len(delays[1]) > 20
    assert delays[0][: len(delays[1])] == delays[1]


# --- walls and dams


@pytest.mark.parametrize(
    ("one_way", "blocked"), [(False, {(0, 2), (0, 3), (1, 2), (1, 3), (2, 0), (2, 1), (3, 0), (3, 1)}),
                             (True, {(0, 2), (0, 3), (1, 2), (1, 3)})]
)  # fmt: skip
def test_a_wall_blocks_frames_between_its_parts(one_way: bool, blocked: set[tuple[int, int]]) -> None:  # noqa: FBT001
    net = network()
    net.walls.append(Groups((0, 0, 1, 1), one_way))
    for pair in itertools.permutations(range(4), 2):
        assert net.blocks(*pair) == net.stops(*pair) == (pair in blocked)
        assert bool(net.arrivals(*pair, BODY)) == (pair not in blocked)
        assert not net.holds(*pair)
    assert net.faults == {"blocked frame": len(blocked)}


def test_several_walls_block_what_any_of_them_blocks() -> None:
    net = network()
    net.walls += [Groups((0, 0, 1)), Groups((0, 1, 1))]
    assert [pair for pair in itertools.combinations(range(3), 2) if not net.blocks(*pair)] == []
    net.walls.pop()
    assert not net.blocks(0, 1)


def test_a_blocked_frame_costs_no_luck() -> None:
    """What a wall swallows draws no loss: who is behind none is as lucky as before."""
    walled, free = network(loss=0.5), network(loss=0.5)
    walled.walls.append(Groups((0, 1, 1)))
    for _ in range(100):
        assert not walled.arrivals(0, 1, BODY)
        assert walled.arrivals(1, 2, BODY) == free.arrivals(1, 2, BODY)


class Frames:
    """A world of three in which nothing is said but by hand: who got what, and when."""

    def __init__(self, link: Link) -> None:
        self.world = World(blobs(3), QUICK, link=link)
        self.got: list[tuple[float, int, bytes]] = []
        self.world._schedule = self._got  # type: ignore[method-assign]

    def _got(self, delay: float, machine: object, event: object) -> int:
        self.got.append((self.world.now + delay, machine.index, event.body))  # type: ignore[attr-defined]
        return 0

    def send(self, number: int, to: str, *, supersedes: bool = False, size: int = 96) -> None:
        body = number.to_bytes(4, "big") + bytes(size - 4)
        self.world._send(self.world.machines["n000"], (to,), body, supersedes=supersedes)

    @property
    def numbers(self) -> list[int]:
        return [int.from_bytes(body[:4], "big") for _, _, body in self.got]


@pytest.mark.parametrize("link", [Link(law="fixed"), Link(law="fixed", bandwidth=1e4)])
def test_a_dam_holds_every_frame_and_releases_each_once(link: Link) -> None:
    frames = Frames(link)
    dams = [Groups((0, 1, 1)), Groups((0, 1, 0))]
    for dam in dams:
        frames.world.raise_wall(dam, hold=True)
    for number in range(20):
        frames.send(number, "n001" if number % 2 else "n002")
    frames.world.run(5.0)
    assert not frames.got
    frames.world.lower_wall(dams[0])
    assert frames.numbers == list(range(0, 20, 2))  # the other still stands before n001
    frames.world.lower_wall(dams[1])
    assert sorted(frames.numbers) == list(range(20))
    assert frames.numbers[10:] == list(range(1, 20, 2))
    assert min(time for time, _, _ in frames.got) >= 5.0
    frames.world.lower_wall(dams[1])
    assert len(frames.got) == 20


def test_what_a_dam_released_may_still_be_lost() -> None:
    frames = Frames(Link(loss=1.0))
    dam = Groups((0, 1, 1))
    frames.world.raise_wall(dam, hold=True)
    frames.send(1, "n001")
    assert frames.world.network.faults == {"held frame": 1}
    frames.world.lower_wall(dam)
    assert not frames.got
    assert frames.world.network.faults["lost frame"] == 1


# --- uplinks


def test_frames_leave_one_after_the_other_at_the_rate_of_the_uplink() -> None:
    frames = Frames(Link(latency=0.0, law="fixed", bandwidth=100.0))
    for number in range(10):
        frames.send(number, "n001" if number % 2 else "n002")
    frames.world.run(60.0)
    assert frames.numbers == list(range(10))
    assert [time for time, _, _ in frames.got] == pytest.approx([1.0 + number for number in range(10)])


def test_an_idle_uplink_saves_nothing_up() -> None:
    frames = Frames(Link(latency=0.0, law="fixed", bandwidth=100.0))
    frames.world.run(50.0)
    frames.send(0, "n001")
    frames.send(1, "n001")
    frames.world.run(99.0)
    assert [time for time, _, _ in frames.got] == pytest.approx([51.0, 52.0])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 12)), max_size=20))
def test_a_newer_update_replaces_the_one_that_waits_and_nothing_else_does(
    sends: list[tuple[bool, bool, int]],
) -> None:
    """Against a model: a queue of slots, one second each; pauses are in quarters of it."""
    frames = Frames(Link(latency=0.0, law="fixed", bandwidth=100.0))
    slots: list[tuple[float, str, bool, int]] = []
    for number, (first, supersedes, pause) in enumerate(sends):
        frames.world.run(frames.world.now + pause / 4)
        now, to = frames.world.now, "n001" if first else "n002"
        frames.send(number, to, supersedes=supersedes)
        waiting = [i for i, slot in enumerate(slots) if slot[1:3] == (to, True) and slot[0] > now]
        if supersedes and waiting:
            slots[waiting[-1]] = (*slots[waiting[-1]][:3], number)
        else:
            slots.append((max(now, slots[-1][0] + 1.0) if slots else now, to, supersedes, number))
    frames.world.run(1000.0)
    assert frames.numbers == [number for _, _, _, number in slots]
    assert [time for time, _, _ in frames.got] == pytest.approx([begin + 1.0 for begin, _, _, _ in slots])


def test_an_update_whose_sending_began_is_not_replaced() -> None:
    frames = Frames(Link(latency=0.0, law="fixed", bandwidth=100.0))
    frames.send(0, "n001", supersedes=True)
    frames.world.run(0.5)
    frames.send(1, "n001", supersedes=True)
    frames.send(2, "n001", supersedes=True)
    frames.send(3, "n002", supersedes=True)
    frames.world.run(60.0)
    assert frames.numbers == [0, 2, 3]


def test_a_slow_uplink_is_fair_to_all_neighbours() -> None:
    """Updates come faster than they can leave: a newer one keeps the turn of the one that it replaces.

    With eight bits there is nothing else to send: no new bases.
    """
    settings = structs.replace(QUICK, topology="complete", codec="int8")
    world = World(blobs(4), settings, link=Link(law="fixed", bandwidth=300.0))
    left = Counter[tuple[str, str]]()

    def count(sender: str, receiver: str, body: bytes) -> None:
        left[sender, receiver] += isinstance(msg.decode(body), msg.Update)

    world.on_frame = count
    boot(world)
    world.run(240.0)
    assert len(left) == 12
    for machine in world:
        sent = [count for (sender, _), count in left.items() if sender == machine.name]
        assert min(sent) > 0.8 * max(sent)


@pytest.mark.parametrize("bandwidth", [150.0, 2000.0])
def test_no_device_sends_more_bytes_than_its_uplink_carries(bandwidth: float) -> None:
    world = World(blobs(5), QUICK, link=Link(latency=0.0, law="fixed", bandwidth=bandwidth), seed=3)
    left: dict[int, list[tuple[float, int]]] = {machine.index: [] for machine in world}
    carry = world._carry

    def carried(machine: object, receiver: str, received: object) -> None:
        left[machine.index].append((world.now, len(received.body) + FRAME_LENGTH))  # type: ignore[attr-defined]
        carry(machine, receiver, received)  # type: ignore[arg-type]

    world._carry = carried  # type: ignore[method-assign]
    boot(world)
    world.run(30.0)
    for frames in left.values():
        assert len(frames) > 10
        for i, (begin, _) in enumerate(frames):
            sizes = itertools.accumulate(size for _, size in frames[i + 1 :])
            for (end, _), size in zip(frames[i + 1 :], sizes, strict=True):
                assert size <= bandwidth * (end - begin) + 1e-6


def test_bytes_sent_are_those_of_every_frame_with_its_length() -> None:
    world = World(blobs(4), QUICK, link=Link(loss=0.3, duplication=0.2), seed=1)
    sent = Counter[str]()
    frames = Counter[str]()

    def count(sender: str, _: str, body: bytes) -> None:
        sent[sender] += len(body) + FRAME_LENGTH
        frames[sender] += 1

    world.on_frame = count
    boot(world)
    world.run(10.0)
    assert {machine.name: machine.bytes_sent for machine in world} == sent
    assert {machine.name: machine.frames_sent for machine in world} == frames


def test_frames_arrive_as_they_were_sent() -> None:
    """Without corruption each frame that arrives was sent, to that machine, by that one."""
    world = World(blobs(4), QUICK, link=Link(loss=0.2, duplication=0.3, reordering=0.3), seed=2)
    sent: set[tuple[str, str, bytes]] = set()
    world.on_frame = lambda *frame: sent.add(frame)
    got = []

    class Ears:
        def before(self, machine: object, event: object) -> None:
            if type(event).__name__ == "Received":
                got.append((event.peer, machine.name, event.body))  # type: ignore[attr-defined]

        def after(self, *_: object) -> None:
            pass

    world.observers.append(Ears())
    boot(world)
    world.run(10.0)
    assert len(got) > 100
    assert sent.issuperset(got)
    assert {type(msg.decode(body)).__name__ for _, _, body in got} >= {"Update", "Hello"}
