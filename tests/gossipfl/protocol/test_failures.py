"""Failures: who is asked, when somebody is suspected, how that is refuted, and who is dead in the end."""

from __future__ import annotations

import pytest

from gossipfl.membership.rumours import Rumour, Standing
from gossipfl.protocol import events as ev
from gossipfl.protocol.parts import failures
from gossipfl.protocol.parts.failures import HELPERS, MAX_JUMP, PROBE
from gossipfl.protocol.peer import Peer
from gossipfl.wire import messages as msg
from tests.gossipfl.builders import Room, a_learning_peer, a_peer, hello, meet, only, state, told

COUNT = msg.Count(2**53, 0, 0.0, 1.0)
"""Of somebody who knows nobody."""
FRIENDS = ("a", "b", "c", "d", "e")


def learner(*friends: str) -> Peer:
    peer = a_learning_peer()
    meet(peer, *friends, now=4.0)
    return peer


def step(peer: Peer, now: float = 5.0) -> list[ev.Effect]:
    """The next step of a probe."""
    return peer.handle(ev.TimerFired(PROBE), now)


def says(peer: Peer, sender: str, message: msg.Message, now: float = 5.0) -> list[ev.Effect]:
    return peer.handle(ev.Received(sender, msg.encode(message)), now)


def pinged(effects: list[ev.Effect]) -> list[str]:
    return [to for to, _ in told(msg.Ping, effects)]


def ack(ping: msg.Ping, about: str, *rumours: Rumour) -> msg.Ack:
    return msg.Ack(ping.number, about, rumours, COUNT)


def suspect(peer: str, incarnation: int = 1, refutations: int = 0) -> Rumour:
    return Rumour(peer, Standing.SUSPECT, incarnation, refutations)


def dead(peer: str, incarnation: int = 1, refutations: int = 0) -> Rumour:
    return Rumour(peer, Standing.DEAD, incarnation, refutations)


def waits(effects: list[ev.Effect]) -> float:
    (timer,) = [timer for timer in only(ev.SetTimer, effects) if timer.timer == PROBE]
    return timer.delay


def until_suspected(peer: Peer, victim: str, now: float = 5.0) -> list[ev.Effect]:
    """Everybody but `victim` answers at once; what the suspicion leads to."""
    for _ in range(100):
        effects = step(peer, now)
        for to, ping in told(msg.Ping, effects):
            if to != victim:
                says(peer, to, ack(ping, to), now)
        if only(ev.Suspected, effects):
            return effects
        now += 0.3
    raise AssertionError("never")


# --- probes


def test_everybody_is_asked_once_before_anybody_is_asked_again() -> None:
    peer = learner(*FRIENDS)
    for _ in range(4):
        asked = []
        for _ in FRIENDS:
            ((to, ping),) = told(msg.Ping, step(peer))
            asked.append(to)
            says(peer, to, ack(ping, to))
            assert not told(msg.PingFor, step(peer)), "it has answered"
        assert sorted(asked) == sorted(FRIENDS)


def test_a_period_is_as_long_whatever_comes_of_the_probe() -> None:
    peer = learner("a", "b")
    assert waits(step(peer)) + waits(step(peer)) + waits(step(peer)) == pytest.approx(1.0), "no answer"
    for _ in range(8):
        effects = step(peer)
        ((to, ping),) = told(msg.Ping, effects)
        says(peer, to, ack(ping, to))
        length = waits(effects) + waits(step(peer))
    assert length == pytest.approx(1.0), "an answer, and health is back"
    alone = a_learning_peer()
    assert waits(step(alone)) == 1.0


@pytest.mark.parametrize(("interval", "period"), [(0.05, 1.0), (1.0, 1.0), (60.0, 60.0), (86_400.0, 300.0)])
def test_who_learns_seldom_probes_seldom(interval: float, period: float) -> None:
    assert waits(step(a_learning_peer(interval=interval))) == period


