"""A run: a scenario and a seed in, a result out.

Puts the world, the nemesis, the checks and the observers together, lets virtual time pass in two phases, the faulty and
the healed one, and looks at the whole mesh every so often. One seed, one result.
"""

from __future__ import annotations

import gc
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from msgspec import structs

from gossipfl.errors import LocalError
from gossipfl.kernels import kernel
from gossipfl.tasks.task import DEFAULT_STEPS, Node, Task
from gossipfl_sims.checks.liveness import Liveness
from gossipfl_sims.checks.safety import Safety
from gossipfl_sims.engine.world import World
from gossipfl_sims.nemesis.faults import Partition
from gossipfl_sims.nemesis.nemesis import Nemesis
from gossipfl_sims.result import Result, conclude
from gossipfl_sims.scenario.scenario import Scenario
from gossipfl_sims.series import Series
from gossipfl_sims.tasks.load import load
from gossipfl_topology.errors import TopologyError
from gossipfl_topology.wiring import Wiring, wire

DRAWN = 300
"""Nodes up to which the mesh is drawn: of more, a drawing shows nothing."""
COMPILED = 256
"""Nodes from which the compiled kernel is worth the seconds that it takes to compile; both give the same bytes."""
Progress = Callable[[float, float, World], None]
"""Called now and then with the virtual time, when it will end, and the world."""


class Run:
    """One run of `scenario`.

    Args:
        scenario: what to simulate.
        seed: of everything random.
        name: what to call it in replay lines: the scenario's name or file, and what was changed.
        checks: hold every rule after every event; costs about as much as the run itself.
        trace: a file for all that happens.
        wiring: who talks to whom, instead of what the scenario says.

    Raises:
        LocalError: the task or topology of the scenario can't be had.
    """

    def __init__(
        self, scenario: Scenario, seed: int, *, name: str = "", checks: bool = True, trace: IO[str] | None = None,
        wiring: Wiring | None = None,
    ) -> None:  # fmt: skip
        self.scenario, self.seed, self.name = scenario, seed, name
        self.world = build(scenario, seed, trace, wiring)
        self.safety = Safety(self.world) if checks else None
        self.series = Series(self.world)
        self._looks = 0
        self._settled = False
        self.nemesis = Nemesis(self.world, scenario.faults, scenario.time.faulty)
        self.end = scenario.time.faulty + scenario.time.healed
        if scenario.nodes <= DRAWN:
            for moment in self._moments():
                self.world.at(moment, self.series.draw)

    @property
    def replay(self) -> str:
        """The line that runs this again."""
        return f"gossipfl sim replay {shlex.quote(f'{self.name} --seed {self.seed}')}"

    def finish(self, progress: Progress | None = None) -> Result:
        """Let all time pass, and conclude. What the protocol raises is a bug of ours: it comes with the replay line."""
        try:
            with seldom_collected():
                return self._finish(progress)
        except Exception as error:
            error.add_note(f"at {self.world.now:.4f} s of: {self.replay}")
            raise

    def _finish(self, progress: Progress | None) -> Result:
        time, world = self.scenario.time, self.world
        self.nemesis.start()
        self._pass_until(time.faulty, progress)
        self.nemesis.heal()
        liveness = Liveness(world)
        if self.safety is not None and liveness.due <= self.end:
            self._pass_until(liveness.due, progress)
            self._settled = True
            for machine, rule, detail in liveness.broken():
                self.safety.report(machine, None, rule, detail)
        self._pass_until(self.end, progress)
        return self.result()

    def result(self) -> Result:
        """What has come of it so far."""
        return conclude(
            self.scenario, self.world, name=self.name, seed=self.seed, replay=self.replay, nemesis=self.nemesis,
            series=self.series, safety=self.safety, settled=self._settled,
        )  # fmt: skip

    def _moments(self) -> list[float]:
        """When the mesh is worth a drawing: late in each partition, when all is healed, and at the end."""
        partitions = [fault for fault in self.scenario.faults if isinstance(fault, Partition)]
        late = [fault.at + 0.9 * (fault.lasts or self.scenario.time.faulty - fault.at) for fault in partitions]
        return sorted({*late, self.scenario.time.faulty, self.end})

    def _pass_until(self, end: float, progress: Progress | None) -> None:
        world, sample = self.world, self.scenario.time.sample
        while world.now < end:
            # The so-manieth look, counted: sums of steps would miss the ends of the phases by a rounding error.
            due = (self._looks + 1) * sample
            reached = due <= end * (1 + 1e-12)
            world.run(min(due, end))
            if reached or end == self.end:
                self._looks += reached
                self.series.sample()
            if progress is not None:
                progress(world.now, self.end, world)


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for garbage in circles a hundred times less often: a run makes little, and has millions of objects."""
    usual = gc.get_threshold()
    gc.set_threshold(100 * usual[0], *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def build(scenario: Scenario, seed: int, trace: IO[str] | None = None, wiring: Wiring | None = None) -> World:
    """The world of `scenario`, in which nothing runs yet. A `wiring` says who talks to whom instead of the scenario."""
    make = load(scenario.task.name, scenario.task.options)
    data = Path(scenario.task.data) if scenario.task.data else None
    try:
        wiring = wiring or wire(scenario.gossip.topology, scenario.nodes, seed)
    except TopologyError as error:
        raise LocalError(f"gossip.topology = {scenario.gossip.topology!r}: {error}") from error
    tasks: list[Task] = [make(Node(index, scenario.nodes, seed, data)) for index in range(scenario.nodes)]
    suits = scenario.gossip.steps or getattr(tasks[0], "steps", DEFAULT_STEPS)
    world = World(
        tasks,
        structs.replace(scenario.gossip, steps=suits, topology=wiring.topology),
        link=scenario.network,
        seed=seed,
        roles=[wiring.role(index) for index in range(scenario.nodes)],
        bootstraps=scenario.bootstraps,
        kernel=kernel("numba" if scenario.nodes >= COMPILED else "numpy"),
        trace=trace,
    )
    if wiring.graph is not None:
        world.topology = wiring.live(tuple(world.machines))
    devices = scenario.devices
    rng = world.draws.generator("devices")
    speeds = np.exp(devices.spread * rng.standard_normal(scenario.nodes))
    slow = set(rng.permutation(scenario.nodes)[: devices.slow].tolist())
    for machine in world:
        factor = devices.slow_factor if machine.index in slow else 1.0
        machine.seconds_per_step = devices.seconds_per_step * float(speeds[machine.index]) * factor
    return world
