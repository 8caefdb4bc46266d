"""One name for one request, in the answer, in the logs and at the upstream."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

HEADER = "X-Request-Id"
_VARIABLE = "HTTP_X_REQUEST_ID"
_ACCEPTED = re.compile(r"[A-Za-z0-9-]{8,64}")


class RequestIdMiddleware:
    """Takes the id that a proxy in front gave, or makes one.

    A client may choose its own: the id is a label for people who read logs and is
    never used to decide anything, so only its form is checked.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = name_request(request)
        response = self.get_response(request)
        response[HEADER] = request_id
        return response


def name_request(request: HttpRequest) -> str:
    """Gives the request its name, for the log lines that are written meanwhile too."""
    given = request.META.get(_VARIABLE, "")
    request_id: str = (
        given if _ACCEPTED.fullmatch(given) else f"{random.getrandbits(64):016x}"
    )
    request.request_id = request_id  # type: ignore[attr-defined]
    # Not unbound at the end: Django logs an error answer after the last middleware.
    # Nothing else is ever bound, so there is nothing of an earlier request to clear.
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return request_id
