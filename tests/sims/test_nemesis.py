"""The nemesis: each fault does what its docstring says, to whom and for as long as it says, and then it is over."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gossipfl.protocol import events as ev
from gossipfl_sims.engine.machine import Machine
from gossipfl_sims.engine.network import Link
from gossipfl_sims.nemesis import chaos
from gossipfl_sims.nemesis import faults as ft
from gossipfl_sims.nemesis.nemesis import kind_of
from gossipfl_sims.nemesis.walls import EVERYWHERE, Groups, wall
from gossipfl_sims.run import Run
from gossipfl_sims.scenario.plan import check
from gossipfl_sims.scenario.scenario import Gossip, Phases, Scenario, TaskChoice

END = 40.0


def a_run(*faults: ft.AnyFault, nodes: int = 6, end: float = END, seed: int = 0, **changes: Any) -> Run:
    """A mesh of which everybody who is there at first has started."""
    usual: dict[str, Any] = {
        "nodes": nodes, "task": TaskChoice("consensus"), "time": Phases(end, 10.0), "faults": faults,
        "gossip": Gossip(interval=1.0),
    }  # fmt: skip
    scenario = Scenario(**usual | changes)
    assert not list(check(scenario))
    run = Run(scenario, seed, checks=False)
    run.nemesis.start()
    return run


def down(run: Run) -> set[int]:
    return {machine.index for machine in run.world if not machine.up}


def asleep(run: Run) -> set[int]:
    return {machine.index for machine in run.world if machine.asleep_until > run.world.now}


def slow(run: Run) -> set[int]:
    return {machine.index for machine in run.world if machine.slowdown != 1}


def skewed(run: Run) -> set[int]:
    return {machine.index for machine in run.world if machine.rate != 1}


def lying(run: Run) -> set[int]:
    return {machine.index for machine in run.world if machine.lie is not None}


def walled(run: Run) -> set[int]:
    network = run.world.network
    return {one for one, other in itertools.permutations(range(6), 2) if network.blocks(one, other)}


def dammed(run: Run) -> set[int]:
    network = run.world.network
    return {one for one, other in itertools.permutations(range(6), 2) if network.holds(one, other)}


def lossy(run: Run) -> set[int]:
    return set(range(6)) if run.world.network.link.loss == 0.5 else set()


Probe = Callable[[Run], set[int]]
SUFFERING: tuple[Probe, ...] = (down, asleep, slow, skewed, lying)
WHO: dict[str, Any] = {"at": 10.0, "lasts": 10.0, "nodes": (1, 4)}
ALL: dict[str, Any] = {"at": 10.0, "lasts": 10.0}
TABLE: list[tuple[ft.AnyFault, Probe, set[int], dict[str, int]]] = [
    (ft.Crash(**WHO), down, {1, 4}, {"crash": 2}),
    (ft.Crash(**WHO, disk=False), down, {1, 4}, {"crash without disk": 2}),
    (ft.Pause(**WHO), asleep, {1, 4}, {"pause": 2}),
    (ft.Slow(**WHO), slow, {1, 4}, {"slow": 2}),
    (ft.Skew(**WHO), skewed, {1, 4}, {"skew": 2}),
    (ft.Lie(**WHO), lying, {1, 4}, {"lie": 2}),
    (ft.Partition(**ALL), walled, set(range(6)), {"partition": 1}),
    (ft.Partition(**ALL, shape="ring"), walled, set(range(6)), {"partition": 1}),
    (ft.Hold(**ALL), dammed, set(range(6)), {"hold": 1}),
    (ft.Weather(**ALL, loss=0.5), lossy, set(range(6)), {"weather": 1}),
]
NAMES = [f"{kind_of(row[0])} {number}" for number, row in enumerate(TABLE)]


@pytest.mark.parametrize(("fault", "probe", "victims", "counts"), TABLE, ids=NAMES)
@pytest.mark.parametrize("lasts", [10.0, None])
def test_a_fault_begins_and_ends_when_it_should(
    fault: ft.AnyFault, probe: Probe, victims: set[int], counts: dict[str, int], lasts: float | None
) -> None:
    run = a_run(structs.replace(fault, lasts=lasts))
    end = END if lasts is None else 20.0
    run.world.run(9.999)
    assert not probe(run)
    assert not run.nemesis.counts
    for moment in (10.0, 15.0, end - 0.001):
        run.world.run(moment)
        assert probe(run) == victims
        assert not any(other(run) for other in (*SUFFERING, walled, dammed, lossy) if other is not probe)
    if lasts is None:
        run.world.run(END)
        run.nemesis.heal()
    run.world.run(end + 0.001)
    assert not probe(run)
    told = {kind: count for kind, count in run.nemesis.counts.items() if not kind.startswith("lie: ")}
    assert told == counts
    assert run.nemesis.shaded == [(10.0, end, kind_of(fault))]


@pytest.mark.parametrize(("fault", "probe", "victims", "counts"), TABLE, ids=NAMES)
def test_faults_can_follow_each_other_at_once(
    fault: ft.AnyFault, probe: Probe, victims: set[int], counts: dict[str, int]
) -> None:
    run = a_run(fault, structs.replace(fault, at=20.0))
    for moment in (15.0, 20.001, 25.0):
        run.world.run(moment)
        assert probe(run) == victims
    run.world.run(30.001)
    assert not probe(run)
    told = {kind: count for kind, count in run.nemesis.counts.items() if not kind.startswith("lie: ")}
    assert told == {kind: 2 * count for kind, count in counts.items()}


def test_weather_changes_what_it_names_and_nothing_else() -> None:
    run = a_run(ft.Weather(at=10.0, lasts=5.0, loss=0.0, latency=1.0),
                network=Link(loss=0.3, corruption=0.1, bandwidth=1e6))  # fmt: skip
    run.world.run(12.0)
    assert run.world.network.link == Link(loss=0.0, latency=1.0, corruption=0.1, bandwidth=1e6)
    run.world.run(16.0)
    assert run.world.network.link == Link(loss=0.3, corruption=0.1, bandwidth=1e6)


def test_of_two_weathers_the_first_to_end_does_not_end_the_other() -> None:
    """In chaos they overlap."""
    run = a_run()
    begin = run.nemesis._begin
    run.world.at(10.0, lambda: begin(ft.Weather(at=10.0, lasts=5.0, loss=0.1)))
    run.world.at(12.0, lambda: begin(ft.Weather(at=12.0, lasts=10.0, loss=0.5)))
    for moment, loss in ((11.0, 0.1), (13.0, 0.5), (16.0, 0.5), (21.9, 0.5), (22.1, 0.0)):
        run.world.run(moment)
        assert run.world.network.link.loss == loss


# --- who is a victim


@pytest.mark.parametrize("count", [1, 3, 6])
def test_so_many_victims_are_drawn_and_others_with_another_seed(count: int) -> None:
    drawn = set()
    for seed in range(8):
        run = a_run(ft.Pause(at=1.0, lasts=5.0, nodes=count), seed=seed)
        run.world.run(2.0)
        assert len(asleep(run)) == run.nemesis.counts["pause"] == count
        drawn.add(frozenset(asleep(run)))
    assert (len(drawn) > 1) == (count < 6)


EVERYTHING = (
    ft.Leave(at=0.0, lasts=0.1, nodes=1),
    ft.Chaos(at=0.0, lasts=60.0, rate=2.0),
    ft.Churn(at=5.0, lasts=40.0, nodes=2, up=5.0, down=3.0),
    ft.Diurnal(at=10.0, lasts=40.0, nodes=2, day=10.0),
    ft.DutyCycle(at=20.0, lasts=30.0, nodes=1, period=4.0),
)


@pytest.mark.parametrize("seed", range(4))
def test_nobody_is_in_two_faults_and_after_healing_nobody_in_any(seed: int) -> None:
    run = a_run(*EVERYTHING, nodes=12, end=60.0, seed=seed)
    suffered = Counter[str]()
    for tick in range(1, 600):
        run.world.run(tick / 10)
        for one, other in itertools.combinations(SUFFERING, 2):
            assert not one(run) & other(run), (one.__name__, other.__name__, run.world.now)
        suffered.update(probe.__name__ for probe in SUFFERING if probe(run))
    assert len(suffered) == len(SUFFERING)
    run.world.run(60.0)
    run.nemesis.heal()
    network = run.world.network
    assert not network.walls
    assert not network.dams
    assert network.link == Link()
    assert not any(probe(run) for probe in (asleep, slow, skewed, lying))
    assert len(down(run)) == run.nemesis.counts["leave"] == 1
    told, faults = dict(run.nemesis.counts), network.faults.total()
    gone = down(run)
    run.world.run(75.0)
    assert down(run) == gone
    assert run.nemesis.counts == told
    assert network.faults.total() == faults
    assert not any(probe(run) for probe in (asleep, slow, skewed, lying))


def test_healing_brings_back_who_is_down_even_in_the_middle_of_a_fault() -> None:
    run = a_run(
        ft.Crash(at=10.0, nodes=3),
        ft.Upgrade(at=20.0, nodes=2, down=19.0),
        ft.Churn(at=30.0, nodes=1, up=1.0, down=50.0),
    )
    run.world.run(37.0)
    assert len(down(run)) >= 4
    run.nemesis.heal()
    assert not down(run)
    incarnations = [machine.incarnation for machine in run.world]
    run.world.run(END + 60.0)
    assert [machine.incarnation for machine in run.world] == incarnations


# --- kinds that come and go


def test_a_bounce_is_over_at_once_and_its_victim_a_generation_older() -> None:
    run = a_run(ft.Bounce(at=10.0, nodes=(2,)))
    run.world.run(10.0)
    assert not down(run)
    assert [machine.incarnation for machine in run.world] == [1, 1, 2, 1, 1, 1]
    assert run.nemesis.counts == {"bounce": 1}


@pytest.mark.parametrize("crash", [False, True])
def test_who_leaves_is_gone_for_good(crash: bool) -> None:  # noqa: FBT001
    run = a_run(ft.Leave(at=10.0, lasts=1.0, nodes=2, crash=crash), ft.Crash(at=20.0, lasts=5.0, nodes=4))
    stopped = Counter[str]()

    class Ears:
        def before(self, machine: Machine, event: ev.Event) -> None:
            stopped[machine.name] += isinstance(event, ev.Stopping)

        def after(self, machine: Machine, event: ev.Event, effects: list[ev.Effect]) -> None:
            pass

    run.world.observers.append(Ears())
    run.world.run(15.0)
    gone = down(run)
    assert len(gone) == run.nemesis.counts["leave"] == 2
    assert stopped.total() == (0 if crash else 2)
    run.world.run(END)
    run.nemesis.heal()
    run.world.run(END + 30.0)
    assert down(run) == gone
    assert run.nemesis.counts["crash"] == 4


def test_an_upgrade_stops_one_after_the_other_on_purpose() -> None:
    run = a_run(ft.Upgrade(at=10.0, lasts=20.0, nodes=5, down=2.0), nodes=5)
    absent = list[frozenset[int]]()
    for tick in range(100, 310):
        run.world.run(tick / 10)
        absent.append(frozenset(down(run)))
    assert max(map(len, absent)) == 1
    assert {index for indices in absent for index in indices} == set(range(5))
    assert sum(map(len, absent)) == pytest.approx(5 * 20, abs=5)
    assert [machine.incarnation for machine in run.world] == [2] * 5
    assert run.nemesis.counts == {"upgrade": 5}


def test_a_flash_crowd_comes_only_when_it_joins_and_within_its_time() -> None:
    run = a_run(ft.Join(at=10.0, lasts=5.0, nodes=4))
    for moment in (0.0, 5.0, 9.999):
        run.world.run(moment)
        assert down(run) == {2, 3, 4, 5}
    run.world.run(15.0)
    assert not down(run)
    assert run.nemesis.counts == {"join": 4}
    assert [machine.incarnation for machine in run.world] == [1] * 6


@pytest.mark.parametrize("first", [10.0, 20.0])
def test_each_crowd_is_who_it_says_whatever_the_order_in_the_file(first: float) -> None:
    """Node 5 is named; a count takes others."""
    run = a_run(ft.Join(at=first, lasts=1.0, nodes=2), ft.Join(at=30.0 - first, lasts=1.0, nodes=(5,)))
    run.world.run(9.0)
    assert down(run) == {3, 4, 5}
    run.world.run(15.0)
    assert down(run) == ({5} if first == 10.0 else {3, 4})
    run.world.run(25.0)
    assert not down(run)
    assert [machine.incarnation for machine in run.world] == [1] * 6


def test_no_other_fault_befalls_who_has_not_come_yet() -> None:
    run = a_run(ft.Join(at=30.0, lasts=1.0, nodes=3), ft.Crash(at=10.0, lasts=5.0, nodes=3))
    run.world.run(12.0)
    assert down(run) == set(range(6))
    run.world.run(20.0)
    assert down(run) == {3, 4, 5}


def test_who_has_not_come_when_the_mesh_heals_comes_then() -> None:
    run = a_run(ft.Join(at=39.0, nodes=3, lasts=1.0), ft.Join(at=39.9, nodes=2))
    run.world.run(39.0)
    assert len(down(run)) == 5
    run.world.run(END)
    run.nemesis.heal()
    assert not down(run)


def test_churn_keeps_the_share_away_that_its_means_make() -> None:
    """Of an alternating renewal process: down / (up + down); within four standard deviations of a time average."""
    nodes, end = 16, 2000.0
    run = a_run(ft.Churn(at=0.0, nodes=nodes, up=42.0, down=18.0), nodes=nodes, end=end,
                gossip=Gossip(interval=60.0))  # fmt: skip
    away = 0
    for tick in range(1, int(end)):
        run.world.run(float(tick))
        away += len(down(run))
    deviation = (2 * 42**2 * 18**2 / (60**3 * end * nodes)) ** 0.5
    assert away / (nodes * end) == pytest.approx(0.3, abs=4 * deviation)
    assert run.nemesis.counts["churn"] == pytest.approx(nodes * end / 60, rel=0.15)


def test_churn_is_over_when_it_has_lasted() -> None:
    run = a_run(ft.Churn(at=5.0, lasts=20.0, nodes=6, up=1.0, down=20.0))
    run.world.run(20.0)
    assert down(run)
    run.world.run(25.001)
    assert not down(run)
    incarnations = [machine.incarnation for machine in run.world]
    run.world.run(END)
    assert [machine.incarnation for machine in run.world] == incarnations


@pytest.mark.parametrize(
    ("fault", "share", "slack"),
    [
        (ft.DutyCycle(at=0.0, nodes=6, period=4.0, awake=0.25), 0.75, 0.04),
        (ft.DutyCycle(at=0.0, nodes=6, period=4.0, awake=1.0), 0.0, 0.0),
        (ft.Diurnal(at=0.0, nodes=6, day=20.0, awake=0.4), 0.6, 0.1),
    ],
)
def test_sleepers_are_awake_for_their_share(fault: ft.AnyFault, share: float, slack: float) -> None:
    run = a_run(fault, end=400.0, gossip=Gossip(interval=10.0))
    sleeping = 0
    for tick in range(200, 4000):
        run.world.run(tick / 10)
        sleeping += len(asleep(run))
    assert sleeping / (6 * 3800) == pytest.approx(share, abs=slack)
    assert run.nemesis.counts[kind_of(fault)] >= (6 * 15 if share else 0)


def test_sensors_sleep_at_times_of_their_own_and_phones_together() -> None:
    sensors = a_run(ft.DutyCycle(at=0.0, nodes=12, period=10.0), nodes=12)
    phones = a_run(ft.Diurnal(at=0.0, nodes=12, day=10.0, awake=0.5), nodes=12)
    at_once: list[list[int]] = [[], []]
    for tick in range(100, 300):
        for run, seen in zip((sensors, phones), at_once, strict=True):
            run.world.run(tick / 10)
            seen.append(len(asleep(run)))
    assert max(at_once[1]) == 12
    assert min(at_once[1]) == 0
    assert max(at_once[0]) - min(at_once[0]) < 12


# --- walls


@given(st.integers(2, 40), st.integers(2, 10), st.integers(0, 2**32), st.booleans())
def test_groups_are_as_equal_as_they_can_be(machines: int, groups: int, seed: int, one_way: bool) -> None:  # noqa: FBT001
    made = wall("groups", machines, groups, np.random.default_rng(seed), one_way=one_way)
    assert isinstance(made, Groups)
    sizes = [made.of.count(group) for group in range(groups)]
    assert sum(sizes) == machines
    assert max(sizes) - min(sizes) <= 1
    for one, other in itertools.permutations(range(machines), 2):
        apart = made.of[one] != made.of[other]
        assert made.blocks(one, other) == (apart and (made.of[one] == 0 or not one_way))


@given(st.integers(2, 40), st.integers(0, 2**32))
def test_halves_are_two_groups(machines: int, seed: int) -> None:
    halves = wall("halves", machines, 7, np.random.default_rng(seed))
    assert halves == wall("groups", machines, 2, np.random.default_rng(seed))
    assert isinstance(halves, Groups)
    assert sorted(set(halves.of)) == [0, 1]


@given(st.integers(3, 40), st.integers(0, 2**32))
def test_a_bridge_is_all_that_halves_have_in_common(machines: int, seed: int) -> None:
    made = wall("bridge", machines, 2, np.random.default_rng(seed))
    assert isinstance(made, Groups)
    (bridge,) = (index for index, group in enumerate(made.of) if group == EVERYWHERE)
    others = [index for index in range(machines) if index != bridge]
    assert not any(made.blocks(bridge, other) or made.blocks(other, bridge) for other in others)
    sides = {index: frozenset(other for other in others if not made.blocks(index, other)) for index in others}
    assert len(set(sides.values())) == 2
    assert abs(len(sides[others[0]]) - (machines - 1) / 2) <= 1


@given(st.integers(4, 40), st.integers(0, 2**32))
def test_in_a_ring_everybody_reaches_a_majority_and_no_two_the_same(machines: int, seed: int) -> None:
    made = wall("ring", machines, 2, np.random.default_rng(seed))
    seen = [frozenset(other for other in range(machines) if not made.blocks(one, other)) for one in range(machines)]
    assert all(2 * len(view) > machines for view in seen)
    assert len(set(seen)) == machines
    assert len({len(view) for view in seen}) == 1
    assert all((one in seen[other]) == (other in seen[one]) for one in range(machines) for other in seen[one])


def test_a_one_way_partition_lets_answers_through() -> None:
    run = a_run(ft.Partition(at=10.0, lasts=10.0, one_way=True))
    run.world.run(12.0)
    blocked = {pair for pair in itertools.permutations(range(6), 2) if run.world.network.blocks(*pair)}
    assert len(blocked) == 9
    assert not {(other, one) for one, other in blocked} & blocked


def test_a_partition_between_machines_that_are_named() -> None:
    run = a_run(ft.Partition(at=10.0, lasts=10.0, first=(1, 4)))
    run.world.run(12.0)
    blocked = {pair for pair in itertools.permutations(range(6), 2) if run.world.network.blocks(*pair)}
    assert blocked == {(a, b) for a, b in itertools.permutations(range(6), 2) if (a in (1, 4)) != (b in (1, 4))}


# --- chaos


@given(st.integers(0, 2**32), st.floats(0.1, 3.0), st.integers(1, 30))
def test_chaos_is_what_its_randomness_makes_of_it(seed: int, rate: float, machines: int) -> None:
    drawn = [
        list(chaos.draw(ft.Chaos(at=5.0, rate=rate), 5.0, 50.0, machines, np.random.default_rng(seed))) for _ in "ab"
    ]
    assert drawn[0] == drawn[1]
    assert all(5.0 < fault.at < 50.0 for fault in drawn[0])
    assert all(fault.lasts is not None and 0.1 <= fault.lasts <= chaos.LONGEST for fault in drawn[0])
    assert all(one.at <= other.at for one, other in itertools.pairwise(drawn[0]))


def test_chaos_knows_all_kinds_and_its_rate() -> None:
    drawn = list(chaos.draw(ft.Chaos(at=0.0, rate=2.0), 0.0, 2000.0, 12, np.random.default_rng(1)))
    assert len(drawn) == pytest.approx(4000, abs=4 * 4000**0.5)
    count = Counter(kind_of(fault) for fault in drawn)
    assert set(count) == {
        "partition", "hold", "weather", "crash", "bounce", "pause", "slow", "skew", "upgrade", "lie",
    }  # fmt: skip
    assert count["crash"] == pytest.approx(2 * 4000 / 11, rel=0.15)
    assert {fault.shape for fault in drawn if isinstance(fault, ft.Partition)} == {"halves", "groups", "ring", "bridge"}
    assert {fault.disk for fault in drawn if isinstance(fault, ft.Crash)} == {True, False}


def test_what_chaos_draws_a_scenario_may_ask_for() -> None:
    """So each fault of a chaotic run can be written down, to find which of them it takes."""
    import msgspec

    for fault in chaos.draw(ft.Chaos(at=0.0, rate=2.0), 0.0, 200.0, 12, np.random.default_rng(2)):
        assert msgspec.convert(msgspec.to_builtins(fault), ft.AnyFault, strict=True) == fault


def test_the_same_seed_makes_the_same_trouble() -> None:
    made = []
    for seed in (1, 1, 2):
        run = a_run(*EVERYTHING, nodes=12, end=60.0, seed=seed)
        run.world.run(60.0)
        made.append((run.nemesis.shaded, run.nemesis.counts, run.world.trace_hash))
    assert made[0] == made[1] != made[2]
