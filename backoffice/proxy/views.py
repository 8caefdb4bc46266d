from __future__ import annotations

import logging

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from backoffice.proxy.errors import Refusal, answer

log = logging.getLogger("backoffice.proxy")


# Refusing needs neither proof nor session.
@csrf_exempt
@login_not_required
def proxy(request: HttpRequest, rest: str) -> HttpResponseBase:
    """Gives the addresses under `/api/proxy/` their name, and refuses every call.

    The gate answers them all. What comes here came past it, so it does not pass.
    """
    log.error("call_without_gate")
    return answer(Refusal.NO_SESSION)
