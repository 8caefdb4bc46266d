from __future__ import annotations

from collections.abc import Callable

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from accounts.models import Revocation
from accounts.sessions import live
from backoffice.proxy.errors import RouteTableError
from backoffice.proxy.reload import current_routes, routes_problems


class HealthMiddleware:
    """`/livez`: this process runs. `/readyz`: pages work, or the gate (`?for=gate`).

    Answered before hosts, sessions and languages are looked at, so that a probe needs
    no Host header and never costs a session. The gate works without SQL: a balancer
    that went by `/readyz` would take working gates away, all of them at once.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path == "/livez":
            return _answer({"process": "ok"})
        if request.path == "/readyz":
            return _readiness(request.GET.get("for", "pages"))
        return self.get_response(request)


def _readiness(purpose: str) -> HttpResponseBase:
    if purpose not in {"pages", "gate"}:
        # A misspelt probe must not quietly ask for something else.
        return JsonResponse({"for": "must be gate or pages"}, status=400)
    parts = {"store": _word(live.is_believed()), "routes": _routes()}
    if purpose == "pages":
        parts["database"] = _word(_database_answers())
    return _answer(parts)


def _answer(parts: dict[str, str]) -> HttpResponseBase:
    status = 503 if "down" in parts.values() else 200
    response = JsonResponse(parts, status=status)
    response["Cache-Control"] = "no-store"
    return response


def _word(works: bool) -> str:
    return "ok" if works else "down"


def _routes() -> str:
    try:
        current_routes()
    except RouteTableError:
        # This process has never had one, and each call here is a 500.
        return "down"
    # An older table in force is worth a word, and no reason to take the site away.
    return "outdated" if routes_problems() else "ok"


def _database_answers() -> bool:
    try:
        # The ledger: without it a store that restarts cannot be believed.
        Revocation.objects.exists()
    except DatabaseError:
        return False
    return True
