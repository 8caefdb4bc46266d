"""Door 1: the gate in front of `/api/proxy/`, as Django middleware.

Django's own CSRF check runs too late for us (it stands before views, and the gate
answers earlier); the gate asks for its own proof instead.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from backoffice.proxy.errors import Refusal, Refused
from backoffice.proxy.gate import wants_websocket
from backoffice.proxy.judgement import judge, refuse
from backoffice.proxy.paths import is_proxy_path


class GateMiddleware:
    """Stands right behind the session. Leaves its decision as `request.gate_pass`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        target = raw_target(request)
        if not is_ours(request, target):
            return self.get_response(request)
        try:
            request.gate_pass = judge(request, target)  # type: ignore[attr-defined]
            if wants_websocket(request.META):
                raise Refused(Refusal.NO_UPGRADE)
        except Exception as error:
            # Every failure denies, also those that nobody thought of (ASVS 16.5.3).
            return refuse(request, error)
        return self.get_response(request)


def is_ours(request: HttpRequest, target: str) -> bool:
    """Whether this request, in any reading, is one for the gate to judge.

    Two questions, because two parties answer: the URL table goes by the path that
    the web server decoded, the upstream would go by the raw one.
    """
    return is_proxy_path(request.path_info) or is_proxy_path(target.partition("?")[0])


def raw_target(request: HttpRequest) -> str:
    """The request target as it stood on the wire, as far as the server tells.

    Gunicorn does (RAW_URI). Elsewhere it is quoted anew from the decoded path, where
    a `%2F` has already become a slash; a doubtful path stays doubtful that way.
    """
    raw: str | None = request.META.get("RAW_URI")
    if raw is not None:
        return raw
    query = request.META.get("QUERY_STRING", "")
    path = quote(request.path_info, safe="/!$&'()*+,;=:@~")
    return f"{path}?{query}" if query else path
