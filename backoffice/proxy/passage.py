from __future__ import annotations

import logging
from functools import partial
from typing import cast

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from accounts.sessions.store import SessionStore
from backoffice.proxy.errors import Refusal, Refused
from backoffice.proxy.forward import forward
from backoffice.proxy.gate import GatePass
from backoffice.proxy.headers import hops_left
from backoffice.proxy.identity import fields_for

log = logging.getLogger("backoffice.proxy")


def pass_on(request: HttpRequest, granted: GatePass) -> HttpResponseBase:
    """The upstream's answer to what the gate let pass, or why there is none."""
    route = granted.route
    # The last hop answers for itself (RFC 9110, 7.6.2).
    hops = hops_left(request.META.get("HTTP_MAX_FORWARDS"))
    if request.method == "OPTIONS" and hops == 0:
        return HttpResponse(status=204, headers={"Allow": route.allow})
    session = cast(SessionStore, request.session)
    is_live = partial(session.exists, str(session.session_key))
    identity = fields_for(granted)
    person = granted.profile.issuer, granted.profile.sub
    try:
        return forward(
            request,
            route,
            granted.suffix,
            identity,
            granted.session_id,
            is_live,
            person,
        )
    except Refused as refused:
        if refused.refusal is not Refusal.BUSY:
            # That one is logged where the limit is, once for many.
            log.warning(
                "call_failed route=%s word=%s reason=%s",
                route.name,
                refused.refusal.word,
                refused.reason,
            )
        return refused.answer()
