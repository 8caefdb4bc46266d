"""Door 1: the gate and the proxy behind it, as the first of Django's middleware.

What lies under `/api/proxy/` is answered here, whatever becomes of it. Neither views
nor later middleware see it, so the fields that those set for every answer of this site
are set here as well. Django's own CSRF check stands before views and is not reached;
the gate asks for its own proof instead.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.sessions.middleware import read_cookie
from accounts.sessions.watched import WatchedSession
from backoffice.proxy.errors import Refusal, Refused
from backoffice.proxy.gate import GatePass, wants_websocket
from backoffice.proxy.headers import CONTENT_POLICY, REQUEST_ID
from backoffice.proxy.judgement import judge, refuse
from backoffice.proxy.passage import pass_on
from backoffice.proxy.paths import PREFIX, is_proxy_path
from backoffice.request_id import name_request

_PLAIN_PREFIX = f"{PREFIX}/"


class GateMiddleware:
    """Answers what is the gate's, and hands on the rest untouched."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        target = raw_target(request)
        if not is_ours(request, target):
            return self.get_response(request)
        request_id = name_request(request)
        try:
            self.open_session(request)
            granted = judge(request, target)
            if wants_websocket(request.META):
                raise Refused(Refusal.NO_UPGRADE)
            response = self.admitted(request, granted)
        except Exception as error:
            # Every failure denies, also those that nobody thought of (ASVS 16.5.3).
            response = refuse(request, error)
        # Past Django's check of each value: these are our own.
        store = response.headers._store
        for name, value in site_fields(settings.SERVED_OVER_HTTPS):
            store.setdefault(name.lower(), (name, value))
        store[REQUEST_ID.lower()] = (REQUEST_ID, request_id)
        return response

    def open_session(self, request: HttpRequest) -> None:
        """Gives the request the session its cookie names. Nothing is asked yet."""
        request.session = WatchedSession(read_cookie(request), request)

    def admitted(self, request: HttpRequest, granted: GatePass) -> HttpResponseBase:
        """The answer to a call that passed."""
        return pass_on(request, granted)


@lru_cache(maxsize=2)
def site_fields(is_https: bool) -> tuple[tuple[str, str], ...]:
    """What Django's middleware adds to every answer of this site (ASVS 3.4)."""
    fields = {
        "Content-Security-Policy": CONTENT_POLICY,
        "Cross-Origin-Opener-Policy": settings.SECURE_CROSS_ORIGIN_OPENER_POLICY,
        "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": settings.X_FRAME_OPTIONS,
    }
    if is_https:
        fields["Strict-Transport-Security"] = (
            f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains"
        )
    return tuple(fields.items())


def is_ours(request: HttpRequest, target: str) -> bool:
    """Whether this request, in any reading, is one for the gate to judge.

    Two questions, because two parties answer: the URL table goes by the path that
    the web server decoded, the upstream would go by the raw one.
    """
    if request.path_info.startswith(_PLAIN_PREFIX):
        return True
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
