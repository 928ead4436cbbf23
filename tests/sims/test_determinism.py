"""One seed, one trace: in one process, in another, and whatever the order of Python's hashes (invariant I13)."""

import os
import subprocess
import sys

import pytest

from gossipfl.protocol.settings import Settings
from gossipfl_sims.engine.network import Link
from tests.sims.worlds import World, accuracies, blobs, boot

LINK = Link(loss=0.1, duplication=0.1, corruption=0.05)


def trace(seed: int, topology: str = "k-out") -> str:
    """Six nodes under every fault for ten seconds; one crashes and comes back."""
    world = World(blobs(6), Settings(interval=0.5, topology=topology), link=LINK, seed=seed)
    boot(world)
    world.run(5.0)
    world.crash("n003")
    world.run(7.0)
    world.start("n003")
    world.run(10.0)
    return world.trace_hash + " " + " ".join(map(repr, accuracies(world)))


@pytest.mark.parametrize("topology", ["k-out", "ring", "hierarchical"])
def test_the_same_seed_gives_the_same_trace(topology: str) -> None:
    assert trace(3, topology) == trace(3, topology)


def test_another_seed_gives_another_trace() -> None:
    assert len({trace(seed).split()[0] for seed in range(4)}) == 4


def test_another_process_with_other_hashes_gives_the_same_trace() -> None:
    program = "from tests.sims.test_determinism import trace; print(trace(3))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ
            | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for hash_seed in ("1", "4242")
    }
    assert printed == {trace(3)}


def test_the_trace_is_of_what_happened_so_far() -> None:
    world = World(blobs(3), Settings(interval=0.5), seed=1)
    boot(world)
    world.run(4.0)
    before = world.trace_hash
    assert world.trace_hash == before
    world.run(5.0)
    assert world.trace_hash != before


def test_running_in_pieces_is_running_at_once() -> None:
    worlds = [World(blobs(4), Settings(interval=0.5), link=LINK, seed=2) for _ in range(2)]
    for world in worlds:
        boot(world)
    worlds[0].run(8.0)
    for eighth in range(1, 33):
        worlds[1].run(eighth / 4)
    assert worlds[0].trace_hash == worlds[1].trace_hash
