"""A mesh of devices that have one of the daemon's profiles learns, and keeps every rule, at that profile's pace."""

from __future__ import annotations

import pytest

from gossipfl_nodes.daemon.config import PROFILES
from gossipfl_nodes.daemon.config import load as load_config
from gossipfl_sims.run import Run
from gossipfl_sims.scenario.files import load


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_a_mesh_of_such_devices_learns(profile: str) -> None:
    loaded = load_config(PROFILES[profile], {}, {})
    gossip = loaded.config.gossip
    origin = str(PROFILES[profile])
    changes = [
        f"{path}={getattr(gossip, path.partition('.')[2])}"
        for path, source in loaded.origins.items()
        if source == origin and path.startswith("gossip.")
    ]
    assert changes
    changes += [f"faulty={50 * gossip.interval}", f"healed={10 * gossip.interval}", "nodes=8"]
    result = Run(load("calm", changes), 0, name=profile).finish()
    assert not result.violations
    assert result.mean_accuracy is not None
    assert result.worst_accuracy is not None
    assert (result.mean_accuracy > 0.92, result.worst_accuracy > 0.9) == (True, True)
