"""The nemesis: carries out the faults of a scenario on a world, and heals it when the faulty phase is over.

Owns who is a victim of what: a machine suffers one fault at a time, so that each ends as it began. Everything random is
drawn from the stream of the faults. Never touches a peer: it does to machines and links what life does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from msgspec import structs

from gossipfl_sims.engine.machine import Machine
from gossipfl_sims.engine.network import Wall
from gossipfl_sims.engine.world import World
from gossipfl_sims.nemesis import chaos
from gossipfl_sims.nemesis import faults as ft
from gossipfl_sims.nemesis.lies import Liar
from gossipfl_sims.nemesis.walls import Groups, wall


class Nemesis:
    """What goes wrong in a world.

    Args:
        world: whose machines are all down yet.
        faults: what is to go wrong.
        until: when all faults end, in seconds.
    """

    def __init__(self, world: World, faults: Sequence[ft.AnyFault], until: float) -> None:
        self._world = world
        self._until = until
        self._rng = world.draws.generator("faults")
        self._lies = world.draws.generator("lies")
        self._machines = list(world)
        self._busy: set[int] = set()
        self._gone: set[int] = set()
        self._calm = world.network.link.calm
        self._usual = world.network.link
        self.over = False
        self.counts: Counter[str] = Counter()
        """How often machines and links met with what; what became of frames, the network counts."""
        self.shaded: list[tuple[float, float, str]] = []
        """From, to, and kind of what went wrong, for drawings."""
        self._latecomers = _latecomers(faults, len(self._machines))
        self._absent = {index for indices in self._latecomers.values() for index in indices}
        self._busy |= self._absent
        for number, fault in enumerate(faults):
            # In two steps, so that what ends at this very time has ended.
            begin = partial(world.at, 0.0, partial(self._begin, fault, number))
            world.at(fault.at - world.now, begin)

    def start(self) -> None:
        """Boot all machines that are there from the beginning."""
        for machine in self._machines:
            if machine.index not in self._absent:
                self._world.start(machine.name)

    def heal(self) -> None:
        """End everything: walls fall, links are calm, clocks go right, and who was down comes back."""
        self.over = True
        world = self._world
        for standing in [*world.network.walls, *world.network.dams]:
            world.lower_wall(standing)
        world.network.link = self._calm
        for machine in self._machines:
            machine.slowdown, machine.lie = 1.0, None
            machine.drift(world.now, 1.0)
            if not machine.up and machine.index not in self._gone:
                world.start(machine.name)

    # --- one fault

    def _begin(self, fault: ft.AnyFault, number: int = -1) -> None:
        """Let `fault`, the so-manieth of the scenario, begin now."""
        if self.over:
            return
        world = self._world
        end = min(self._until, world.now + (fault.lasts or self._until))
        self.shaded.append((world.now, end, kind_of(fault)))
        match fault:
            case ft.Partition(first=first, one_way=one_way) if first:
                parts = tuple(int(index not in first) for index in range(len(self._machines)))
                self._wall(Groups(parts, one_way), end, "partition")
            case ft.Partition(shape=shape, groups=groups, one_way=one_way):
                self._wall(wall(shape, len(self._machines), groups, self._rng, one_way=one_way), end, "partition")
            case ft.Hold():
                self._wall(wall("halves", len(self._machines), 2, self._rng), end, "hold", hold=True)
            case ft.Weather():
                self._weather(fault, end)
            case ft.Join():
                for index in self._latecomers[number]:
                    self._later(float(self._rng.uniform(0, end - world.now)), partial(self._arrive, index))
            case ft.Chaos():
                for one in chaos.draw(fault, world.now, end, len(self._machines), self._rng):
                    world.at(one.at - world.now, partial(self._begin, one))
            case _:
                self._on_machines(fault, end)

    def _wall(self, made: Wall, end: float, kind: str, *, hold: bool = False) -> None:
        self.counts[kind] += 1
        self._world.raise_wall(made, hold=hold)
        self._later(end - self._world.now, partial(self._world.lower_wall, made))

    def _weather(self, fault: ft.Weather, end: float) -> None:
        self.counts["weather"] += 1
        worse = {key: value for key in ft.Weather.__struct_fields__ if (value := getattr(fault, key)) is not None}
        changed = {key: value for key, value in worse.items() if key not in ("at", "lasts")}
        network = self._world.network
        mine = network.link = structs.replace(self._usual, **changed)

        def clear() -> None:
            if network.link is mine:  # otherwise other weather has come
                network.link = self._usual

        self._later(end - self._world.now, clear)

    def _arrive(self, index: int) -> None:
        self.counts["join"] += 1
        self._busy.discard(index)
        self._world.start(self._machines[index].name)

    def _victims(self, nodes: ft.Nodes) -> list[Machine]:
        """Machines that are up and suffer nothing else; fewer than asked for if there are not enough."""
        free = [machine for machine in self._machines if machine.up and machine.index not in self._busy]
        if isinstance(nodes, int):
            count = min(nodes, len(free))
            chosen = sorted(self._rng.choice(len(free), size=count, replace=False).tolist()) if count else []
            return [free[i] for i in chosen]
        return [machine for machine in free if machine.index in nodes]

    def _on_machines(self, fault: ft.OnNodes, end: float) -> None:
        world, victims = self._world, self._victims(fault.nodes)
        kind, lasts = kind_of(fault), end - world.now
        for number, machine in enumerate(victims):
            self._busy.add(machine.index)
            self._later(lasts, partial(self._busy.discard, machine.index))
            match fault:
                case ft.Crash(disk=disk):
                    self._crash(machine, kind if disk else "crash without disk", lasts, disk=disk)
                case ft.Bounce():
                    self._crash(machine, kind, 0.0)
                case ft.Pause():
                    self.counts[kind] += 1
                    world.freeze(machine.name, lasts)
                case ft.Slow(factor=factor):
                    self._change(machine, kind, lasts, "slowdown", factor, 1.0)
                case ft.Skew(rate=rate):
                    self.counts[kind] += 1
                    machine.drift(world.now, rate)
                    self._later(lasts, partial(self._set_clock_right, machine))
                case ft.Lie(how=how, every=every):
                    self._change(machine, kind, lasts, "lie", self._liar(machine, how, every), None)
                case ft.Leave(crash=crash):
                    self._gone.add(machine.index)
                    self._end(machine, kind, graceful=not crash)
                case ft.Upgrade(down=down):
                    share = max(0.0, lasts - down) * number / max(1, len(victims))
                    self._later(share, partial(self._restart, machine, kind, down, graceful=True))
                case ft.Churn(up=up):
                    self._later(float(self._rng.exponential(up)), partial(self._absence, machine, fault, end))
                case ft.Diurnal(day=day, awake=awake):
                    share = awake * float(self._rng.uniform(0.8, 1.2))
                    self._sleep_each(machine, kind, day, share, day * float(self._rng.uniform(0, 0.1)), end)
                case ft.DutyCycle(period=period, awake=awake):
                    self._sleep_each(machine, kind, period, awake, float(self._rng.uniform(0, period)), end)

    # --- what befalls one machine

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        """Do something unless everything is healed by then."""
        self._world.at(max(0.0, delay), lambda: None if self.over else action())

    def _end(self, machine: Machine, kind: str, *, graceful: bool) -> None:
        self.counts[kind] += 1
        (self._world.stop if graceful else self._world.crash)(machine.name)

    def _return(self, machine: Machine) -> None:
        if not machine.up and machine.index not in self._gone:
            self._world.start(machine.name)

    def _crash(self, machine: Machine, kind: str, down: float, *, disk: bool = True) -> None:
        self.counts[kind] += 1
        self._world.crash(machine.name, disk=disk)
        self._later(down, partial(self._return, machine))

    def _restart(self, machine: Machine, kind: str, down: float, *, graceful: bool) -> None:
        if machine.up:
            self._end(machine, kind, graceful=graceful)
            self._later(down, partial(self._return, machine))

    def _change(self, machine: Machine, kind: str, lasts: float, field: str, value: object, usual: object) -> None:
        self.counts[kind] += 1
        setattr(machine, field, value)
        self._later(lasts, partial(setattr, machine, field, usual))

    def _liar(self, machine: Machine, how: Sequence[ft.LieName], every: int) -> Liar:
        return Liar(how, every, self._lies, self.counts, machine.task.schema.shared_size)

    def _set_clock_right(self, machine: Machine) -> None:
        machine.drift(self._world.now, 1.0)

    def _absence(self, machine: Machine, churn: ft.Churn, end: float) -> None:
        """A session ends; the next begins after an absence."""
        if self._world.now >= end:
            return
        self._end(machine, kind_of(churn), graceful=bool(self._rng.integers(2)))
        away = min(float(self._rng.exponential(churn.down)), end - self._world.now)
        self._later(away, partial(self._session, machine, churn, end))

    def _session(self, machine: Machine, churn: ft.Churn, end: float) -> None:
        self._return(machine)
        self._later(float(self._rng.exponential(churn.up)), partial(self._absence, machine, churn, end))

    def _sleep_each(self, machine: Machine, kind: str, period: float, awake: float, phase: float, end: float) -> None:
        """Let a machine be awake for a share of each period, and asleep for the rest."""

        def sleep() -> None:
            if machine.up and self._world.now < end:
                self.counts[kind] += 1
                self._world.freeze(machine.name, min((1 - awake) * period, end - self._world.now))
            if self._world.now + period < end:
                self._later(period, sleep)

        self._later(phase + awake * period, sleep)


def _latecomers(faults: Sequence[ft.AnyFault], machines: int) -> dict[int, list[int]]:
    """By the number of each flash crowd: who is in it. Those that are named first, then the last of the others."""
    joins = [(number, fault.nodes) for number, fault in enumerate(faults) if isinstance(fault, ft.Join)]
    made = {number: list(nodes) for number, nodes in joins if not isinstance(nodes, int)}
    free = [index for index in range(machines) if not any(index in indices for indices in made.values())]
    for number, nodes in joins:
        if isinstance(nodes, int):
            made[number] = free[max(0, len(free) - nodes) :]
            free = free[: max(0, len(free) - nodes)]
    return made


def kind_of(fault: ft.Fault) -> str:
    """The name that scenario files give it."""
    return str(type(fault).__struct_config__.tag)
