"""The checks: each rule fires when the world is broken by hand in its way, and only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from gossipfl.model.schema import Vector
from gossipfl.protocol import events as ev
from gossipfl.wire import messages as msg
from gossipfl_sims.checks.liveness import INTERVALS, WITHIN, Liveness, components
from gossipfl_sims.checks.safety import MOST, Safety
from gossipfl_sims.engine.machine import Machine
from gossipfl_sims.engine.world import MOST_LINKS, World
from gossipfl_sims.nemesis import faults as ft
from gossipfl_sims.nemesis.walls import Groups
from gossipfl_sims.run import Run
from gossipfl_sims.scenario.scenario import Gossip, Phases, Scenario, TaskChoice

Break = Callable[[Machine, ev.Event, list[ev.Effect]], bool]
"""Breaks something after an event, if it can, and says whether it did."""


class Breaker:
    """Comes between the peer and the checks, and breaks one thing once."""

    def __init__(self, run: Run, deed: Break) -> None:
        self._run, self._deed = run, deed
        self.at: tuple[float, str, str] | None = None
        self.rules: set[str] | None = None
        """What the checks said of the event at which it was broken."""
        run.world.observers.insert(0, self)
        run.world.observers.append(Judge(self, run.safety))

    def before(self, machine: Machine, event: ev.Event) -> None:
        pass

    def after(self, machine: Machine, event: ev.Event, effects: list[ev.Effect]) -> None:
        if self.at is None and self._run.world.now > 3.5 and self._deed(machine, event, effects):
            self.at = self._run.world.now, machine.name, type(event).__name__


class Found(Exception):  # noqa: N818
    """What was broken has been judged."""


class Judge:
    """Comes after the checks, and ends the run once they have judged what was broken."""

    def __init__(self, breaker: Breaker, safety: Safety | None) -> None:
        self._breaker, self._safety = breaker, safety

    def before(self, machine: Machine, event: ev.Event) -> None:
        pass

    def after(self, *_: Any) -> None:
        assert self._safety is not None
        if self._breaker.at is None:
            assert not self._safety.broken
        elif self._breaker.rules is None:
            self._breaker.rules = {violation.rule for violation in self._safety.violations}
            raise Found


def a_run(*faults: ft.AnyFault, seed: int = 0, healed: float = 10.0) -> Run:
    """Four nodes, one of which is away for long enough to have to join again, and one that lies.

    Eight bits and no momentum, so that there is little that a model may be off by.
    """
    usual = (ft.Crash(at=5.0, lasts=10.0, nodes=(3,)), ft.Lie(at=15.0, nodes=(1,), how=("schema",)))
    gossip = Gossip(interval=0.5, codec="int8", momentum="none")
    scenario = Scenario(nodes=4, task=TaskChoice("quadratic"), gossip=gossip, time=Phases(30.0, healed),
                        faults=(*usual, *faults))  # fmt: skip
    return Run(scenario, seed)


def replica(machine: Machine) -> Any:
    assert machine.peer is not None
    return machine.peer.replica


def poke(machine: Machine, by: float) -> None:
    """Move one coordinate of x."""
    x: Vector = replica(machine).x.copy()
    x[0] += by
    replica(machine).x = x


def having(kind: type[ev.Effect], deed: Callable[[Machine, list[ev.Effect], int], None]) -> Break:
    """Break something where there is an effect of `kind`: told its place."""

    def at_first(machine: Machine, _: ev.Event, effects: list[ev.Effect]) -> bool:
        for i, effect in enumerate(effects):
            if isinstance(effect, kind):
                deed(machine, effects, i)
                return True
        return False

    return at_first


def at(kind: type[ev.Event], deed: Callable[[Machine, list[ev.Effect]], None]) -> Break:
    """Break something at an event of `kind` at which nothing is merged or joined."""

    def at_first(machine: Machine, event: ev.Event, effects: list[ev.Effect]) -> bool:
        quiet = not any(isinstance(effect, ev.Merged | ev.Joined) for effect in effects)
        if isinstance(event, kind) and quiet:
            deed(machine, effects)
        return isinstance(event, kind) and quiet

    return at_first


def is_merge_of_an_honest_one(_: Machine, event: ev.Event, effects: list[ev.Effect]) -> bool:
    return (
        isinstance(event, ev.Received) and event.peer != "n001" and any(isinstance(one, ev.Merged) for one in effects)
    )


def off_the_way(machine: Machine, event: ev.Event, effects: list[ev.Effect]) -> bool:
    if is_merge_of_an_honest_one(machine, event, effects):
        poke(machine, -0.1 * float(np.sign(replica(machine).x[0])))
        return True
    return False


def out_of_the_hull(machine: Machine, event: ev.Event, effects: list[ev.Effect]) -> bool:
    if is_merge_of_an_honest_one(machine, event, effects):
        poke(machine, 1000.0)
        return True
    return False


def half_refused(machine: Machine, _: ev.Event, effects: list[ev.Effect]) -> bool:
    """A frame is refused, but the age was taken from it."""
    if any(isinstance(effect, ev.Refused) for effect in effects) and not any(
        isinstance(effect, ev.Disconnect) for effect in effects
    ):
        replica(machine).age += 1
        return True
    return False


def rejoined(deed: Callable[[Machine], None]) -> Break:
    def at_rebase(machine: Machine, _: ev.Event, effects: list[ev.Effect]) -> bool:
        if any(isinstance(effect, ev.Joined) and effect.sources for effect in effects):
            deed(machine)
            return True
        return False

    return at_rebase


def comes_back(machine: Machine, event: ev.Event, _: list[ev.Effect]) -> bool:
    """It has forgotten the last bit of what it saved."""
    if isinstance(event, ev.Started) and machine.saved is not None:
        poke(machine, 1e-6)
        return True
    return False


def replaced(**fields: Any) -> Callable[[Machine, list[ev.Effect], int], None]:
    def deed(_: Machine, effects: list[ev.Effect], i: int) -> None:
        effects[i] = structs.replace(effects[i], **fields)

    return deed


TABLE: list[tuple[str, Break]] = [
    ("models are finite", at(ev.TimerFired, lambda machine, _: poke(machine, float("nan")))),
    ("models are finite", at(ev.TimerFired, lambda machine, _: replica(machine).served.x.fill(np.inf))),
    ("the incarnation is that of the disk", at(ev.TimerFired, lambda machine, _: setattr(machine, "incarnation", 7))),
    ("every queue is bounded", at(ev.Received, lambda machine, _: machine.links.update(
        {f"x{i}": -i for i in range(MOST_LINKS)}))),
    ("every queue is bounded", at(ev.Received, lambda machine, _: machine.timers.update(
        {f"x{i}": -i for i in range(100_000)}))),
    ("a refused frame changes nothing", half_refused),
    ("a refused frame changes nothing", having(ev.Merged, lambda _, effects, __: effects.append(ev.Refused("x", "y")))),
    ("what was trained is added, and merges stay", at(ev.Trained, lambda machine, _: poke(machine, 0.1))),
    ("a model changes by merging, training or joining only", at(ev.TimerFired, lambda machine, _: poke(machine, 1e-6))),
    ("a model changes by merging, training or joining only", at(ev.Received, lambda machine, _: poke(machine, 0.1))),
    ("the served model is between its inputs", at(ev.Trained, lambda machine, _: replica(machine).served.x.fill(9))),
    ("only updates are merged", at(ev.TimerFired, lambda _, effects: effects.append(ev.Merged("n001", 0.0, 0.1)))),
    ("no version is applied twice", having(ev.Merged, lambda _, effects, i: effects.append(effects[i]))),
    ("a merge moves at most half the way", having(ev.Merged, replaced(weight=0.51))),
    ("a merge moves at most half the way", having(ev.Merged, replaced(weight=-0.01))),
    ("an age that a peer claims moves ours a little", having(
        ev.Merged, lambda machine, _, __: setattr(replica(machine), "age", 1e9))),
    ("a merge goes towards what the sender published", off_the_way),
    ("a merge stays in the hull of all models", out_of_the_hull),
    ("who joins takes up the mesh's model", rejoined(lambda machine: poke(machine, 50.0))),
    ("versions are numbered upwards", having(ev.Published, replaced(seq=0))),
    ("who comes back goes on from what it saved", comes_back),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "deed"), TABLE, ids=[f"{rule} {i}" for i, (rule, _) in enumerate(TABLE)])
def test_a_rule_fires_when_it_is_broken(rule: str, deed: Break) -> None:
    run = a_run()
    breaker = Breaker(run, deed)
    run.nemesis.start()
    with pytest.raises(Found):
        run.world.run(30.0)
    assert breaker.rules is not None
    assert rule in breaker.rules
    assert run.safety is not None
    first = next(violation for violation in run.safety.violations if violation.rule == rule)
    assert (first.time, first.node, first.event) == breaker.at
    assert first.detail


def test_training_that_was_overtaken_must_not_be_added() -> None:
    run = a_run()

    def added(machine: Machine, event: ev.Event, _: list[ev.Effect]) -> bool:
        if isinstance(event, ev.Trained) and event.steps == 77:
            poke(machine, 0.1)
            return True
        return False

    breaker = Breaker(run, added)
    run.nemesis.start()
    run.world.run(4.0)
    machine = run.world.machines["n000"]
    old = ev.Trained(0, np.ones_like(replica(machine).x), 77)
    run.world._schedule(0.0, machine, old)
    with pytest.raises(Found):
        run.world.run(4.01)
    assert breaker.rules == {"training of an overtaken model is not added"}


def test_a_disk_on_which_something_changes_is_found_when_its_machine_comes_back() -> None:
    run = a_run()
    run.nemesis.start()
    run.world.run(4.9)
    saved = run.world.machines["n003"].saved
    assert saved is not None
    structs.force_setattr(saved.model, "served", saved.model.served + np.float32(1))
    run.world.run(15.1)
    assert run.safety is not None
    (found,) = run.safety.violations
    assert (found.node, found.rule) == ("n003", "who comes back goes on from what it saved")


@pytest.mark.parametrize("seed", range(3))
def test_no_rule_fires_when_nothing_is_broken(seed: int) -> None:
    run = a_run(ft.Chaos(at=0.0, rate=0.5), seed=seed, healed=60.0)
    result = run.finish()
    assert not result.violations
    assert result.broken == 0
    assert result.joins["rebase"] > 0
    assert sum(result.refusals.values()) > 0


def test_the_first_violations_are_kept_and_all_are_counted() -> None:
    run = a_run()
    assert run.safety is not None
    machine = run.world.machines["n002"]
    for number in range(2 * MOST + 50):
        run.safety.report(machine, ev.Started(), "a rule", f"{number}")
    assert run.safety.broken == 2 * MOST + 50
    assert [violation.detail for violation in run.safety.violations] == [str(number) for number in range(MOST)]
    result = run.finish()
    assert (len(result.violations), result.broken, result.passed) == (MOST, 2 * MOST + 50, False)


def test_a_violation_ends_no_run() -> None:
    run = a_run()
    breaker = Breaker(run, having(ev.Merged, replaced(weight=0.51)))
    breaker.rules = set()
    result = run.finish()
    assert result.broken == 1
    assert result.virtual_seconds == 40.0
    assert not result.passed


# --- what the checks look at must stay as it is


def test_a_lie_is_no_violation_of_who_believes_it() -> None:
    """A model that points the other way is merged as it should be; only its teller's publishes are not true."""
    run = a_run(ft.Lie(at=5.0, nodes=(2,), how=("flip",), every=1))
    assert not run.finish().violations
    assert run.safety is not None
    assert run.safety.liars == {"n001", "n002"}


