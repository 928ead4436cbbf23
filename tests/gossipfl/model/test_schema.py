"""Schema: the split into shared and personal loses nothing, and its name depends on what is shared alone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import LocalError
from gossipfl.model.schema import MAX_TENSORS, Schema, Tensor
from tests.gossipfl.builders import flat, noise

shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)
tensors = (
    st.lists(st.tuples(shapes, st.booleans()), min_size=1, max_size=6)
    .filter(lambda many: any(not personal for _, personal in many))
    .map(lambda many: [Tensor(f"t{i}", shape, personal) for i, (shape, personal) in enumerate(many)])
)


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ([], "no shared element"),
        ([Tensor("a", (2,), personal=True)], "no shared element"),
        ([Tensor("a", (2,)), Tensor("b", ()), Tensor("a", (3,))], "'a' appears twice"),
        ([Tensor("a", (2, 0))], r"'a' has shape \(2, 0\); every side must be ≥ 1"),
        ([Tensor("a", (-2, -2))], "every side must be ≥ 1"),
        ([Tensor(str(i), (1,)) for i in range(MAX_TENSORS + 1)], "10001 tensors, at most 10000"),
    ],
)
def test_a_layout_that_makes_no_sense_is_refused(layout: list[Tensor], reason: str) -> None:
    with pytest.raises(LocalError, match=reason):
        Schema(layout)


@given(tensors, st.integers(0, 99))
def test_join_undoes_split(layout: list[Tensor], seed: int) -> None:
    schema = Schema(layout)
    full = noise(schema.size, seed)
    shared, personal = schema.split(full)
    assert (shared.size, personal.size) == (schema.shared_size, schema.size - schema.shared_size)
    assert (schema.join(shared, personal) == full).all()
    again, own = schema.split(schema.join(personal=personal + 1, shared=shared - 1))
    assert (again == shared - 1).all()
    assert (own == personal + 1).all()


@given(tensors)
def test_each_value_is_where_its_tensor_says(layout: list[Tensor]) -> None:
    schema = Schema(layout)
    full = noise(schema.size)
    shared, personal = schema.split(full)
    slices = schema.slices()
    for part, is_personal in ((shared, False), (personal, True)):
        values = [full[slices[tensor.name]] for tensor in layout if tensor.personal == is_personal]
        assert (part == np.concatenate([*values, np.empty(0, np.float32)])).all()


def test_split_gives_copies() -> None:
    schema = flat(3)
    full = noise(3)
    shared, _ = schema.split(full)
    shared += 1
    assert (full == noise(3)).all()


@given(tensors)
def test_personal_tensors_do_not_show_in_the_fingerprint(layout: list[Tensor]) -> None:
    name = Schema(layout).fingerprint
    assert len(name) == 16
    assert Schema([Tensor("mine", (7,), personal=True), *layout]).fingerprint == name
    assert Schema([tensor for tensor in layout if not tensor.personal]).fingerprint == name
    assert Schema([*layout, Tensor("ours", (7,))]).fingerprint != name


@pytest.mark.parametrize(
    "other",
    [
        [Tensor("b", (2, 3)), Tensor("c", (4,))],
        [Tensor("a", (3, 2)), Tensor("c", (4,))],
        [Tensor("a", (6,)), Tensor("c", (4,))],
        [Tensor("c", (4,)), Tensor("a", (2, 3))],
        [Tensor("a", (2, 3)), Tensor("c", (4,), personal=True)],
        [Tensor("a", (2, 3))],
    ],
)
def test_the_fingerprint_changes_with_anything_shared(other: list[Tensor]) -> None:
    assert Schema(other).fingerprint != Schema([Tensor("a", (2, 3)), Tensor("c", (4,))]).fingerprint


def test_equal_layouts_are_equal_and_hash_equal() -> None:
    assert flat(3) == flat(3)
    assert hash(flat(3)) == hash(flat(3))
    assert flat(3) != flat(4)
    assert flat(3) != "flat"


@pytest.mark.parametrize(
    "wrong",
    [np.zeros(2, np.float32), np.zeros((3, 1), np.float32), np.zeros(3), np.zeros(3, np.int32), [0.0, 0.0, 0.0]],
    ids=["short", "two-dimensional", "float64", "int32", "a list"],
)
def test_a_vector_of_another_kind_is_refused(wrong: Any) -> None:
    with pytest.raises(LocalError, match=r"expected float32 of shape \(3,\), got"):
        flat(3).check(wrong)
    with pytest.raises(LocalError):
        flat(3).split(wrong)


def test_parts_that_do_not_fit_are_not_joined() -> None:
    with pytest.raises(LocalError, match="do not make 3"):
        flat(3).join(noise(2), noise(0))
    with pytest.raises(LocalError, match="do not make 3"):
        flat(3).join(noise(3), noise(1))
