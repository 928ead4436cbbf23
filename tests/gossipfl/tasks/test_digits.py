"""digits: every image belongs to exactly one node, and a node sees two classes."""

import numpy as np
import pytest

from gossipfl.tasks.digits import CLASSES, HELD_OUT, class_shard, digits
from gossipfl.tasks.mlp import Labels
from gossipfl.tasks.task import Node

LABELS: Labels = np.random.default_rng(1).integers(CLASSES, size=500)


@pytest.mark.parametrize("count", range(1, 17))
@pytest.mark.parametrize("seed", [0, 7])
def test_every_row_belongs_to_exactly_one_node(count: int, seed: int) -> None:
    rows = np.concatenate([class_shard(LABELS, index, count, seed=seed) for index in range(count)])
    assert sorted(rows) == list(range(len(LABELS)))


@pytest.mark.parametrize("count", range(1, 17))
def test_a_node_sees_two_classes_where_that_leaves_none_to_nobody(count: int) -> None:
    for index in range(count):
        classes = set(LABELS[class_shard(LABELS, index, count, seed=0)])
        assert len(classes) == max(2, -(-CLASSES // count))


def test_the_seed_deals_other_classes() -> None:
    dealt = {tuple(sorted(set(LABELS[class_shard(LABELS, 0, 8, seed=seed)]))) for seed in range(10)}
    assert len(dealt) > 3


@pytest.mark.parametrize("count", [200, 1000, 5000])
def test_in_a_mesh_of_more_nodes_than_images_everybody_still_gets_one_of_each_of_its_classes(count: int) -> None:
    y = np.random.default_rng(1).integers(CLASSES, size=300)
    shards = [class_shard(y, index, count, seed=3) for index in range(count)]
    assert {len(np.unique(y[shard])) for shard in shards} == {2}
    assert set(np.concatenate(shards)) == set(range(300))


class TestTheRealData:
    @pytest.fixture(autouse=True)
    def needs_scikit_learn(self) -> None:
        pytest.importorskip("sklearn", reason="digits come with scikit-learn, extra gossipfl[demo]")

    def test_shards_are_disjoint_and_held_out_rows_are_the_same_for_all(self) -> None:
        tasks = [digits(Node(index, 8)) for index in range(8)]
        assert sum(len(task._x) for task in tasks) == 1797 - HELD_OUT
        for task in tasks:
            assert (task._x_test == tasks[0]._x_test).all()
            assert len(task._y_test) == HELD_OUT
            assert set(task._y_test) == set(range(CLASSES))
            assert len(set(task._y)) == 2
            assert 0 <= task._x.min() <= task._x.max() <= 1

    def test_all_nodes_begin_from_one_vector(self) -> None:
        one, other = digits(Node(0, 8, seed=3)), digits(Node(5, 8, seed=3))
        assert (one.initial() == other.initial()).all()
        assert one.schema.fingerprint == other.schema.fingerprint
        assert one.schema.size == 64 * 32 + 32 + 32 * 10 + 10