# --- liveness


def a_mesh(seconds: float = 20.0) -> tuple[World, Liveness]:
    run = Run(Scenario(nodes=4, task=TaskChoice("quadratic"), gossip=Gossip(interval=0.5)), 0, checks=False)
    run.nemesis.start()
    run.world.run(seconds)
    return run.world, Liveness(run.world)


CONNECTED, MERGES = "whoever is up is connected", "everybody merges again after healing"


def test_a_healthy_mesh_is_alive() -> None:
    world, liveness = a_mesh()
    assert liveness.due == 20.0 + WITHIN + INTERVALS * 0.5
    world.run(liveness.due)
    assert not list(liveness.broken())


def test_an_isolated_machine_is_found() -> None:
    world, liveness = a_mesh()
    world.raise_wall(Groups((0, 0, 1, 0)))
    liveness = Liveness(world)
    world.run(liveness.due)
    found = {(machine.name, rule) for machine, rule, _ in liveness.broken()}
    assert found == {("n000", CONNECTED), ("n002", MERGES)}
    (detail,) = (detail for _, rule, detail in liveness.broken() if rule == CONNECTED)
    assert detail == "2 parts of [1, 3] machines"


def test_two_islands_that_each_merge_are_not_connected() -> None:
    world, liveness = a_mesh()
    world.raise_wall(Groups((0, 0, 1, 1)))
    world.run(liveness.due)
    assert [(rule, detail) for _, rule, detail in liveness.broken()] == [(CONNECTED, "2 parts of [2, 2] machines")]


