from __future__ import annotations

from typing import cast

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.csrf import csrf_failure

from accounts.browser import client_address
from accounts.request import StaffRequest
from accounts.sessions import noteworthy

MAX_PATH = 200


def refuse(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """CSRF_FAILURE_VIEW: Django's own answer, and an entry if somebody is signed in.

    Django's reason stays out of it: it repeats what the other site has sent.
    """
    session = cast("StaffRequest", request).session
    if session.record is not None and session.record.person:
        noteworthy.refused_call(
            session,
            session.record.id,
            "csrf",
            client_address(request),
            method=request.method,
            path=request.path_info[:MAX_PATH],
        )
    return csrf_failure(request, reason=reason)
