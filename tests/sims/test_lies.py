"""Lies: each is refused, or does no more harm than the protocol promises; and the honest go on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import RemoteError
from gossipfl.membership.reputation import MAX_STRIKES
from gossipfl.protocol import events as ev
from gossipfl.wire import messages as msg
from gossipfl.wire.messages import MAX_RATE
from gossipfl_sims.engine.machine import Machine
from gossipfl_sims.nemesis import faults as ft
from gossipfl_sims.nemesis.lies import ABOUT_UPDATES, KEPT, Liar
from gossipfl_sims.run import Run
from gossipfl_sims.scenario.files import load
from gossipfl_sims.scenario.scenario import Gossip, Phases, Scenario, TaskChoice
from tests.gossipfl.builders import int8, state

LIAR = "n001"
BEGINS, ENDS = 10.0, 30.0
REFUSED: dict[ft.LieName, str] = {
    "garbage": "frame",
    "nan": "payload has a scale outside",
    "huge": "away from this model",
    "leap": "jumps too far",
    "schema": "another schema",
}
"""Lies that must never be merged, and what is said of them."""
HARMLESS: tuple[ft.LieName, ...] = ("replay", "age", "rate", "flip")
"""Well-formed ones: merged like honest frames, and bounded like those."""


class Court:
    """What the others made of the liar's frames; every refused frame left their state as it was."""

    def __init__(self, run: Run) -> None:
        self._world = run.world
        self._state: Any = None
        self.merged: list[tuple[str, float]] = []
        self.refused: list[tuple[str, str]] = []
        self.farthest = 0.0
        run.world.observers.append(self)

    def before(self, machine: Machine, event: ev.Event) -> None:
        assert machine.peer is not None
        self._state = state(machine.peer) if isinstance(event, ev.Received) and event.peer == LIAR else None

    def after(self, machine: Machine, _: ev.Event, effects: list[ev.Effect]) -> None:
        assert machine.peer is not None
        if not BEGINS + 1.0 < self._world.now < ENDS:
            return
        self.farthest = max(self.farthest, float(np.abs(machine.peer.replica.x).max()))
        for effect in effects:
            if isinstance(effect, ev.Merged):
                self.merged.append((effect.peer, effect.weight))
            elif isinstance(effect, ev.Refused):
                self.refused.append((effect.peer, effect.reason))
                if not any(isinstance(other, ev.Disconnect) for other in effects):
                    assert state(machine.peer) == self._state


def court(*how: ft.LieName, seed: int = 0, every: int = 1) -> tuple[Run, Court]:
    lie = ft.Lie(at=BEGINS, lasts=ENDS - BEGINS, how=how, every=every, nodes=(1,))
    scenario = Scenario(nodes=4, task=TaskChoice("quadratic"), gossip=Gossip(interval=0.5),
                        time=Phases(ENDS, 45.0), faults=(lie,))  # fmt: skip
    run = Run(scenario, seed)
    return run, Court(run)


@pytest.mark.parametrize("how", REFUSED)
@pytest.mark.parametrize("seed", range(2))
def test_a_gross_lie_is_refused_and_its_teller_alone_suffers(how: ft.LieName, seed: int) -> None:
    run, heard = court(how, seed=seed)
    result = run.finish()
    assert not result.violations
    # Each of the three others shuns it after so many.
    assert result.faults_by_kind[f"lie: {how}"] >= 3 * MAX_STRIKES
    assert heard.refused
    assert {peer for peer, _ in heard.refused} == {LIAR}
    assert sum(REFUSED[how] in reason for _, reason in heard.refused) > 0.9 * len(heard.refused)
    assert LIAR not in {peer for peer, _ in heard.merged}
    assert len(heard.merged) > 200
    assert result.error is not None
    assert result.error < 0.3


@pytest.mark.parametrize("how", HARMLESS)
def test_a_well_formed_lie_is_merged_with_a_bounded_weight(how: ft.LieName) -> None:
    run, heard = court(how)
    result = run.finish()
    assert not result.violations
    assert result.faults_by_kind[f"lie: {how}"] > 50
    weights = [weight for peer, weight in heard.merged if peer == LIAR]
    assert len(weights) > 50
    assert all(0 <= weight <= 0.5 for _, weight in heard.merged)
    assert heard.farthest < 30


def test_a_claimed_rate_gives_no_weight() -> None:
    """A million publishes a second ask for little of each; one in a lifetime for no more than a half."""
    run, heard = court("rate")
    run.finish()
    by = {True: [0.0], False: [0.0]}
    for peer, weight in heard.merged:
        by[peer == LIAR].append(weight)
    assert np.mean(by[True]) < 1.5 * np.mean(by[False])


def test_a_claimed_age_does_not_make_the_others_old() -> None:
    honest, _ = court("replay")
    lied, _ = court("age")
    ages = []
    for run in (honest, lied):
        run.nemesis.start()
        run.world.run(ENDS)
        ages.append([machine.peer.replica.age for machine in run.world if machine.peer is not None])
    assert max(ages[1]) < 3 * max(ages[0])


