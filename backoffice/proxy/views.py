from __future__ import annotations

import logging
from functools import partial
from typing import cast

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from accounts.sessions.store import SessionStore
from backoffice.proxy.errors import Refusal, Refused, answer
from backoffice.proxy.forward import forward
from backoffice.proxy.gate import GatePass
from backoffice.proxy.identity import fields_for

log = logging.getLogger("backoffice.proxy")


# The gate has asked for its own proof and its own session, on the same request.
@csrf_exempt
@login_not_required
def proxy(request: HttpRequest, rest: str) -> HttpResponseBase:
    """Forwards what the gate let pass; without its pass everything is refused.

    `rest` is what the URL table made of the path, decoded. It is not used: the pass
    holds the path that was judged.
    """
    granted = getattr(request, "gate_pass", None)
    if not isinstance(granted, GatePass):
        log.error("proxy_without_pass")
        return answer(Refusal.NO_SESSION)
    route = granted.route
    # The last hop answers for itself (RFC 9110, 7.6.2).
    if request.method == "OPTIONS" and request.headers.get("Max-Forwards") == "0":
        return HttpResponse(status=204, headers={"Allow": route.allow})
    session = cast(SessionStore, request.session)
    is_live = partial(session.exists, str(session.session_key))
    try:
        return forward(
            request,
            route,
            granted.suffix,
            fields_for(granted),
            granted.session_id,
            is_live,
        )
    except Refused as refused:
        log.warning(
            "call_failed route=%s word=%s reason=%s",
            route.name,
            refused.refusal.word,
            refused.reason,
        )
        return refused.answer()
