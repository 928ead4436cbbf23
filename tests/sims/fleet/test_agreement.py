"""The fleet's mixing beside that of whole peers on a simulated network: from one start, with the same contacts.

Both agree on the same random vectors. What is compared is the root mean square distance from the mean, its geometric
mean over many starts. The contacts are handed over, since the fleet draws fair ones and peers hear of theirs: beyond
MAX_KNOWN nodes what a peer knows depends on when it joined, and the mesh mixes more slowly than with fair contacts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.protocol.peer import INTRODUCE_EVERY
from gossipfl.protocol.settings import Settings
from gossipfl.tasks.task import Progress
from gossipfl_sims.engine.network import Link
from gossipfl_sims.engine.world import World
from gossipfl_sims.fleet.setting import Fleet
from gossipfl_sims.fleet.world import FleetWorld
from gossipfl_sims.nemesis.walls import Groups

D, K, INTERVALS, STARTS, SEEDS = 8, 2, 6, 32, 3
LATENCY = 0.02
"""Mean delay in intervals, and the width of the fleet's slots, so that both take as long."""
ENOUGH = 16
"""Contacts of everybody before it begins. Where the first peer exchange with a newcomer is overtaken by other frames,
the newcomer has one contact until the next one, and how fast the mesh mixes depends on that node alone."""
AT_ONCE = 50
"""Nodes that join per interval: a thousand at once fill the table of the one that all of them know first."""


class Still:
    """A task that learns nothing."""

    schema = Schema([Tensor("x", (D,))])

    def initial(self) -> Vector:
        return np.zeros(D, np.float32)

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:  # noqa: ARG002
        return Progress(steps, 0, 0.0)

    def evaluate(self, vector: Vector) -> dict[str, float]:  # noqa: ARG002
        return {}

    def predict(self, vector: Vector, inputs: Vector) -> Vector:  # noqa: ARG002
        return inputs


def linked(nodes: int) -> World:
    """A world in which everybody has joined and has as many contacts as it wants."""
    settings = Settings(topology=f"k-out:k={K}", interval=1.0, steps=1, codec="int8", momentum="none")
    world = World([Still() for _ in range(nodes)], settings, link=Link(latency=LATENCY), seconds_per_step=0.0005)
    names = list(world.machines)
    for begin in range(0, nodes, AT_ONCE):
        for name in names[begin : begin + AT_ONCE]:
            world.start(name)
        world.run(world.now + 1.0)
    world.run(world.now + 20.0)
    for _ in range(10):
        if min((contacts(world) >= 0).sum(axis=1)) >= ENOUGH:
            break
        world.run(world.now + INTRODUCE_EVERY)
    assert min((contacts(world) >= 0).sum(axis=1)) >= ENOUGH
    for machine in world:
        assert machine.peer is not None
        assert machine.peer.joining is None
    return world


def vectors(world: World) -> npt.NDArray[np.float32]:
    return np.array([machine.peer.replica.x for machine in world if machine.peer is not None])


def contacts(world: World) -> npt.NDArray[np.int32]:
    """Those that each node may publish to, −1 where there are fewer."""
    number = {machine.name: i for i, machine in enumerate(world)}
    table = np.full((len(number), 48), -1, np.int32)
    for row, machine in zip(table, world, strict=True):
        assert machine.peer is not None
        live = machine.peer.neighbourhood.live()
        row[: len(live)] = [number[name] for name in live]
    return table


def begin(world: World, rng: np.random.Generator) -> None:
    """New random vectors, with nothing on its way that was published before."""
    apart = Groups(tuple(range(len(world.machines))))
    world.raise_wall(apart)
    world.run(world.now + 10 * LATENCY)
    world.lower_wall(apart)
    for machine in world:
        assert machine.peer is not None
        machine.peer.replica.add_training(rng.standard_normal(D).astype(np.float32), 0)


def distance(x: npt.NDArray[np.float32]) -> float:
    """Its logarithm, so that the mean of several is that of a geometric mean."""
    return float(np.log(np.sqrt(np.mean((x - x.mean(axis=0)) ** 2))))


@pytest.mark.parametrize("nodes", [60, pytest.param(1000, marks=pytest.mark.soak)])
def test_mixing_agrees_with_whole_peers_within_five_percent(nodes: int) -> None:
    world, rng = linked(nodes), np.random.default_rng(0)
    exact: list[list[float]] = []
    fleets: list[list[float]] = []
    fair: list[list[float]] = []
    for number in range(STARTS):
        begin(world, rng)
        start, views, begun = vectors(world), contacts(world), world.now
        exact.append([distance(start)])
        for interval in range(INTERVALS):
            world.run(begun + interval + 1)
            exact[-1].append(distance(vectors(world)))
        for given, runs in ((views, fleets), (None, fair)):
            for seed in range(SEEDS):
                setting = Fleet(nodes=nodes, floats=D, k=K, slots=round(1 / LATENCY), seed=SEEDS * number + seed)
                fleet = FleetWorld(setting, start=start, views=given)
                runs.append([distance(start)])
                for interval in range(INTERVALS):
                    fleet.run(interval + 1.0)
                    runs[-1].append(distance(fleet.x))
    logs = [np.array(runs) - np.array(runs)[:, :1] for runs in (exact, fleets, fair)]
    means = [log.mean(axis=0) for log in logs]
    error = np.expm1(means[1] - means[0])
    pairs = logs[1].reshape(STARTS, SEEDS, -1).mean(axis=1) - logs[0]
    print(f"\n{nodes} nodes, geometric means over {STARTS} starts, intervals 1 to {INTERVALS}")
    for name, log, mean in zip(("peers", "fleet", "fleet, fair contacts"), logs, means, strict=True):
        noise = log[:, -1].std() / len(log) ** 0.5
        print(f"{name:21}{np.exp(mean[1:]).round(4)}, ± {noise:.1%} at the end;", end=" ")
        print(f"contraction per interval {np.exp(mean[-1] / INTERVALS):.4f}")
    print(f"relative error       {error[1:].round(4)}, ± {pairs[:, -1].std() / STARTS**0.5:.1%} at the end")
    assert (np.abs(error) <= 0.05).all()
    assert abs(np.expm1((means[1] - means[0])[-1] / INTERVALS)) <= 0.05
