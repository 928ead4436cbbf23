"""Worlds that the simulations share: small tasks, and a world that checks each refused frame for what it changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.protocol import events as ev
from gossipfl.protocol.settings import Settings
from gossipfl.tasks.digits import digits
from gossipfl.tasks.mlp import MLP, Inputs, Labels
from gossipfl.tasks.task import Node, Progress, Task
from gossipfl_sims.engine import world as sims
from gossipfl_sims.engine.machine import Machine
from gossipfl_sims.engine.network import Link
from tests.gossipfl.builders import state

T = TypeVar("T")
SECRET = np.frombuffer(b"key1key2", dtype="<f4").copy()
"""Two finite float32 whose bytes no honest computation makes."""


def blobs(nodes: int, *, seed: int = 0, own_weights: bool = False) -> list[Task]:
    """Four classes in the plane; node i sees class i mod 4 and the next."""
    rng = np.random.default_rng(seed)

    def draw(y: Labels) -> Inputs:
        corners = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]], np.float32)
        x: Inputs = (corners[y] + 0.3 * rng.standard_normal((len(y), 2))).astype(np.float32)
        return x

    y_test = rng.integers(4, size=200)
    x_test = draw(y_test)
    tasks: list[Task] = []
    for i in range(nodes):
        y = (i + rng.integers(2, size=60)) % 4
        weights = seed + i if own_weights else seed
        tasks.append(MLP(draw(y), y, x_test, y_test, classes=4, hidden=(8,), lr=0.2, seed=weights))
    return tasks


def digit_tasks(nodes: int, seed: int = 0) -> list[Task]:
    return [digits(Node(index, nodes, seed)) for index in range(nodes)]


class Guarded:
    """A task with personal values before and after the shared ones, which carry SECRET and stay as they are."""

    def __init__(self, inner: Task) -> None:
        self._inner = inner
        size = inner.schema.size
        self.schema = Schema(
            [Tensor("mine", (64,), personal=True), Tensor("ours", (size,)), Tensor("own", (2,), personal=True)]
        )

    def initial(self) -> Vector:
        return np.concatenate([np.tile(SECRET, 32), self._inner.initial(), SECRET])

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:
        return self._inner.train(vector[64:-2], steps, rng)

    def evaluate(self, vector: Vector) -> dict[str, float]:
        assert (vector[:64] == np.tile(SECRET, 32)).all()
        assert (vector[-2:] == SECRET).all()
        return self._inner.evaluate(vector[64:-2])

    def predict(self, vector: Vector, inputs: Inputs) -> Inputs:
        return self._inner.predict(vector[64:-2], inputs)


class Names:
    """A wall that is told by names who must not reach whom."""

    def __init__(self, world: World, blocked: Callable[[str, str], bool]) -> None:
        self._names = [machine.name for machine in world]
        self._blocked = blocked

    def blocks(self, sender: int, receiver: int) -> bool:
        return self._blocked(self._names[sender], self._names[receiver])


class World(sims.World):
    """A world that remembers what its peers report."""

    def __init__(self, tasks: list[Task], settings: Settings, **options: Any) -> None:
        super().__init__(tasks, settings, **options)
        self.reports: dict[int, list[tuple[float, ev.Effect]]] = {machine.index: [] for machine in self}
        self.observers.append(self)

    def before(self, machine: Machine, event: ev.Event) -> None:
        pass

    def after(self, machine: Machine, _: ev.Event, effects: list[ev.Effect]) -> None:
        self.reports[machine.index] += [(self.now, effect) for effect in effects]

    def reported(self, machine: Machine, kind: type[T]) -> list[T]:
        return [report for _, report in self.reports[machine.index] if isinstance(report, kind)]

    def cut(self, blocked: Callable[[str, str], bool]) -> None:
        self.raise_wall(Names(self, blocked))

    def mend(self) -> None:
        for wall in list(self.network.walls):
            self.lower_wall(wall)


class Watched(World):
    """Keeps every frame that is sent, and checks that no refused frame changed anything but its sender's strikes."""

    def __init__(self, tasks: list[Task], settings: Settings, *, link: Link | None = None, seed: int = 0) -> None:
        super().__init__(tasks, settings, link=link, seed=seed, seconds_per_step=0.0005)
        self.states: dict[str, Any] | None = None
        self.frames: dict[bytes, None] = {}
        self.refused = 0
        self.on_frame = lambda _sender, _receiver, body: self.frames.setdefault(body, None)

    def before(self, machine: Machine, event: ev.Event) -> None:
        assert machine.peer is not None
        self.states = state(machine.peer) if isinstance(event, ev.Received) else None

    def after(self, machine: Machine, event: ev.Event, effects: list[ev.Effect]) -> None:
        super().after(machine, event, effects)
        assert machine.peer is not None
        for effect in effects:
            if isinstance(effect, ev.Refused):
                self.refused += 1
                if not any(isinstance(other, ev.Disconnect) for other in effects):
                    assert state(machine.peer) == self.states, effect.reason
            if isinstance(effect, ev.Merged):
                assert 0 <= effect.weight <= 0.5
        assert np.isfinite(machine.peer.replica.x).all()


def boot(world: World) -> None:
    for machine in world:
        world.start(machine.name)


def accuracies(world: World) -> list[float]:
    return [machine.accuracy() for machine in world]
