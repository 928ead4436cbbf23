"""A device that only serves: it never trains nor has training data, and predicts what the others have learnt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossipfl.tasks.digits import HELD_OUT, _images
from gossipfl_nodes.commands import client
from tests.nodes.support import Daemon


def test_it_serves_what_the_others_learn(home: Path, make_daemon: Callable[..., Daemon]) -> None:
    x, y = _images()
    held_out: dict[str, Any] = {"x_test": x[:HELD_OUT], "y_test": y[:HELD_OUT]}
    np.savez(home / "all.npz", **held_out, x0=x[HELD_OUT:], y0=y[HELD_OUT:])
    np.savez(home / "held-out.npz", **held_out)
    keys = {"network__mdns": "false", "gossip__interval": "0.2", "task__name": "npz"}
    trainer = make_daemon(task__data=str(home / "all.npz"), **keys)
    trainer.start()
    server = make_daemon(
        task__data=str(home / "held-out.npz"), task__trains="false", network__bootstrap=trainer.address(), **keys
    )
    server.start()
    server.wait_until(lambda status: status["metrics"].get("accuracy", 0) > 0.9, "it has what the other has learnt")
    answer = client.post(server.home, "/v1/predict", {"inputs": x[:HELD_OUT].tolist()}, timeout=60)
    assert (np.array(answer["outputs"]).argmax(axis=1) == y[:HELD_OUT]).mean() > 0.9
    with pytest.raises(client.Refused, match=r"task\.trains = false"):
        client.post(server.home, "/v1/resume")
    status = server.status()
    assert (status["steps"], status["paused"], status["failures"]) == (0, True, 0)
    assert status["merges"] > 0
    assert [daemon.stop() for daemon in (server, trainer)] == [0, 0]
