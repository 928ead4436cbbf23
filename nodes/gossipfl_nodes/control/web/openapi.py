"""The documentation of the API for programs: OpenAPI 3.1, made from the operations' own types and docstrings."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.responses import Response

from gossipfl_nodes.control.web import problems
from gossipfl_nodes.control.web.operations import Operation

JSON = "application/json"
REFERENCE = "#/components/schemas/{name}"


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The document about `operations`."""
    operations = list(operations)
    types = [kind for operation in operations for kind in _described(operation)]
    schemas, components = msgspec.json.schema_components([*types, problems.Problem], ref_template=REFERENCE)
    schema_of = dict(zip(map(repr, [*types, problems.Problem]), schemas, strict=True))
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _told(operation, schema_of, components)
    for name in [kind.__name__ for operation in operations if (kind := operation.types.get("query"))]:
        components.pop(name, None)  # told of parameter by parameter
    return {
        "openapi": "3.1.0",
        "info": {"title": "gossipfl", "version": version("gossipfl"), "summary": "The control API of one daemon."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "Over TCP only."}},
        },
        "security": [{}, {"token": []}],
    }


def _described(operation: Operation) -> list[Any]:
    """The types that have a schema: of query, body and answer."""
    return [kind for name, kind in operation.types.items() if name != "request" and kind is not Response]


def _told(operation: Operation, schema_of: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    types = operation.types
    about, _, more = operation.about.partition("\n")
    told: dict[str, Any] = {
        "operationId": f"{operation.method.lower()}-{operation.path.removeprefix('/v1/')}",
        "summary": about,
        "parameters": [],
    }
    if more.strip():
        told["description"] = more.strip()
    if "query" in types:
        properties = components[types["query"].__name__]["properties"]
        told["parameters"] += [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]
    if "request" in types:
        last = {"type": "string", "description": "The id of the last event that the client has seen."}
        told["parameters"].append({"name": "Last-Event-ID", "in": "header", "schema": last})
    if "body" in types:
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": schema_of[repr(types["body"])]}}}
    answer = types["return"]
    contents = (
        {JSON: {"schema": schema_of[repr(answer)]}}
        if answer is not Response
        else {name: {} for name in operation.media}
    )
    problem = {problems.MEDIA_TYPE: {"schema": schema_of[repr(problems.Problem)]}}
    told["responses"] = {
        "200": {"description": about, "content": contents},
        "default": {"description": "Why it can't be had.", "content": problem},
    }
    return told