def test_no_version_is_merged_twice_however_often_it_is_said() -> None:
    run, heard = court("replay")
    result = run.finish()
    by = Counter(peer for peer, _ in heard.merged)
    assert by[LIAR] <= 1.1 * max(count for peer, count in by.items() if peer != LIAR)
    assert not result.broken


@pytest.mark.parametrize("seed", range(2))
def test_all_lies_together_break_no_rule(seed: int) -> None:
    run, heard = court(*ft.MILD, seed=seed, every=2)
    result = run.finish()
    assert not result.violations
    assert not result.failures
    assert {name for name in result.faults_by_kind if name.startswith("lie: ")} == {f"lie: {name}" for name in ft.MILD}
    assert {peer for peer, _ in heard.refused} == {LIAR}
    assert result.error is not None
    assert result.error < 0.3


def test_who_lies_no_more_is_heard_again() -> None:
    run, _ = court("schema")
    run.nemesis.start()
    run.world.run(ENDS)
    run.nemesis.heal()
    after: list[str] = []
    run.world.observers.append(Ears(after))
    run.world.run(ENDS + 60.0)
    assert after.count(LIAR) > 20


class Ears:
    def __init__(self, merged: list[str]) -> None:
        self._merged = merged

    def before(self, machine: Machine, event: ev.Event) -> None:
        pass

    def after(self, _machine: Machine, _event: ev.Event, effects: list[ev.Effect]) -> None:
        self._merged += [effect.peer for effect in effects if isinstance(effect, ev.Merged)]


# --- the liar


def an_update(seq: int = 7, age: float = 3.0) -> msg.Update:
    scales = np.array([0.01, 0.02], "<f4").tobytes()
    return msg.Update(b"s" * 16, bytes(16), 1, seq, age, 1.0, int8(scales, np.arange(-100, 200, dtype=np.int16)
                      .astype(np.int8).tobytes()))  # fmt: skip


OTHERS: list[msg.Message] = [
    msg.Goodbye(leaves=True), msg.NeedSnapshot(), msg.NeedBase(bytes(16), bytes(16)),
    msg.Hello("m", bytes(16), bytes(16), 1, 0, 0.0, (), "", "int8", heard=True),
]  # fmt: skip


def tell(how: ft.LieName, body: bytes, seed: int = 0) -> tuple[list[bytes], Counter[str]]:
    told = Counter[str]()
    return list(Liar([how], 1, np.random.default_rng(seed), told, 300)(body, "x")), told


@pytest.mark.parametrize("how", ABOUT_UPDATES)
@pytest.mark.parametrize("other", OTHERS, ids=lambda message: type(message).__name__)
def test_what_can_only_be_said_of_updates_is_not_said_or_counted_elsewhere(how: ft.LieName, other: msg.Message) -> None:
    body = msg.encode(other)
    assert tell(how, body) == ([body], Counter())


@given(st.sampled_from(sorted(ABOUT_UPDATES)), st.integers(1, 2**40), st.floats(0, 1e15))
def test_a_lie_about_an_update_is_another_frame_and_well_formed_but_for_nan(
    how: ft.LieName, seq: int, age: float
) -> None:
    honest = msg.encode(an_update(seq, age))
    (lie,), told = tell(how, honest)
    assert told == {f"lie: {how}": 1}
    assert lie != honest or (how == "age" and age == 1e15)
    message = msg.decode(lie)
    assert isinstance(message, msg.Update)
    assert 0 < message.rate <= MAX_RATE


@given(st.integers(0, 2**32))
def test_garbage_is_no_message(seed: int) -> None:
    (lie,), _ = tell("garbage", msg.encode(an_update()), seed)
    with pytest.raises(RemoteError):
        msg.decode(lie)


def test_a_liar_replays_its_last_frames_only_and_the_true_one_after() -> None:
    liar = Liar(["replay"], 1, np.random.default_rng(0), Counter(), 300)
    bodies = [msg.encode(an_update(seq)) for seq in range(100)]
    ages = Counter[int]()
    for number, body in enumerate(bodies):
        old, true = liar(body, "x")
        assert true == body
        ages[number - bodies.index(old)] += 1
    assert set(ages) == set(range(KEPT))


@pytest.mark.parametrize("every", [1, 3, 10])
def test_one_of_so_many_frames_is_a_lie(every: int) -> None:
    told = Counter[str]()
    liar = Liar(ft.MILD, every, np.random.default_rng(1), told, 300)
    body, count = msg.encode(an_update()), 4000
    for _ in range(count):
        list(liar(body, "x"))
    assert told.total() == pytest.approx(count / every, abs=1 + 4 * (count * (1 / every) * (1 - 1 / every)) ** 0.5)
    assert set(told) == {f"lie: {name}" for name in ft.MILD}


def test_the_shipped_liars_are_outlived() -> None:
    result = Run(
        load("byzantine-lite", ["task.name=softmax", "nodes=8", "interval=2", "mean_accuracy=0.8"]), 1
    ).finish()
    assert not result.violations
    assert not result.unmet
    assert sum(count for kind, count in result.faults_by_kind.items() if kind.startswith("lie: ")) > 100
