"""Door 2 at nginx with Lua: `POST /gate/checks`, the calls of a round.

While nginx waits for one answer it gathers the calls that come, and asks about them
together. Each is put before the gate by itself, as at `/gate/check`. What they share,
a request to the web server and a question to the store, is most of what a check costs.

The body is JSON: a `ticket`, which the answer brings back, and the `calls`, each an
object with its variables (RFC 3875; `wsgi.url_scheme` as in PEP 3333), in which one
sign is one byte. The answer has `verdicts` in the same order: for a call that may pass
the name of its `route` and the values of `$staff_session` and `$staff_token` in
deploy/nginx; else the `word` of the refusal and the methods to `allow`.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest

from accounts.sessions.middleware import read_cookie
from accounts.sessions.together import Together
from backoffice.proxy.errors import Refusal, Refused
from backoffice.proxy.forward_auth import variables_of
from backoffice.proxy.gate import GatePass
from backoffice.proxy.headers import SESSION_ID
from backoffice.proxy.identity import TOKEN_HEADER, fields_for
from backoffice.proxy.judgement import judge, refusal_for
from backoffice.request_id import name_request

log = logging.getLogger("backoffice.gate")


def checks(request: HttpRequest) -> HttpResponse:
    """What the gate says to each call of the round; 400 to a body of another form."""
    try:
        ticket, calls = _calls_in(request)
    except (ValueError, TypeError, KeyError):
        log.warning("checks_not_understood")
        return HttpResponseBadRequest()
    answer = {"ticket": ticket, "verdicts": [_verdict(call) for call in calls]}
    content = json.dumps(answer).encode()
    # With a length: a door need not know of chunks.
    length = {"Content-Length": str(len(content))}
    return HttpResponse(content, "application/json", headers=length)


def _calls_in(request: HttpRequest) -> tuple[str, list[WSGIRequest]]:
    ours = {
        name: value
        for name, value in request.META.items()
        if not name.startswith("HTTP_")
    }
    body, together = json.loads(request.body.decode("latin-1")), Together()
    return body["ticket"], [
        _described({**ours, **call, **variables_of(call["RAW_URI"])}, together)
        for call in body["calls"]
    ]


def _described(environ: dict[str, Any], together: Together) -> WSGIRequest:
    described = WSGIRequest(environ)
    described.session = together.session(read_cookie(described))
    return described


def _verdict(call: WSGIRequest) -> dict[str, str]:
    try:
        if "HTTP_HOST" not in call.META:
            raise Refused(Refusal.BAD_HOST)
        return _passed(judge(call, call.META["RAW_URI"]))
    except Exception as error:
        # Every failure denies, also those that nobody thought of (ASVS 16.5.3).
        return _refused(call, error)


def _passed(granted: GatePass) -> dict[str, str]:
    fields = dict(fields_for(granted))
    token = fields.pop(TOKEN_HEADER, "")
    session = fields.pop(SESSION_ID, "")
    lines = [session, *(f"{name}: {value}" for name, value in fields.items())]
    return {
        "route": granted.route.name,
        "session": "\r\n".join(lines),
        "token": token,
    }


def _refused(call: WSGIRequest, error: Exception) -> dict[str, str]:
    if not isinstance(error, Refused) or error.refusal is not Refusal.NO_SESSION:
        # For its line in the log; who has no session is the many, and gets none.
        name_request(call)
    refused = refusal_for(call, error)
    return {"word": refused.refusal.word, "allow": refused.headers.get("Allow", "")}
