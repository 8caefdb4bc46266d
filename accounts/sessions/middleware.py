from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.sessions.backends.base import UpdateError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.http import urlencode
from django.utils.translation import get_language_from_request, override

from accounts.keys import is_session_key
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.store import SessionStore
from accounts.sessions.watched import WatchedSession

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 1


class SessionMiddleware:
    """Hangs the browser's session on the request, and keeps what changed.

    Django's own is not used, for what it does when things go wrong: it deletes the
    cookie of whoever comes while the store is down, and it chooses for us when a
    browser sends two cookies of one name. Here an outage is a 503 that leaves the
    cookie alone; only a new key sets the cookie and only an ended session deletes it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        brought = read_cookie(request)
        request.session = WatchedSession(brought, request)
        response = self.get_response(request)
        try:
            return self.keep(request, response, brought)
        except SessionStoreError:
            return unavailable(request)
        except UpdateError:
            return self.signed_out_meanwhile(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        """Asks the store before any view runs, so that no view meets its outage."""
        try:
            _session(request).open()
        except SessionStoreError:
            return unavailable(request)
        return None

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        if isinstance(exception, SessionStoreError):
            return unavailable(request)
        if isinstance(exception, UpdateError):
            return self.signed_out_meanwhile(request)
        return None

    def keep(
        self, request: HttpRequest, response: HttpResponseBase, brought: str | None
    ) -> HttpResponseBase:
        """Writes what changed, and the cookie if the key is another one."""
        session = _session(request)
        if session.accessed:
            patch_vary_headers(response, ("Cookie",))
            patch_cache_control(response, no_store=True, private=True)
        # A request that failed leaves the session as it was (Django does the same).
        if session.modified and not session.is_empty() and response.status_code < 500:
            session.save()
        if session.session_key and session.session_key != brought:
            set_cookie(response, session.session_key)
        elif brought and session.was_ended and session.is_empty():
            delete_cookie(response)
        return response

    def signed_out_meanwhile(self, request: HttpRequest) -> HttpResponseBase:
        """The session was ended while this request ran: its changes are lost.

        The cookie stays. It opens nothing any more, and by it the sign-in page can
        tell the person how their session ended.
        """
        log.info("session_ended_meanwhile path=%s", request.path)
        target = urlencode({REDIRECT_FIELD_NAME: request.get_full_path()})
        query = f"?{target}" if request.method == "GET" else ""
        return HttpResponseRedirect(resolve_url(settings.LOGIN_URL) + query)


def _session(request: HttpRequest) -> SessionStore:
    return cast("SessionStore", request.session)


def read_cookie(request: HttpRequest) -> str | None:
    """The session key that the browser sent, if it is exactly one of proper form."""
    value = sole_cookie(request, settings.SESSION_COOKIE_NAME)
    return value if is_session_key(value) else None


def sole_cookie(request: HttpRequest, name: str) -> str | None:
    """The value of this cookie, if the browser sent exactly one of the name.

    Two cookies of our name mean that somebody else (a sibling host) planted one; to
    choose between them would be to let them choose (security.md, COO-04).
    """
    found = [
        value.strip(" \t")
        for given, _, value in (
            part.partition("=")
            for part in request.META.get("HTTP_COOKIE", "").split(";")
        )
        if given.strip(" \t") == name
    ]
    return found[0] if len(found) == 1 else None


def set_cookie(response: HttpResponseBase, session_key: str) -> None:
    """No Max-Age: the browser forgets it when it closes, the server much earlier."""
    response.set_cookie(
        settings.SESSION_COOKIE_NAME,
        session_key,
        path="/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def delete_cookie(response: HttpResponseBase) -> None:
    response.set_cookie(
        settings.SESSION_COOKIE_NAME,
        "",
        max_age=0,
        path="/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def unavailable(
    request: HttpRequest, template: str = "store_down.html"
) -> HttpResponse:
    """503: we cannot tell, so nobody is let in and nobody is signed out.

    The cause is in the log already, written where it was met.
    """
    reference = getattr(request, "request_id", "")
    # Before the language of the request is set; ours may be another visitor's.
    with override(get_language_from_request(request)):
        page = render_to_string(template, {"reference": reference})
    response = HttpResponse(page, status=503)
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    response["Cache-Control"] = "no-store"
    return response