def test_a_ping_is_answered_with_its_number() -> None:
    peer = learner("a")
    ((to, answer),) = told(msg.Ack, says(peer, "a", msg.Ping(77, (), COUNT)))
    assert (to, answer.number, answer.about) == ("a", 77, "me")


def test_any_frame_is_a_sign_of_life() -> None:
    peer = learner("a", "b", "c")
    ((to, _),) = told(msg.Ping, step(peer))
    says(peer, to, msg.NeedBase(bytes(16), bytes(16)))
    assert not told(msg.PingFor, step(peer))


def test_an_answer_of_somebody_else_or_to_another_question_is_none() -> None:
    peer = learner("a", "b", "c")
    ((to, ping),) = told(msg.Ping, step(peer))
    other = next(name for name in "abc" if name != to)
    says(peer, other, msg.Ack(ping.number + 1, to, (), COUNT))
    says(peer, other, msg.Ack(ping.number, other, (), COUNT))
    assert told(msg.PingFor, step(peer))


def test_without_an_answer_others_are_asked_to_ask_and_what_they_hear_counts() -> None:
    peer = learner(*FRIENDS)
    ((to, ping),) = told(msg.Ping, step(peer))
    asked = told(msg.PingFor, step(peer))
    assert len(asked) == len({helper for helper, _ in asked} - {to}) == HELPERS
    assert {(ask.number, ask.peer, ask.addresses) for _, ask in asked} == {(ping.number, to, ("there",))}
    says(peer, asked[0][0], ack(ping, to))
    assert not only(ev.Suspected, step(peer))


def test_who_is_asked_to_ask_does_and_passes_the_answer_on() -> None:
    helper = learner("asker", "target")
    effects = says(helper, "asker", msg.PingFor(5, "target", ()))
    ((to, ping),) = told(msg.Ping, effects)
    assert to == "target"
    effects = says(helper, "target", ack(ping, "target"))
    assert [(to, answer.number, answer.about) for to, answer in told(msg.Ack, effects)] == [("asker", 5, "target")]
    assert not told(msg.Ack, says(helper, "target", ack(ping, "target"))), "once"


def test_who_is_asked_about_somebody_unknown_dials_it() -> None:
    helper = learner("asker")
    effects = says(helper, "asker", msg.PingFor(5, "target", ("at target",)))
    assert only(ev.Dial, effects) == [ev.Dial("target", ("at target",))]
    effects = meet(helper, "target", now=5.1)
    assert [(to, answer.about) for to, answer in told(msg.Ack, effects)] == [("asker", "target")]


def test_who_is_asked_about_itself_lives() -> None:
    peer = learner("asker")
    ((_, answer),) = told(msg.Ack, says(peer, "asker", msg.PingFor(5, "me", ())))
    assert (answer.number, answer.about) == (5, "me")


# --- suspicion


def test_without_an_answer_from_anybody_a_peer_is_suspected_told_so_and_spoken_of() -> None:
    peer = learner(*FRIENDS)
    effects = until_suspected(peer, "c")
    assert only(ev.Suspected, effects) == [ev.Suspected("c")]
    ((to, ping),) = told(msg.Ping, effects)
    assert to == "c"
    assert suspect("c") in ping.rumours
    ((_, answer),) = told(msg.Ack, says(peer, "a", msg.Ping(1, (), COUNT)))
    assert answer.rumours == (suspect("c"),)
    assert not only(ev.Died, effects)


def test_a_suspect_that_gives_no_sign_of_life_is_dead_after_the_timeout_and_not_before() -> None:
    peer = learner(*FRIENDS)
    until_suspected(peer, "c", now=5.0)
    assert not [effect for effect in steps(peer, 20.0) if isinstance(effect, ev.Died)]
    effects = steps(peer, 70.0)
    assert only(ev.Died, effects) == [ev.Died("c")]
    (cut,) = only(ev.Disconnect, effects)
    assert cut.peer == "c"
    peer.handle(ev.Disconnected("c"), 70.0)
    assert "c" not in peer.neighbourhood.live()
    assert not peer.neighbourhood.known["c"].seems_alive, "its place in a graph is free"


