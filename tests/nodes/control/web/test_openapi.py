"""The API's own documentation, and what schemathesis makes of it: requests that fit, and others, to a real daemon."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import negative_data_rejection, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gossipfl_nodes.commands import client
from tests.nodes.support import Daemon, wait_for

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    negative_data_rejection,
]  # fmt: skip
ENDS = "/v1/stop"
NEVER_ENDS = "/v1/events"
EXAMPLES = 15
SLOW = {"/v1/export": 3}
"""Paths that are asked less often: each export has a process of its own."""


class Api(NamedTuple):
    """A daemon that answers over TCP, and what it says of its API."""

    daemon: Daemon
    schema: schemathesis.schemas.BaseSchema
    headers: dict[str, str]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """It learns alone, so that all that is asked of it is its own."""
    with tempfile.TemporaryDirectory(prefix="gfl-", dir="/tmp") as folder:
        daemon = Daemon(Path(folder), control__listen="127.0.0.1:0", network__mdns="false", gossip__interval="0.5")
        try:
            daemon.start()
            (line,) = wait_for(lambda: daemon.events("control API"), "it listens")
            daemon.wait_until(lambda status: status["metrics"], "it learns")
            headers = {"Authorization": f"Bearer {daemon.home.token.read_text().strip()}"}
            schema = schemathesis.openapi.from_url(f"{line['address']}/v1/openapi.json", headers=headers)
            yield Api(daemon, schema, headers)
            daemon.wait_until(lambda status: status["id"] == daemon.id, "it still answers")
            assert "a request met a bug" not in daemon.log()
            assert "Traceback" not in daemon.log()
        finally:
            daemon.kill()


def operations(api: Api) -> dict[str, Any]:
    """By method and path."""
    results: list[Any] = list(api.schema.get_all_operations())
    found = [result.ok() for result in results]
    return {f"{operation.method.upper()} {operation.path}": operation for operation in found}


def test_every_path_is_told_of_with_a_summary_and_its_types(api: Api) -> None:
    document = client.get(api.daemon.home, "/v1/openapi.json")
    assert document["openapi"].startswith("3.1")
    names = {operation["operationId"] for methods in document["paths"].values() for operation in methods.values()}
    assert names >= {
        "get-status",
        "get-peers",
        "get-model",
        "put-topology",
        "post-predict",
        "post-publish",
        "get-events",
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"].endswith(".")
            assert "200" in operation["responses"]
    text = json.dumps(document)
    for reference in document["components"]["schemas"]:
        assert f"#/components/schemas/{reference}" in text, f"{reference} is used"


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_whatever_is_asked_has_an_answer_that_the_document_promises(api: Api, mode: GenerationMode) -> None:
    with requests.Session() as session:
        session.headers.update(api.headers)
        for operation in operations(api).values():
            if operation.path in (ENDS, NEVER_ENDS):
                continue
            if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
                continue  # nothing could be wrong

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=SLOW.get(operation.path, EXAMPLES), deadline=None, database=None, derandomize=True,
                phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            def check(case: Any) -> None:
                assume(not str((case.query or {}).get("follow", "")).lower().startswith(("t", "1", "y")))
                case.call_and_validate(session=session, checks=CHECKS, timeout=20)

            check()


def test_what_there_is_none_of_is_a_problem_too(api: Api) -> None:
    base = api.schema.get_base_url().removesuffix("/")
    for method, path, status in (
        ("GET", "/v1/nothing", 404), ("GET", "/index.html", 404), ("DELETE", "/v1/status", 405),
        ("PATCH", "/v1/topology", 405), ("POST", "/", 405),
        ("TRACE", "/v1/peers", 405), ("OPTIONS", "/v1/predict", 405),
    ):  # fmt: skip
        answer = requests.request(method, base + path, headers=api.headers, timeout=20)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
    assert requests.head(f"{base}/v1/events", headers=api.headers, timeout=20).status_code == 200