def test_a_machine_that_hears_but_merges_nothing_is_found() -> None:
    world, liveness = a_mesh()
    deaf = world.machines["n001"]
    before = deaf.merges
    world.run(liveness.due)
    deaf.merges = before
    assert [(machine.name, rule) for machine, rule, _ in liveness.broken()] == [("n001", MERGES)]


def test_who_is_down_need_not_merge_and_who_came_later_must() -> None:
    world, _ = a_mesh()
    world.crash("n003")
    liveness = Liveness(world)
    world.run(liveness.due)
    assert not list(liveness.broken())
    world.start("n003")
    world.machines["n003"].merges = 0
    assert [machine.name for machine, rule, _ in liveness.broken() if rule == MERGES] == ["n003"]


@pytest.mark.parametrize("up", [0, 1])
def test_nobody_alone_can_be_alive(up: int) -> None:
    world, _ = a_mesh()
    for machine in list(world)[up:]:
        world.crash(machine.name)
    liveness = Liveness(world)
    world.run(liveness.due)
    assert not list(liveness.broken())


def test_components_are_those_of_links_between_machines_that_are_up() -> None:
    world, _ = a_mesh()
    everybody = list(world)
    assert components(everybody) == [{"n000", "n001", "n002", "n003"}]
    assert components([]) == []
    for machine in everybody:
        machine.links.clear()
    assert len(components(everybody)) == 4
    everybody[0].links["n001"] = everybody[1].links["n000"] = 1
    everybody[2].links["gone"] = 2
    assert sorted(map(len, components(everybody))) == [1, 1, 2]


@pytest.mark.parametrize(("healed", "found"), [(WITHIN + 10.0, True), (WITHIN, False)])
def test_a_run_judges_liveness_if_it_lasts_long_enough(healed: float, found: bool) -> None:  # noqa: FBT001
    run = a_run(healed=healed)
    run.world.at(31.0, lambda: run.world.raise_wall(Groups((0, 1, 1, 1))))
    result = run.finish()
    assert {violation.rule for violation in result.violations} == ({CONNECTED} if found else set())
    assert all(violation.event == "the end of the run" for violation in result.violations)


def test_checks_see_every_frame_decoded_once() -> None:
    """What they take for an update is what the peer merges."""
    run = a_run()
    merged: list[bool] = []

    class Ears:
        def before(self, machine: Machine, event: ev.Event) -> None:
            pass

        def after(self, _: Machine, event: ev.Event, effects: list[ev.Effect]) -> None:
            for effect in effects:
                if isinstance(effect, ev.Merged):
                    assert isinstance(event, ev.Received)
                    merged.append(isinstance(msg.decode(event.body), msg.Update) and event.peer == effect.peer)

    run.world.observers.append(Ears())
    run.finish()
    assert len(merged) > 100
    assert all(merged)