def steps(peer: Peer, now: float, many: int = 3) -> list[ev.Effect]:
    """Some steps, in which everybody who is asked but `c` answers."""
    effects: list[ev.Effect] = []
    for _ in range(many):
        made = step(peer, now)
        for to, ping in told(msg.Ping, made):
            if to != "c":
                says(peer, to, ack(ping, to), now)
        effects += made
    return effects


def test_others_who_suspect_it_too_make_the_timeout_shorter() -> None:
    peer = learner(*FRIENDS)
    until_suspected(peer, "c", now=5.0)
    for other in ("a", "b"):
        says(peer, other, msg.Ping(1, (suspect("c"),), COUNT), 6.0)
    assert only(ev.Died, steps(peer, 20.0)) == [ev.Died("c")]


def test_a_frame_of_the_suspect_ends_the_suspicion() -> None:
    peer = learner(*FRIENDS)
    until_suspected(peer, "c")
    says(peer, "c", msg.Ping(1, (), COUNT), 6.0)
    assert not only(ev.Died, steps(peer, 1000.0))


def test_a_refutation_that_others_pass_on_ends_it_as_well() -> None:
    peer = learner(*FRIENDS)
    until_suspected(peer, "c")
    says(peer, "a", msg.Ping(1, (Rumour("c", Standing.ALIVE, 1, 1),), COUNT), 6.0)
    assert not only(ev.Died, steps(peer, 1000.0))


def test_who_hears_that_it_is_suspected_refutes_it_with_a_higher_number() -> None:
    peer = learner("a", "b")
    ((_, answer),) = told(msg.Ack, says(peer, "a", msg.Ping(1, (suspect("me"),), COUNT)))
    assert answer.rumours == (Rumour("me", Standing.ALIVE, 1, 1),)
    ((_, answer),) = told(msg.Ack, says(peer, "b", msg.Ping(1, (suspect("me"),), COUNT)))
    assert answer.rumours[0].refutations == 1, "that is outdated"
    ((_, answer),) = told(msg.Ack, says(peer, "b", msg.Ping(1, (dead("me", refutations=1),), COUNT)))
    assert answer.rumours[0].refutations == 2


@pytest.mark.parametrize("lie", [suspect("me", incarnation=2), suspect("me", refutations=MAX_JUMP + 1)])
def test_nobody_can_use_up_the_numbers_of_another_one(lie: Rumour) -> None:
    peer = learner("a")
    ((_, answer),) = told(msg.Ack, says(peer, "a", msg.Ping(1, (lie,), COUNT)))
    assert not answer.rumours
    ((_, answer),) = told(msg.Ack, says(peer, "a", msg.Ping(2, (suspect("me"),), COUNT)))
    assert answer.rumours == (Rumour("me", Standing.ALIVE, 1, 1),)


@pytest.mark.parametrize("rumour", [suspect("c"), dead("c")])
def test_nobody_is_cut_off_because_others_say_so(rumour: Rumour) -> None:
    """Who has a link that works tells the suspect, so that it can refute."""
    peer = learner(*FRIENDS)
    effects = says(peer, "a", msg.Ping(1, (rumour,), COUNT))
    assert "c" in pinged(effects)
    assert rumour in next(ping for to, ping in told(msg.Ping, effects) if to == "c").rumours
    for turn in range(50):
        effects += says(peer, "a", msg.Ping(1, (rumour,), COUNT), 6.0 + turn)
    assert not only(ev.Disconnect, effects)
    assert not only(ev.Died, effects)
    assert peer.neighbourhood.known["c"].live


