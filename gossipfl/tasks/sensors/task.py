"""The factory of the task `sensors`: from a node and its options to what it learns."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Literal

from msgspec import Meta

from gossipfl.errors import LocalError
from gossipfl.tasks.sensors.feed import Feed
from gossipfl.tasks.sensors.forecaster import Forecaster
from gossipfl.tasks.sensors.networks import Network, Residual
from gossipfl.tasks.sensors.readings import Readings
from gossipfl.tasks.task import Node

STEPS = 10
"""Few, since a sensor's readings of a day lead astray soon."""


def sensors(
    node: Node,
    *,
    sensor: str = "",
    train_hours: Annotated[float, Meta(ge=0)] = 0.0,
    test: Annotated[float, Meta(ge=0, le=0.9)] = 0.2,
    minutes: Annotated[float, Meta(gt=0, le=1440)] = 5.0,
    model: Literal["mlp", "gru"] = "mlp",
) -> Forecaster:
    """The task of one node of a city.

    Args:
        node: `data` is a table, time by sensor. Node `index` of `count` has one sensor of it, evenly spaced if there
            are more sensors than nodes; 0 of 1 has all of them.
        sensor: the id of this node's sensor, instead.
        train_hours: so many hours at the beginning train; 0: all but what tests.
        test: the part of the rows, at their end, that tests.
        minutes: between two rows.
        model: an MLP in numpy, or a GRU in torch.

    Raises:
        LocalError: no data, no such sensor, more nodes than sensors, or too few readings.
    """
    if node.data is None:
        raise LocalError("task sensors: no data; name a table with --data FILE.csv or task.data in the configuration")
    path = node.data

    def chosen(ids: Sequence[str]) -> Sequence[int]:
        if sensor:
            if sensor in ids:
                return [ids.index(sensor)]
            near = get_close_matches(sensor, ids, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(ids[:8])}, …"
            raise LocalError(f"{path}: no sensor {sensor!r}{hint}")
        if node.count == 1:
            return range(len(ids))
        if node.count > len(ids):
            raise LocalError(f"{path}: has {len(ids)} sensors, too few for {node.count} nodes")
        return [node.index * len(ids) // node.count]

    feed = Feed(Readings(path, chosen, minutes), train_hours=train_hours, test=test, minutes=minutes)
    return Forecaster(_network(model, feed, node.seed), feed, minutes=minutes, steps=STEPS)


def _network(model: str, feed: Feed, seed: int) -> Network:
    if model == "mlp":
        return Residual(feed, seed)
    try:
        from gossipfl.tasks.sensors.gru import gru  # noqa: PLC0415 - torch is loaded for it only
    except ImportError:
        raise LocalError(
            "task sensors: model gru needs torch: pip install 'gossipfl[torch]', or model = \"mlp\""
        ) from None
    return gru(feed, seed)
