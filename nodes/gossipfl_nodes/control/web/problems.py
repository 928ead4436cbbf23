"""Problems: what a client is told that asked for something it can't have, as JSON (RFC 9457, 2023).

A client is never told more than what was wrong with its own request, or that the fault is the daemon's. Knows no
framework: the predicting process has none.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec

MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True):
    """The body of an answer that is not what was asked for."""

    title: str
    status: int
    detail: str
    """For people: what was wrong, and what is allowed."""


def problem(status: int, detail: str) -> bytes:
    """The body that tells of it."""
    return msgspec.json.encode(Problem(HTTPStatus(status).phrase, status, detail))


class Refusal(Exception):  # noqa: N818 - as Problem, but raised
    """Raised where a request can't be answered."""

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.headers = status, headers
