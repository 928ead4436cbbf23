"""Fifty strangers, some of each kind, flood a daemon that learns with honest peers: the benchmark, but short."""

from __future__ import annotations

import pytest

from bench.daemon.flood import measure
from tests.nodes.network.flood.strangers import KINDS


@pytest.mark.soak
def test_fifty_strangers_cost_the_honest_a_fifth_of_their_rate_at_most_and_the_daemon_little_memory() -> None:
    found = measure(list(KINDS), rounds=2, seconds=6.0)
    assert found.done["connected"] > 100
    assert found.done["handshakes"] > 5
    assert found.done["links"] > 5
    assert found.kept >= 0.8
    assert found.grown <= 64 << 20
