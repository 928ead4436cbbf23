"""A witness: remembers the last events of every machine, and tells them once one of them breaks a rule."""

from __future__ import annotations

from collections import deque

from gossipfl.protocol import events as ev
from gossipfl_sims.checks.safety import Safety
from gossipfl_sims.engine.machine import Machine
from gossipfl_sims.engine.trace import told
from gossipfl_sims.engine.world import World


class Witness:
    """Watches `world`, whose rules `safety` checks, and remembers the last `most` events of each machine."""

    def __init__(self, world: World, safety: Safety | None, most: int) -> None:
        self._world = world
        self._safety = safety
        self._most = most
        self._seen: dict[int, deque[str]] = {}
        self.told: list[str] = []
        """What led up to the first violation; nothing if there was none."""
        world.observers.append(self)

    def before(self, machine: Machine, event: ev.Event) -> None:
        """See Observer."""

    def after(self, machine: Machine, event: ev.Event, effects: list[ev.Effect]) -> None:
        """Remember, and tell if a rule was broken just now."""
        if self.told:
            return
        seen = self._seen.setdefault(machine.index, deque(maxlen=self._most))
        names = ", ".join(type(effect).__name__ for effect in effects) or "nothing"
        seen.append(f"{self._world.now:10.4f} {machine.name}: {told(event)} → {names}")
        if self._safety is not None and self._safety.broken:
            first = self._safety.violations[0]
            if first.node != machine.name:  # found between events, when the mesh was looked at as a whole
                self.told = [f"{first.node}: {first.rule}: {first.detail}"]
                return
            self.told = [f"what happened to {machine.name} before:", *seen, f"           {first.rule}: {first.detail}"]
