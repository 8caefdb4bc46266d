from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import UpdateError
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from social_core.exceptions import (
    AuthInputError,
    AuthSessionError,
    SocialAuthBaseException,
)

from accounts import audit
from accounts.browser import Browser
from accounts.sessions import noteworthy
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.store import SessionStore
from accounts.sso import pending, step_up
from accounts.sso.errors import Kind, kind_and_status

log = logging.getLogger(__name__)

# An answer to no question that this browser still has open.
STRAY = (AuthSessionError, AuthInputError)
# Trying again would be answered at once with the same account, and refused again.
OF_THE_ACCOUNT = frozenset({Kind.NOT_STAFF, Kind.SUSPENDED})


class SignInMiddleware:
    """Every way in which a sign-in can fail ends on a page of our own words.

    The provider's words stay out of the page, the log and the audit: whoever can make
    a provider answer can write them (security.md, OID-26).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        pending.keep(request, response)
        return response

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        if isinstance(exception, DatabaseError) and _is_sign_in(request):
            log.error("sign_in_failed error=%s", type(exception).__name__)
            return _page(request, Kind.OTHER, 503)
        if not isinstance(exception, SocialAuthBaseException):
            return None
        if isinstance(exception, STRAY) and request.user.is_authenticated:
            # The second of two tabs, or a step back: this browser is signed in already.
            return redirect("home")
        kind, status = kind_and_status(exception)
        log.log(
            logging.ERROR if status == 500 else logging.WARNING,
            "sign_in_refused kind=%s code=%s stage=%s claim=%s",
            kind,
            exception.code,
            exception.stage,
            exception.claim,
        )
        if getattr(getattr(request, "backend", None), "is_answer", False):
            _record(request, exception, kind)
        _settle(request)
        if (back_to := step_up.leads_to(request)) and _is_live(request):
            return step_up.page(request, back_to, kind, status)
        return _page(request, kind, status)


def _is_sign_in(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and match.namespace == "social"


def _settle(request: HttpRequest) -> None:
    """Keeps the state used up, and no session for nobody.

    Saved now, while what becomes of that can still be mended: the refusal may have
    ended this very session, that of a person who is no longer staff. Then there is
    nothing to save, and the page must be shown all the same.
    """
    session = cast("SessionStore", request.session)
    try:
        if session.record is None or not session.record.person:
            session.flush()
        elif session.modified and not session.is_empty():
            session.save()
            session.modified = False
    except UpdateError:
        session.flush()
    except SessionStoreError:
        # Left to the session middleware, which has the page for it.
        return


def _is_live(request: HttpRequest) -> bool:
    record = cast("SessionStore", request.session).record
    return record is not None and bool(record.person)


def _page(request: HttpRequest, kind: Kind, status: int) -> HttpResponse:
    context = {
        "kind": kind,
        "reference": _reference(request),
        "retry_url": reverse("sign-in"),
        "another_url": _another_url(request) if kind in OF_THE_ACCOUNT else "",
        # Whoever they are: finding that out may be what just failed.
        "user": AnonymousUser(),
    }
    response = render(request, "accounts/refused.html", context, status=status)
    add_never_cache_headers(response)
    return response


def _another_url(request: HttpRequest) -> str:
    """Where a sign-in begins at the provider that this one came through."""
    backend = getattr(request, "backend", None)
    return reverse("social:begin", args=[backend.name]) if backend else ""


def _reference(request: HttpRequest) -> str:
    return str(getattr(request, "request_id", ""))


def _record(request: HttpRequest, error: SocialAuthBaseException, kind: Kind) -> None:
    """Enters the refusal of a sign-in that began here.

    Only such a one: the entries are kept for good, and anybody could fill the table by
    sending nonsense to the address where answers arrive. Nor would it be much harder to
    start sign-ins and cancel them, so one that the provider has vouched for nobody in
    is entered once in ten minutes for each reason. The log has every single one.
    """
    is_step_up = step_up.leads_to(request)
    event = audit.Event.STEP_UP_REFUSED if is_step_up else audit.Event.SIGN_IN_REFUSED
    is_somebody = is_step_up or getattr(error.backend, "id_token", None)
    if not is_somebody and not noteworthy.is_first("sign-in", f"{kind} {error.code}"):
        return
    try:
        audit.record(
            event,
            subject=getattr(error, "subject", ""),
            address=Browser.of(request).as_remembered().address or None,
            reason=kind,
            details={
                "code": error.code,
                "stage": error.stage,
                "provider": getattr(error.backend, "name", ""),
                "request": _reference(request),
            },
        )
    except DatabaseError:
        log.exception("audit_not_written event=%s", event)
