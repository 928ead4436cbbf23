"""The API: which path does what. All of it stands here."""

from __future__ import annotations

import msgspec
from starlette.applications import Starlette
from starlette.responses import Response

from gossipfl_nodes.control.admitting import Admissions
from gossipfl_nodes.control.exporting import MEDIA_TYPE, Exports
from gossipfl_nodes.control.orders import Orders
from gossipfl_nodes.control.predicting import Predictions
from gossipfl_nodes.control.view import View
from gossipfl_nodes.control.watch import Watch
from gossipfl_nodes.control.web import streams
from gossipfl_nodes.control.web.openapi import document
from gossipfl_nodes.control.web.operations import Operation, application
from gossipfl_nodes.observing.diary import Diary
from gossipfl_nodes.observing.logs import Logs
from gossipfl_nodes.page import files as page
from gossipfl_nodes.serving.predictor import ROOM

READABLE = ("/v1/status", "/v1/peers", "/v1/mesh", "/v1/history", "/v1/metrics", "/v1/events")
"""What tells how a device is, and nothing that it learnt: what `control.readable` is about."""


def operations(
    view: View, orders: Orders, admissions: Admissions, predictions: Predictions, exports: Exports, diary: Diary,
    logs: Logs,
) -> list[Operation]:  # fmt: skip
    """All that the API can do."""
    watch = Watch(diary, logs)
    return [
        Operation("GET", "/v1/status", view.status),
        Operation("GET", "/v1/peers", view.peers),
        Operation("GET", "/v1/mesh", view.mesh),
        Operation("GET", "/v1/history", view.history),
        Operation("GET", "/v1/model", view.model),
        Operation("GET", "/v1/metrics", view.metrics, media=("text/plain",)),
        Operation("GET", "/v1/events", watch.events, media=(streams.MEDIA_TYPE,)),
        Operation("GET", "/v1/logs", watch.logs, media=("application/json", streams.MEDIA_TYPE)),
        Operation("GET", "/v1/topology", view.topology),
        Operation("PUT", "/v1/topology", orders.rewire),
        Operation("POST", "/v1/invite", admissions.invite),
        Operation("POST", "/v1/allow", admissions.allow),
        Operation("POST", "/v1/ban", admissions.ban),
        Operation("POST", "/v1/predict", predictions.predict, room=ROOM),
        Operation("POST", "/v1/export", exports.export, media=(MEDIA_TYPE,)),
        Operation("GET", "/v1/log-level", watch.level),
        Operation("PUT", "/v1/log-level", orders.show),
        Operation("POST", "/v1/pause", orders.pause),
        Operation("POST", "/v1/resume", orders.resume),
        Operation("POST", "/v1/publish", orders.publish),
        Operation("POST", "/v1/ping", orders.ping),
        Operation("POST", "/v1/stop", orders.stop),
    ]


def api(
    view: View, orders: Orders, admissions: Admissions, predictions: Predictions, exports: Exports, diary: Diary,
    logs: Logs,
) -> Starlette:  # fmt: skip
    """The ASGI application, which also has its own documentation, and the page."""
    told = operations(view, orders, admissions, predictions, exports, diary, logs)

    async def documentation() -> Response:
        """What you are reading."""
        return Response(msgspec.json.encode(document([*told, own])), media_type="application/json")

    own = Operation("GET", "/v1/openapi.json", documentation, media=("application/json",))
    return application([*told, own, *page.operations()])
