"""Seeds of chaos, and no rule broken; and bugs planted on purpose, each of which the gate finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pytest

from gossipfl.kernels import Codes, Floats, Index
from gossipfl.model.bases import Bases
from gossipfl.model.lender import Lender
from gossipfl.model.replica import Replica
from gossipfl.model.schema import Vector
from gossipfl.model.served import Served
from gossipfl.protocol.neighbour import Neighbour
from gossipfl.protocol.neighbourhood import Neighbourhood
from gossipfl.protocol.parts import merging
from gossipfl.protocol.peer import Peer
from gossipfl.protocol.saved import Saved
from gossipfl_sims.run import Run
from gossipfl_sims.scenario.files import load
from tests.sims.gate import gate

SEEDS, FAULTS = 12, 8_000
MANY, MANY_FAULTS = 200, 140_000
TRIES = 12
"""Seeds in which a planted bug must show; most show in the first."""


@pytest.mark.parametrize(("seeds", "least"), [(SEEDS, FAULTS), pytest.param(MANY, MANY_FAULTS, marks=pytest.mark.soak)])
def test_seeds_of_chaos_break_no_rule(capfd: pytest.CaptureFixture[str], seeds: int, least: int) -> None:
    with capfd.disabled():
        print()
        runs, faults, bad = gate(range(seeds))
    assert runs == seeds
    assert faults >= least
    assert not bad


Plant = Callable[[pytest.MonkeyPatch], None]


def commit_before_the_check(patch: pytest.MonkeyPatch) -> None:
    """A version counts as seen before it is known to be sane."""
    honest = Neighbour.accepts

    def accepts(self: Neighbour, incarnation: int, seq: int) -> str | None:
        if (reason := honest(self, incarnation, seq)) is None:
            self.incarnation, self.seq = incarnation, seq
        return reason

    patch.setattr(Neighbour, "accepts", accepts)


def no_dedupe(patch: pytest.MonkeyPatch) -> None:
    """A version is merged as often as it comes."""
    patch.setattr(Neighbour, "accepts", lambda *_: None)


def alpha_above_a_half(patch: pytest.MonkeyPatch) -> None:
    """Whoever is heard wins."""
    patch.setattr(merging, "alpha", lambda *_: 0.9)


def base_mismatch_ignored(patch: pytest.MonkeyPatch) -> None:
    """A delta is added to whatever base is at hand."""
    honest = Bases.get
    patch.setattr(Bases, "get", lambda self, name: honest(self, name if name in self else self.own))


def lost_rebase(patch: pytest.MonkeyPatch) -> None:
    """Who was away takes up the mesh's age, but not its model."""
    patch.setattr(Replica, "rebase", lambda self, _, age: setattr(self, "age", age))


def training_overwrites_merges(patch: pytest.MonkeyPatch) -> None:
    """The result of training replaces the model, instead of being added to it."""

    started: WeakKeyDictionary[Replica, Vector] = WeakKeyDictionary()
    honest = Replica.full

    def full(self: Replica) -> Vector:
        started[self] = self.x.copy()
        return honest(self)

    def add_training(self: Replica, delta: Vector, steps: int) -> None:
        self.x = started[self] + delta
        self.age += steps

    patch.setattr(Replica, "full", full)
    patch.setattr(Replica, "add_training", add_training)


def served_overshoots(patch: pytest.MonkeyPatch) -> None:
    """The served average takes in more than there is."""
    patch.setattr(Served, "add", lambda self, x, *_: self._own().__iadd__(np.float32(1.5) * (x - self.x)))


def ages_are_believed(patch: pytest.MonkeyPatch) -> None:
    """A peer that claims to be a thousand years ahead is."""
    honest = Replica.merge

    def merge(
        self: Replica, index: Index, base: Vector, scales: Floats, codes: Codes, weight: float, age: float
    ) -> tuple[float, float, float]:
        return honest(self, index, base, scales, codes, weight, 1e12 if age > self.age else age)

    patch.setattr(Replica, "merge", merge)


def lost_links_stay_lost(patch: pytest.MonkeyPatch) -> None:
    """Who did not answer once is never dialled again."""
    honest = Neighbourhood.wants_link
    patch.setattr(
        Neighbourhood,
        "wants_link",
        lambda self, peer: honest(self, peer) and not getattr(self.known[peer], "failed_dials", 0),
    )


def a_save_is_no_copy(patch: pytest.MonkeyPatch) -> None:
    """What was saved changes with the model."""
    patch.setattr(Lender, "lend", lambda self: self.x)


def a_save_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Who comes back begins anew."""
    honest = Peer.__init__

    def forget(self: Peer, *given: Any, saved: Saved | None = None, **named: Any) -> None:
        del saved
        honest(self, *given, **named)

    patch.setattr(Peer, "__init__", forget)


@pytest.mark.parametrize(
    "plant",
    [
        commit_before_the_check, no_dedupe, alpha_above_a_half, base_mismatch_ignored, lost_rebase,
        training_overwrites_merges, served_overshoots, ages_are_believed, lost_links_stay_lost, a_save_is_no_copy,
        a_save_is_forgotten,
    ],
)  # fmt: skip
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in range(TRIES):
        result = Run(load("chaos"), seed, name="chaos").finish()
        if result.broken:
            print(f"seed {seed}: {result.violations[0]}")
            return
    pytest.fail(f"{plant.__name__} was not found in {TRIES} seeds")
