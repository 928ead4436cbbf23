"""Failures: who of the peers that there are links with gives no sign of life, as in SWIM (Das, Gupta, Motivala, 2002).

Once per probe period one of them is asked, in turn, in random order; without an answer others ask it; without one from
them it is suspected, and all hear of that. It can refute it until the suspicion's timeout, and then it is dead: its
link is cut, and the topology closes the gap. Every frame is a sign of life. Cost per node and period: one probe.

Nobody is cut off because others say so: who has a link that works tells the suspect instead.
"""

from __future__ import annotations

from msgspec import Struct

from gossipfl.membership.health import Health
from gossipfl.membership.rumours import Rumour, Rumours, Standing
from gossipfl.membership.suspicion import Suspicion
from gossipfl.protocol import events as ev
from gossipfl.protocol.neighbour import Hearsay, Neighbour
from gossipfl.protocol.parts.census import Census
from gossipfl.protocol.parts.links import Links
from gossipfl.protocol.parts.state import State
from gossipfl.wire import messages as msg

PROBE = "probe"
"""The timer of all of it."""
SHORTEST_PERIOD, LONGEST_PERIOD = 1.0, 300.0
"""Seconds. In between a period is a publish interval: who learns seldom is in no hurry, and pays for each byte."""
DIRECT, INDIRECT = 0.3, 0.35
"""Parts of a period that an answer may take, first the peer's own, and then by way of others."""
HELPERS = 3
"""Others who are asked to ask, as in memberlist."""
MAX_JUMP = 1000
"""Refutations that may be missed: a longer jump is a lie, which would keep its victim from ever refuting anything."""
MAX_RELAYED = 32
"""Peers that this node asks for others at a time."""


class Probe(Struct):
    """Who was asked, and whether anything came from it since."""

    number: int
    peer: str
    answered: bool = False
    relayed: bool = False


