"""What may be asked of a fleet, and what it says if it can't be done."""

import re
from typing import Any

import numpy as np
import pytest

from gossipfl.errors import LocalError
from gossipfl_sims.fleet.setting import LEFT_OUT, Churn, Fleet, Partition
from gossipfl_sims.fleet.world import FleetWorld
from gossipfl_topology import arrays


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nodes": 0}, "fleet: nodes = 0: allowed is 1 to 2147483647"),
        ({"floats": 0}, "fleet: floats = 0: allowed is 1 or more"),
        ({"k": 33}, "fleet: k = 33: allowed is 1 to 32"),
        ({"contacts": 7}, "fleet: contacts = 7: allowed is None, or an even number from k to 256"),
        ({"contacts": 2}, "fleet: contacts = 2: allowed is None, or an even number from k to 256"),
        ({"graph": arrays("ring", 9)}, "fleet: graph.n = 9: allowed is as many as nodes, 10"),
        ({"interval": 0.0}, "fleet: interval = 0.0: allowed is seconds > 0"),
        ({"slots": 1}, "fleet: slots = 1: allowed is 2 to 1000"),
        ({"latency": 21}, "fleet: latency = 21: allowed is 1 to 20 slots"),
        ({"loss": 1.5}, "fleet: loss = 1.5: allowed is 0 to 1"),
        ({"steps": 0}, "fleet: steps = 0: allowed is 1 or more"),
    ],
)
def test_a_value_out_of_its_range_is_named_with_what_is_allowed(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(LocalError, match="^" + re.escape(message) + "$"):
        Fleet(**{"nodes": 10, **wrong})


def test_faults_out_of_their_range_are_named_too() -> None:
    with pytest.raises(LocalError, match=r"churn.absent = 0: allowed is seconds > 0"):
        Churn(present=1, absent=0)
    with pytest.raises(LocalError, match=r"partition.end = 1: allowed is more than the start, 2"):
        Partition(start=2, end=1)
    with pytest.raises(LocalError, match=r"partition.groups = 1: allowed is 2 or more"):
        Partition(start=0, end=1, groups=1)


def test_more_memory_than_allowed_is_refused_before_it_is_taken_and_the_message_says_what_would_fit() -> None:
    with pytest.raises(LocalError, match=r"10,000,000 nodes with 2,410 floats each need 10\d\.\d\d GB") as refused:
        FleetWorld(Fleet(nodes=10_000_000, floats=2410))
    fitting = int(re.findall(r"about ([\d,]+) nodes", str(refused.value))[0].replace(",", ""))
    Fleet(nodes=fitting, floats=2410).check_memory(2410)
    with pytest.raises(LocalError, match="memory = 4 GB"):
        Fleet(nodes=round(1.01 * fitting), floats=2410).check_memory(2410)


@pytest.mark.parametrize("floats", [1, 8, 650])
def test_the_memory_reckoned_with_is_what_the_arrays_take(floats: int) -> None:
    fleet = Fleet(nodes=20_000, floats=floats)
    world = FleetWorld(fleet)
    world.run(2.0)
    arrays_ = [*world.crowd[1:], world._publish_at, world._recipients.table]  # type: ignore[attr-defined]
    arrays_ += [array for flight in world._flights for array in flight]
    arrays_ += world._spare
    taken = sum(array.nbytes for array in arrays_)
    assert 0.6 * fleet.bytes_of_state(floats) < taken < fleet.bytes_of_state(floats)


def test_vectors_and_views_that_do_not_fit_are_refused() -> None:
    fleet = Fleet(nodes=10, floats=2)
    with pytest.raises(LocalError, match=r"start of shape \(10, 3\); allowed are finite vectors of shape \(10, 2\)"):
        FleetWorld(fleet, start=np.zeros((10, 3), np.float32))
    with pytest.raises(LocalError, match="finite"):
        FleetWorld(fleet, start=np.full((10, 2), np.inf, np.float32))
    with pytest.raises(LocalError, match=r"views of shape \(9, 4\); allowed is \(10, c\)"):
        FleetWorld(fleet, views=np.full((9, 4), -1, np.int32))
    with pytest.raises(LocalError, match="allowed are 0 to 9"):
        FleetWorld(fleet, views=np.full((10, 4), 10, np.int32))


@pytest.mark.parametrize("nodes", [1, 2, 3, 33, 34])
def test_every_size_runs(nodes: int) -> None:
    world = FleetWorld(Fleet(nodes=nodes, k=2))
    world.run(3.0)
    assert world.sample().sent == pytest.approx(min(2, nodes - 1) * 3, rel=0.4)


def test_what_is_left_out_is_told() -> None:
    for word in ("codec", "handshake", "joining", "bandwidth", "views", "served average", "minibatches"):
        assert word in LEFT_OUT
