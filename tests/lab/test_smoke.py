"""A mesh of four is cut in two and healed, in half a minute; what else may happen is in `make lab`."""

from __future__ import annotations

from tests.lab.mesh import LOOK, mesh

INTERVAL = 0.5
SPELL = 6.0
"""Seconds: shorter than it takes to notice, so that links find out after the healing that they live."""
PATIENCE = 10.0
"""Seconds from the healing to a merge across: TCP sends again what was lost, ever later."""


def test_both_halves_of_a_mesh_go_on_and_find_each_other_again() -> None:
    with mesh(4, INTERVAL) as made:
        made.start()
        made.wait_until_whole()
        one, other = range(2), range(2, 4)
        made.net.split(one, other)
        history = made.watch(SPELL)
        assert max(history.gaps(one), history.gaps(other)) <= SPELL / 2 + LOOK, "each goes on"
        cut = history.since(1.0)
        assert not cut.first(one, other) | cut.first(other, one), "by itself"
        pids = [daemon.pid for daemon in made.daemons]
        made.net.heal()

        healed = made.watch(PATIENCE, lambda seen: seen.first(one, other) and seen.first(other, one))
        assert healed.first(one, other)
        assert healed.first(other, one)
        assert all(daemon.status() and daemon.pid == pid for daemon, pid in zip(made.daemons, pids, strict=True))
