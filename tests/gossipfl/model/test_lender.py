"""Lender: what was lent stays as it was while it is held, in whatever form; and nothing else is ever copied."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gossipfl.model.lender import Lender
from gossipfl.model.schema import Vector
from tests.gossipfl.builders import full_of, noise


class One(Lender):
    """All that a lender may do with its vector."""

    def add(self, value: float) -> None:
        x = self._own()
        x += np.float32(value)

    def overwrite(self, value: float) -> None:
        self._room()[:] = value

    def become(self, x: Vector) -> None:
        self._replace(x)


def changed() -> One:
    """A lender of ones that has its vector to itself."""
    one = One(full_of(0.0, 5))
    one.add(1.0)
    return one


CHANGES: list[Callable[[One], None]] = [lambda one: one.add(1.0), lambda one: one.overwrite(2.0)]
FORMS: dict[str, Callable[[Vector], object]] = {
    "the loan": lambda loan: loan,
    "a part": lambda loan: loan[1:3],
    "a part of a part": lambda loan: loan[1:][1:2],
    "its bytes": lambda loan: loan.view(np.uint8).data[4:],
    "an array of it": lambda loan: np.asarray(loan).view(np.int32),
    "an array of its buffer": lambda loan: np.frombuffer(loan.data, np.uint8),
}


@pytest.mark.parametrize("change", CHANGES, ids=["add", "overwrite"])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_held_of_a_loan_stays_as_it_was(form: str, change: Callable[[One], None]) -> None:
    one = changed()
    held = FORMS[form](one.lend())
    was = bytes(held)  # type: ignore[call-overload]
    change(one)
    assert (one.x == 2.0).all()
    assert bytes(held) == was  # type: ignore[call-overload]


@pytest.mark.parametrize("change", CHANGES, ids=["add", "overwrite"])
def test_nothing_is_copied_once_the_loan_is_gone(change: Callable[[One], None]) -> None:
    one = changed()
    where = one.x
    for _ in range(3):
        loan = one.lend()
        assert np.shares_memory(loan, where)
        del loan
        change(one)
        assert one.x is where


def test_of_two_loans_the_later_one_to_end_counts() -> None:
    one = changed()
    where, first, second = one.x, one.lend(), one.lend()
    del first
    one.add(1.0)
    assert one.x is not where
    assert (second == 1.0).all()


@pytest.mark.parametrize("change", CHANGES, ids=["add", "overwrite"])
def test_what_is_somebody_elses_is_not_changed(change: Callable[[One], None]) -> None:
    x = noise(5)
    one = changed()
    one.become(x)
    assert one.x is x
    loan = one.lend()
    change(one)
    assert (x == noise(5)).all()
    assert (loan == noise(5)).all()
    where = one.x
    change(one)
    assert one.x is where


def test_a_loan_can_only_be_read() -> None:
    loan = changed().lend()
    with pytest.raises(ValueError, match="read-only"):
        loan[0] = 1.0
    with pytest.raises(ValueError, match="WRITEABLE"):
        loan.flags.writeable = True
