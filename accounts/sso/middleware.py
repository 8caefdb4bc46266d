from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

from django.db import DatabaseError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from social_core.exceptions import AuthSessionError, SocialAuthBaseException

from accounts import audit
from accounts.browser import Browser
from accounts.request import StaffRequest
from accounts.sso.errors import SignInRefused, kind_and_status

log = logging.getLogger(__name__)


class SignInMiddleware:
    """Every way in which a sign-in can fail ends on a page of our own words.

    The provider's words stay out of the page, the log and the audit: whoever can make
    a provider answer can write them (security.md, OID-26).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        if not isinstance(exception, SocialAuthBaseException):
            return None
        if isinstance(exception, AuthSessionError) and request.user.is_authenticated:
            # The second of two tabs: the first has signed this browser in already.
            return redirect("home")
        kind, status = kind_and_status(exception)
        reference = getattr(request, "request_id", "")
        log.log(
            logging.ERROR if status == 500 else logging.WARNING,
            "sign_in_refused kind=%s code=%s stage=%s claim=%s",
            kind,
            exception.code,
            exception.stage,
            exception.claim,
        )
        _record(request, exception, kind, reference)
        if isinstance(exception, SignInRefused):
            _forget_begun(cast("StaffRequest", request))
        context = {
            "kind": kind,
            "reference": reference,
            "retry_url": reverse("sign-in"),
        }
        return render(request, "accounts/refused.html", context, status=status)


def _forget_begun(request: StaffRequest) -> None:
    """Leaves nothing of a sign-in that was refused; who is signed in here stays so."""
    record = request.session.record
    if record is not None and record.person is None:
        request.session.flush()


def _record(
    request: HttpRequest, error: SocialAuthBaseException, kind: str, reference: str
) -> None:
    try:
        audit.record(
            audit.Event.SIGN_IN_REFUSED,
            subject=getattr(error, "subject", ""),
            address=Browser.of(request).address or None,
            reason=kind,
            details={"code": error.code, "stage": error.stage, "request": reference},
        )
    except DatabaseError:
        log.exception("audit_not_written event=%s", audit.Event.SIGN_IN_REFUSED)
