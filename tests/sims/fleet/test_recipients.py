"""Who gets a publish: whom each law may draw, how evenly it does, and that it leaves out who is absent."""

from collections import Counter

import numpy as np
import pytest

from gossipfl.protocol.contacts import SIZE, TURN
from gossipfl_sims.fleet.recipients import Circle, Contacts, Neighbours, Recipients, Sampled
from gossipfl_topology import arrays

N = 400
EVERYBODY = np.arange(N, dtype=np.int32)


def generator() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture(params=["circle", "sampled", "ring"])
def law(request: pytest.FixtureRequest) -> Recipients:
    match request.param:
        case "circle":
            return Circle(N, 3, generator())
        case "sampled":
            return Sampled(N, 3, SIZE, generator())
        case _:
            return Neighbours(arrays("ring", N))


def test_only_the_living_are_sent_to_nobody_twice_and_nobody_itself(law: Recipients) -> None:
    alive = generator().random(N) < 0.5
    senders = EVERYBODY[alive]
    for epoch in range(3):
        to, row, chance = law.draw(senders, alive, epoch)
        assert alive[to].all()
        assert (to != senders[row]).all()
        assert len({*zip(to.tolist(), row.tolist(), strict=True)}) == len(to)
        assert (np.diff(row) >= 0).all()
        assert ((chance > 0) & (chance <= 1)).all()


def test_on_a_circle_everybody_hears_from_k_in_every_epoch() -> None:
    law, alive = Circle(N, 3, generator()), np.ones(N, np.bool_)
    draws = [law.draw(EVERYBODY, alive, epoch)[0] for epoch in range(4)]
    for to in draws:
        assert (np.bincount(to, minlength=N) == 3).all()
    assert len({to.tobytes() for to in draws}) == 4
    assert law.draw(EVERYBODY, alive, 3)[0].tobytes() == draws[3].tobytes(), "one epoch, one circle"


def test_contacts_are_drawn_evenly_over_time() -> None:
    """χ² per degree of freedom of how often each pair talks: 1 for independent draws."""
    n = 200
    law, alive = Sampled(n, 3, 8, generator()), np.ones(n, np.bool_)
    counts: Counter[tuple[int, int]] = Counter()
    heard = np.zeros(n)
    epochs = TURN  # within which the contacts stay
    for epoch in range(epochs):
        to, row, _ = law.draw(EVERYBODY[:n], alive, epoch)
        counts.update(zip(row.tolist(), to.tolist(), strict=True))
        heard += np.bincount(to, minlength=n)
    pairs = {(i, int(j)) for i in range(n) for j in law.table[i] if j >= 0}
    assert set(counts) <= pairs
    expected = 3 * epochs / 8
    assert sum((counts[pair] - expected) ** 2 / expected for pair in pairs) / len(pairs) < 1.2
    assert heard.mean() == 3 * epochs
    assert heard.var() / heard.mean() < 1.5


@pytest.mark.parametrize("nodes", [200, 5000])
def test_contacts_are_mutual_however_many_there_are(nodes: int) -> None:
    table = Sampled(nodes, 2, SIZE, generator()).table
    kept = {(i, int(j)) for i in range(nodes) for j in table[i] if j >= 0}
    assert {(j, i) for i, j in kept} == kept
    assert all(i != j for i, j in kept)
    named = {(i, int(max(j, ~j))) for i in range(nodes) for j in table[i]}
    assert named - kept <= {(i, i) for i in range(nodes)}, "what is left out is there once already"


def test_a_ring_is_shuffled_every_turn_and_the_others_stay() -> None:
    law, alive = Sampled(N, 2, 8, generator()), np.ones(N, np.bool_)
    before = np.maximum(law.table, ~law.table)
    law.draw(EVERYBODY, alive, TURN - 1)
    assert (np.maximum(law.table, ~law.table) == before).all()
    law.draw(EVERYBODY, alive, TURN)
    same = (np.maximum(law.table, ~law.table) == before).mean(axis=0)
    assert (same[:2] < 0.05).all()
    assert (same[2:] == 1).all()


def test_given_contacts_are_the_only_ones_and_few_are_sent_to_all() -> None:
    table = np.array([[1, 2, 3], [0, -1, -1], [-1, -1, -1], [0, 1, -1]], np.int32)
    law = Contacts(table, 2, generator())
    to, row, chance = law.draw(np.arange(4, dtype=np.int32), np.ones(4, np.bool_), 0)
    sets = [set(to[row == i].tolist()) for i in range(4)]
    assert len(sets[0]) == 2
    assert sets[1:] == [{0}, set(), {0, 1}]
    assert chance.tolist() == [2 / 3, 1.0, 1.0, 1.0]


def test_a_graph_is_followed_in_the_direction_of_its_edges() -> None:
    for name in ("star", "exponential"):
        graph = arrays(name, 9)
        law = Neighbours(graph)
        to, row, _ = law.draw(np.arange(9, dtype=np.int32), np.ones(9, np.bool_), 0)
        assert [to[row == i].tolist() for i in range(9)] == graph.neighbours()