def test_who_was_only_heard_of_and_is_dead_is_forgotten() -> None:
    peer = learner("a")
    says(peer, "a", msg.Peers((msg.KnownPeer("ghost", ("x",)), msg.KnownPeer("other", ("y",))), asks=False))
    peer.handle(ev.DialFailed("other"), 5.0)
    says(peer, "a", msg.Ping(1, (dead("ghost", 0), dead("other", 0)), COUNT))
    assert "ghost" not in peer.neighbourhood.known or peer.neighbourhood.known["ghost"].link.name == "DIALLING"
    assert not peer.neighbourhood.known["other"].seems_alive


def test_rumours_about_strangers_go_no_further() -> None:
    peer = learner("a", "b")
    says(peer, "a", msg.Ping(1, tuple(dead(f"stranger{i}") for i in range(8)), COUNT))
    ((_, answer),) = told(msg.Ack, says(peer, "b", msg.Ping(1, (), COUNT)))
    assert not answer.rumours


def test_outdated_rumours_change_nothing() -> None:
    peer = learner("b")
    meet(peer, "a", now=4.0, incarnation=5)
    before = state(peer)
    effects = says(peer, "b", msg.Ping(1, (suspect("a", incarnation=4), dead("a", 4, 900)), COUNT))
    assert pinged(effects) == []
    assert state(peer) == before


def test_a_link_that_ends_ends_the_suspicion() -> None:
    peer = learner(*FRIENDS)
    until_suspected(peer, "c")
    peer.handle(ev.Disconnected("c"), 6.0)
    meet(peer, "c", now=7.0)
    assert not only(ev.Died, steps(peer, 1000.0))


def test_a_node_that_nobody_answers_takes_more_time() -> None:
    peer = learner(*FRIENDS)
    lengths = [sum(waits(step(peer)) for _ in range(3)) for _ in range(12)]
    assert lengths[0] == pytest.approx(1.0)
    assert lengths[-1] == pytest.approx(9.0), "Lifeguard's bound"


def test_a_goodbye_is_passed_on() -> None:
    peer = learner("a", "b")
    says(peer, "a", msg.Goodbye(leaves=True))
    ((_, answer),) = told(msg.Ack, says(peer, "b", msg.Ping(1, (), COUNT)))
    assert answer.rumours == (Rumour("a", Standing.LEFT, 1, 0),)


def test_what_is_asked_for_others_is_bounded() -> None:
    peer = learner("a")
    for i in range(3 * failures.MAX_RELAYED):
        says(peer, "a", msg.PingFor(i, f"target{i}", ()))
    assert len(peer._failures._relayed) == failures.MAX_RELAYED


def test_a_node_that_restarts_begins_its_count_anew() -> None:
    peer = learner("a", "b")
    says(peer, "a", msg.Ping(1, (Rumour("b", Standing.ALIVE, 1, 7),), COUNT))
    assert peer.neighbourhood.known["b"].refutations == 7
    peer.handle(ev.Received("b", hello(peer, incarnation=2)), 6.0)
    assert peer.neighbourhood.known["b"].refutations == 0


# --- the census


def test_two_count_two_and_who_is_alone_counts_itself() -> None:
    assert a_learning_peer().census.size == 1
    room = Room(*(a_peer(me=name, seed=i, addresses=(name,), bootstrap={"n0": ("x",)}) for i, name in enumerate(NAMES)))
    for name in NAMES:
        room.happen(name, ev.Started())
    for turn in range(200):
        for name in NAMES:
            for _ in range(2):
                room.happen(name, ev.TimerFired(PROBE), 4.0 + turn)
    assert [peer.census.size for peer in room.peers.values()] == pytest.approx([len(NAMES)] * len(NAMES), rel=0.02)


NAMES = ("n0", "n1", "n2", "n3", "n4")


def test_a_liar_can_not_make_the_count_anything_but_a_number() -> None:
    peer = learner("a")
    for beat, (flow, estimate) in enumerate([(1e6, -1e6), (-1e6, 1e6), (0.0, 0.0), (-1e6, -1e6)] * 50):
        says(peer, "a", msg.Ping(1, (), msg.Count(0, beat, flow, estimate)))
        step(peer)
        assert peer.census.size >= 2
        assert peer.census.size < float("inf")
