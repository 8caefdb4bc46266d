"""What doors in nginx ask of the site, below `/gate/`.

The nginx script judges without us. It cannot read SQL, where the ledger of kills is,
and writes nothing to the store; for both it sends a call here, and no request waits
for more than a moment. Door 2 with Lua asks about its calls, and again for streams that
stay open. All this is for TRUSTED_PROXIES only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from accounts.browser import is_trusted_proxy
from accounts.sessions import ledger
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.fence import stands
from accounts.sessions.middleware import read_cookie
from accounts.sessions.store import SessionStore
from backoffice.proxy.check_rounds import checks
from backoffice.proxy.errors import NO_STORE, Refusal, answer

log = logging.getLogger("backoffice.gate")

FENCE, USE = "/gate/fence", "/gate/use"
CHECKS, LIVE = "/gate/checks", "/gate/live"


class ErrandsMiddleware:
    """Runs the errands; everything else of the site is passed on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        errand = _ERRANDS.get(request.path_info)
        if errand is None:
            return self.get_response(request)
        if not is_trusted_proxy(request.META.get("REMOTE_ADDR", "")):
            log.warning("errand_refused path=%s", request.path_info)
            return answer(Refusal.NO_DOOR)
        if request.method != "POST":
            return answer(Refusal.NO_METHOD, {"Allow": "POST"})
        try:
            response = errand(request)
        except SessionStoreError:
            # Logged with its cause where it was met.
            return answer(Refusal.STORE_DOWN)
        response["Cache-Control"] = NO_STORE
        return response


def fence(request: HttpRequest) -> HttpResponse:
    """Replays the ledger and tells the identity of the store that may be believed."""
    return JsonResponse({"identity": ledger.replay_for_a_door()})


def use(request: HttpRequest) -> HttpResponse:
    """Notes a use of the session in the cookie, as any page would; 401 if it is not.

    503 where the store did not take it: it may not have taken a kill either, and the
    door must ask for the fence before it believes the store again.
    """
    record = SessionStore(read_cookie(request)).record
    if record is None:
        return answer(Refusal.NO_SESSION)
    return HttpResponse(status=204) if stands() else answer(Refusal.STORE_DOWN)


def live(request: HttpRequest) -> HttpResponse:
    """Whether the session still lives; asking is no use of it."""
    key = read_cookie(request)
    is_live = key is not None and SessionStore().exists(key)
    return HttpResponse(status=204) if is_live else answer(Refusal.NO_SESSION)


_ERRANDS: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    FENCE: fence,
    USE: use,
    CHECKS: checks,
    LIVE: live,
}
