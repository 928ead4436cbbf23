"""Metrics: what a daemon says of itself, in the text format that Prometheus reads.

A status in, text out; knows neither the peer nor HTTP. No label tells peers apart: their ids cost their makers nothing,
and every value of a label is a series that somebody stores for years. Names follow Prometheus' own advice: base units
in the name, _total where a number only grows (https://prometheus.io/docs/practices/naming/, 2024).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

GAUGES = {
    "uptime": ("gossipfl_uptime_seconds", "Time since the daemon started."),
    "joined_after": ("gossipfl_joined_after_seconds", "Time from the start until the first local training."),
    "age": ("gossipfl_model_age_steps", "Age of the model in local steps, averaged by merging."),
    "loss": ("gossipfl_training_loss", "Loss of the last local training."),
    "peers": ("gossipfl_live_peers", "Peers that there is a live link to."),
    "mesh_size": ("gossipfl_mesh_peers", "Estimated devices in the mesh."),
    "missing": ("gossipfl_missing_peers", "Peers that were there and can't be reached."),
    "partition": ("gossipfl_partitioned", "1 while the mesh looks split."),
    "saved_at": ("gossipfl_last_save_timestamp_seconds", "When the state was saved last, since 1970."),
    "longest_gap": ("gossipfl_longest_merge_gap_seconds", "Longest time without a merge, since the first one."),
}
"""What a status may say, by the name it has there. What is null there is left out."""

COUNTERS = {
    "steps": ("gossipfl_training_steps", "Steps of local training."),
    "publishes": ("gossipfl_publishes", "Versions of the model that went out."),
    "merges": ("gossipfl_merges", "Deltas of peers that were merged."),
    "rebases": ("gossipfl_rebases", "Times that the model was taken up from peers."),
    "refused": ("gossipfl_refused_messages", "Messages of peers that were refused."),
    "failures": ("gossipfl_training_failures", "Local trainings that failed."),
    "bytes_sent": ("gossipfl_sent_bytes", "Bytes sent to all peers."),
    "bytes_received": ("gossipfl_received_bytes", "Bytes received from all peers."),
}
"""As GAUGES; their text carries _total."""


def exposition(status: dict[str, Any]) -> bytes:
    """The metrics of one daemon, from what it answers to /v1/status."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(status))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, status: dict[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """All that the status holds a number for."""
        status = self._status
        for key, (name, text) in GAUGES.items():
            if status[key] is not None:
                yield GaugeMetricFamily(name, text, value=float(status[key]))
        for key, (name, text) in COUNTERS.items():
            yield CounterMetricFamily(name, text, value=float(status[key]))
        yield GaugeMetricFamily(
            "gossipfl_learning",
            "1 when the device learns, 0 while it joins.",
            value=float(status["state"] == "learning"),
        )
        yield GaugeMetricFamily("gossipfl_paused", "1 while local training rests.", value=float(status["paused"]))
        yield from _evaluation(status["metrics"])
        if (budget := status["budget"]) is not None:
            yield GaugeMetricFamily(
                "gossipfl_budget_left_bytes", "Bytes of frames that may go out now.", value=budget["left"]
            )
            yield CounterMetricFamily(
                "gossipfl_budget_spent_bytes", "Bytes of frames that the budget counted.", value=budget["spent"]
            )


def _evaluation(metrics: dict[str, float | None]) -> Iterator[Metric]:
    """The served model's metrics; this device's own task chose their names, so they are few."""
    family = GaugeMetricFamily("gossipfl_evaluation", "The served model on held-out data.", labels=["metric"])
    for name, value in metrics.items():
        if value is not None:
            family.add_metric([name], value)
    if family.samples:
        yield family