class Failures:
    """Finds out who is gone, and lets others know that this node is not."""

    def __init__(self, state: State, links: Links, census: Census) -> None:
        self._state, self._links, self._census = state, links, census
        self._health = Health()
        self._rumours = Rumours()
        self._order: list[str] = []
        self._number = 0
        self._probe: Probe | None = None
        self._relayed: dict[str, tuple[str, int]] = {}
        """By peer that is asked for somebody: for whom, and the number of the probe there."""
        self._refutations = 0
        self._suspects: dict[str, Suspicion] = {}

    @property
    def suspects(self) -> list[str]:
        """Who is suspected now."""
        return list(self._suspects)

    @property
    def period(self) -> float:
        """Seconds between two probes."""
        usual = max(SHORTEST_PERIOD, min(LONGEST_PERIOD, self._state.settings.interval))
        return usual * self._health.patience

    def begin(self) -> None:
        """Probe from now on."""
        self._wait(self._state.rng.random())

    def on_timer(self, now: float) -> None:
        """The next step of a probe, or the next probe."""
        probe = self._probe
        if probe is None:
            self._begin_probe(now)
        elif probe.answered:
            self._probe = None
            self._wait(1 - DIRECT - INDIRECT * probe.relayed)
            self._health.better()
        elif not probe.relayed:
            probe.relayed = True
            self._ask_others(probe)
            self._wait(INDIRECT)
        else:
            self._probe = None
            self._suspect(probe.peer, now)
            self._wait(1 - DIRECT - INDIRECT)
            self._health.worse()

    def heard(self, peer: str) -> None:
        """A frame has come from `peer`."""
        if self._probe is not None and self._probe.peer == peer:
            self._probe.answered = True
        if self._suspects:
            self._suspects.pop(peer, None)
        if self._relayed and (asker := self._relayed.pop(peer, None)) is not None:
            self._answer(*asker, about=peer)

    def on_message(self, peer: str, message: msg.Ping | msg.Ack | msg.PingFor, now: float) -> None:
        """`peer` wants to know whether we live, or another one; or it says who does."""
        if isinstance(message, msg.PingFor):
            self._ask_for(peer, message)
            return
        self._census.told(peer, message.count, now, answer=isinstance(message, msg.Ack))
        for rumour in message.rumours:
            if rumour.peer == self._state.me:
                self._refute(rumour)
            else:
                self._believe(peer, rumour)
        if isinstance(message, msg.Ping):
            self._answer(peer, message.number)
        elif (probe := self._probe) and (message.number, message.about) == (probe.number, probe.peer):
            probe.answered = True

    def _ask_for(self, peer: str, ask: msg.PingFor) -> None:
        """`peer` has no answer from another one."""
        state, target = self._state, ask.peer
        if target == state.me:
            self._answer(peer, ask.number, about=target)
            return
        self._relayed.pop(target, None)
        self._relayed[target] = (peer, ask.number)
        if len(self._relayed) > MAX_RELAYED:
            del self._relayed[next(iter(self._relayed))]
        if (record := state.neighbourhood.known.get(target)) is not None and record.live:
            self._ping(target, 0)
        else:
            state.neighbourhood.hear_of(target, ask.addresses)
            self._links.call(target)

    def lost(self, peer: str) -> None:
        """There is no link to `peer` any more."""
        self._suspects.pop(peer, None)
        for target in [target for target, (asker, _) in self._relayed.items() if asker == peer]:
            del self._relayed[target]

    def forget(self, peer: str) -> None:
        """`peer` is not of the mesh."""
        self.lost(peer)
        self._census.forget(peer)

    def left(self, peer: str, neighbour: Neighbour | Hearsay) -> None:
        """`peer` has said goodbye."""
        self._census.forget(peer)
        self._spread(peer, Standing.LEFT, neighbour)

    # --- probing

    def _wait(self, share: float) -> None:
        self._state.emit(ev.SetTimer(PROBE, share * self.period))

    def _begin_probe(self, now: float) -> None:
        self._census.beat(now, self.period)
        self._end_suspicions(now)
        peer = self._next()
        if peer is None:
            self._wait(1.0)
            return
        self._number += 1
        self._probe = Probe(self._number, peer)
        self._ping(peer, self._number)
        self._wait(DIRECT)

    def _next(self) -> str | None:
        """Whom to ask: in turn, so that nobody waits for longer than twice as many periods as there are links."""
        known = self._state.neighbourhood.known
        for _ in range(2):
            while self._order:
                peer = self._order.pop()
                if peer in known and known[peer].live:
                    return peer
            self._order = self._state.neighbourhood.live()
            self._state.rng.shuffle(self._order)
        return None

    def _ping(self, peer: str, number: int) -> None:
        self._state.send(peer, msg.Ping(number, self._news(), self._census.tell(peer)))

    def _answer(self, peer: str, number: int, about: str = "") -> None:
        about = about or self._state.me
        self._state.send(peer, msg.Ack(number, about, self._news(), self._census.tell(peer)))

    def _news(self) -> tuple[Rumour, ...]:
        return self._rumours.some(msg.MAX_RUMOURS, self._census.size) if len(self._rumours) else ()

    def _ask_others(self, probe: Probe) -> None:
        hood, rng = self._state.neighbourhood, self._state.rng
        others = [peer for peer in hood.live() if peer != probe.peer]
        record = hood.known.get(probe.peer)
        addresses = record.addresses if record is not None else ()
        for helper in rng.sample(others, min(HELPERS, len(others))):
            self._state.send(helper, msg.PingFor(probe.number, probe.peer, addresses))

    # --- suspicion

    def _suspect(self, peer: str, now: float) -> None:
        """No answer came."""
        record = self._state.neighbourhood.known.get(peer)
        if record is None or not record.live or peer in self._suspects:
            return
        self._suspects[peer] = Suspicion(now, set())
        self._state.emit(ev.Suspected(peer))
        self._spread(peer, Standing.SUSPECT, record)
        self._ping(peer, 0)  # it should be the first to know

    def _end_suspicions(self, now: float) -> None:
        for peer, suspicion in list(self._suspects.items()):
            if now >= suspicion.ends(self.period, self._census.size):
                del self._suspects[peer]
                self._bury(peer)

    def _bury(self, peer: str) -> None:
        hood = self._state.neighbourhood
        record = hood.known.get(peer)
        if record is None or not record.connected:
            return
        self._state.emit(ev.Died(peer))
        self._census.forget(peer)
        self._spread(peer, Standing.DEAD, record)
        hood.give_up(peer)
        self._state.emit(ev.Disconnect(peer, "it gives no sign of life"))

    # --- rumours

    def _spread(self, peer: str, standing: Standing, record: Neighbour | Hearsay) -> None:
        self._rumours.add(Rumour(peer, standing, record.incarnation, record.refutations))

    def _refute(self, rumour: Rumour) -> None:
        """Somebody says something about this node."""
        mine, state = self._refutations, self._state
        if rumour.standing is Standing.ALIVE or rumour.incarnation != state.incarnation:
            return
        if mine <= rumour.refutations <= mine + MAX_JUMP:
            self._refutations = rumour.refutations + 1
            self._rumours.add(Rumour(state.me, Standing.ALIVE, state.incarnation, self._refutations))
            self._health.worse()

    def _believe(self, source: str, rumour: Rumour) -> None:
        """`source` says something about a third one; only what there is a link to, or an address of, matters."""
        hood = self._state.neighbourhood
        record = hood.known.get(rumour.peer)
        if record is None:
            return
        version, known = (rumour.incarnation, rumour.refutations), (record.incarnation, record.refutations)
        if version < known or (record.live and rumour.incarnation > record.incarnation):
            return  # outdated; or of a life that it would have told us of itself
        if rumour.refutations > record.refutations + MAX_JUMP:
            return
        self._rumours.add(rumour)
        if not record.live:
            if rumour.standing >= Standing.DEAD:
                self._census.forget(rumour.peer)
                hood.bury(rumour.peer)
            return
        if rumour.standing is Standing.ALIVE:
            hood.meet(rumour.peer).refutations = rumour.refutations
            self._suspects.pop(rumour.peer, None)
        elif (suspicion := self._suspects.get(rumour.peer)) is not None:
            suspicion.confirm(source)
        elif self._probe is None or self._probe.peer != rumour.peer:
            self._ping(rumour.peer, 0)  # it works from here: let it refute what is said
