"""What the neighbourhood keeps up to date is what going through its table would find, whatever happened to it."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gossipfl.protocol import neighbourhood as hoods
from gossipfl.protocol.contacts import TURN, Contacts
from gossipfl.protocol.joining import median
from gossipfl.protocol.neighbour import Link, Neighbour
from gossipfl.protocol.neighbourhood import Neighbourhood
from gossipfl.protocol.parts.wanted import Wanted
from gossipfl_topology.live import named

NAMES = st.integers(0, 80).map("p{}".format)
SOME = st.lists(NAMES, max_size=40)
AGES = st.sampled_from([0.0, 1.0, 2.0, 3.0, 1e6])
BASES = st.sampled_from([b"a", b"b", b"c"])
ADDRESSES = st.sampled_from([(), ("x",), ("y", "z")])
TOPOLOGIES = st.sampled_from(["k-out:k=2", "ring", "hierarchical", "complete"])


class Tables(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.rng = random.Random(0)
        self.hood = Neighbourhood("me")
        self.contacts = Contacts("me", "sensor", self.hood, named("k-out:k=2"), self.rng)
        self.wanted = Wanted(self.hood)
        self.epoch = 0
        self.own = b"a"

    @rule(peers=SOME, addresses=ADDRESSES)
    def hear_of(self, peers: list[str], addresses: tuple[str, ...]) -> None:
        for peer in peers:
            self.hood.hear_of(peer, addresses)

    @rule(peers=SOME)
    def meet(self, peers: list[str]) -> None:
        for peer in peers:
            self.hood.meet(peer)

    @rule(peer=NAMES, addresses=ADDRESSES)
    def configure(self, peer: str, addresses: tuple[str, ...]) -> None:
        self.hood.configure(peer, addresses)

    @rule(peer=NAMES, addresses=ADDRESSES)
    def locate(self, peer: str, addresses: tuple[str, ...]) -> None:
        self.hood.locate(peer, addresses)

    @rule(peers=SOME, link=st.sampled_from(Link))
    def link(self, peers: list[str], link: Link) -> None:
        for peer in peers:
            self.hood.set_link(peer, link)

    @rule(peer=NAMES)
    def stop_dialling(self, peer: str) -> None:
        self.hood.stop_dialling(peer)

    @rule(peers=SOME, greeted=st.booleans())
    def greet(self, peers: list[str], greeted: bool) -> None:  # noqa: FBT001
        for peer in peers:
            self.hood.set_greeted(peer, greeted=greeted)
            self.hood.meet(peer).spoke = True

    @rule(peer=NAMES, role=st.sampled_from(["", "gateway"]))
    def role(self, peer: str, role: str) -> None:
        self.hood.set_role(peer, role)

    @rule(peers=SOME, seq=st.integers(0, 9), age=AGES, base=BASES)
    def version(self, peers: list[str], seq: int, age: float, base: bytes) -> None:
        for peer in peers:
            self.hood.set_version(self.hood.meet(peer), 1, seq, age, base)

    @rule(peer=NAMES, base=BASES)
    def base(self, peer: str, base: bytes) -> None:
        self.hood.set_base(self.hood.meet(peer), base)

    @rule(peer=NAMES, times=st.integers(1, hoods.FORGET_AFTER + 1))
    def redial(self, peer: str, times: int) -> None:
        for _ in range(times):
            self.hood.redial_delay(peer, self.rng)

    @rule(peers=st.integers(0, 300).map(lambda start: [f"stranger {i}" for i in range(start, start + 40)]))
    def strangers(self, peers: list[str]) -> None:
        for peer in peers:
            self.hood.meet(peer)

    @rule(by=st.sampled_from([1, TURN, 7 * TURN]))
    def time_passes(self, by: int) -> None:
        self.epoch += by
        self.contacts.renew(self.epoch)

    @rule(topology=TOPOLOGIES)
    def rewire(self, topology: str) -> None:
        self.contacts.rewire(named(topology), self.epoch)

    @rule()
    def dial(self) -> None:
        for peer in self.contacts.missing():
            assert self.hood.wants_link(peer)
            assert self.contacts.wants(peer)
            self.hood.set_link(peer, Link.DIALLING)
        for peer in sorted(self.hood.known):
            assert not (self.hood.wants_link(peer) and self.contacts.wants(peer)), "somebody was left out"

    @invariant()
    def sets_are_true(self) -> None:
        hood, known = self.hood, self.hood.known
        assert len(known) <= hoods.MAX_KNOWN
        linked = {peer for peer, record in known.items() if record.connected}
        live = {peer for peer, record in known.items() if record.live}
        assert hood.links == {peer: known[peer] for peer in linked}
        assert set(hood.live()) == live
        assert len(hood.live()) == len(live)
        assert set(hood.silent()) == linked - live
        assert hood.engaged() == sum(record.link in (Link.UP, Link.DIALLING) for record in known.values())
        ages = [known[peer].age for peer in live]
        assert hood._ages == sorted(ages)
        assert hood.median_age() == (median(ages) if ages else None)
        assert hood.ahead_of(1.0) == [peer for peer in hood.live() if known[peer].age > 1.0]
        bases = [known[peer].base for peer in live]
        assert hood.bases == {base: bases.count(base) for base in set(bases)}
        with_own = [*bases, self.own]
        common = min(with_own, key=lambda base: (-with_own.count(base), base))
        assert self.wanted.common(self.own) == (common, len(set(with_own)) == 1)

    @invariant()
    def nothing_kept_is_stale(self) -> None:
        contacts, known = self.contacts, self.hood.known
        live = [peer for peer, record in known.items() if record.live]
        view = {"me": "sensor"} | {peer: known[peer].role for peer in live}
        assert contacts.recipients(self.epoch) == contacts.topology.neighbours("me", view, self.epoch)
        assert contacts.chance() == contacts.topology.chance(len(live))

    @invariant()
    def a_peer_that_is_only_heard_of_has_nothing_to_remember(self) -> None:
        for record in self.hood.known.values():
            if not isinstance(record, Neighbour):
                plain = Neighbour(record)
                for field in ("link", "greeted", "spoke", "configured", "incarnation", "seq", "age", "base", "role"):
                    assert getattr(record, field) == getattr(plain, field)
                for name in ("addresses", "reachable", "connected", "live", "seems_alive"):
                    assert getattr(record, name) == getattr(plain, name)


Tables.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestTables = Tables.TestCase
