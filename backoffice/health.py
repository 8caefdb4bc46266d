from __future__ import annotations

from collections.abc import Callable

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from accounts.models import Revocation
from accounts.sessions.connections import is_answering
from backoffice.proxy.reload import routes_problems


class HealthMiddleware:
    """`/livez`: this process runs. `/readyz`: it can do its work.

    Answered before hosts, sessions and languages are looked at, so that a probe needs
    no Host header and never costs a session.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path == "/livez":
            return _answer({"process": True})
        if request.path == "/readyz":
            parts = {"store": is_answering(), "database": _database_answers()}
            return _answer(parts, routes=_routes())
        return self.get_response(request)


def _answer(parts: dict[str, bool], **more: str) -> HttpResponseBase:
    response = JsonResponse(
        {name: "ok" if works else "down" for name, works in parts.items()} | more,
        status=200 if all(parts.values()) else 503,
    )
    response["Cache-Control"] = "no-store"
    return response


def _routes() -> str:
    # An older table in force is worth a word, and no reason to take the site away.
    return "outdated" if routes_problems() else "ok"


def _database_answers() -> bool:
    try:
        # The ledger: without it a store that restarts cannot be believed.
        Revocation.objects.exists()
    except DatabaseError:
        return False
    return True
