"""Door 2 at nginx with Lua: `POST /gate/checks`, the calls of a round.

While nginx waits for one answer it gathers the calls that come, and asks about them
together. Each is put before the gate by itself, as at `/gate/check`. What they share,
a request to the web server and a question to the store, is most of what a check costs.

The body is a JSON array of the calls, each an object with their variables (RFC 3875;
`wsgi.url_scheme` as in PEP 3333), in which one sign is one byte. The answer is an array
in the same order: for a call that may pass the name of its `route` and the values of
`$staff_session` and `$staff_token` in deploy/nginx; else the `word` of the refusal and
the methods to `allow`.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse

from accounts.sessions.middleware import read_cookie
from accounts.sessions.together import Together
from backoffice.proxy.errors import Refused
from backoffice.proxy.forward_auth import variables_of
from backoffice.proxy.gate import GatePass
from backoffice.proxy.headers import SESSION_ID
from backoffice.proxy.identity import TOKEN_HEADER, fields_for
from backoffice.proxy.judgement import judge, refusal_for
from backoffice.request_id import name_request


def checks(request: HttpRequest) -> HttpResponse:
    """What the gate says to each call of the round.

    Raises ValueError, TypeError or KeyError for a body of another form.
    """
    ours = {
        name: value
        for name, value in request.META.items()
        if not name.startswith("HTTP_")
    }
    together = Together()
    calls = [
        _described({**ours, **call, **variables_of(call["RAW_URI"])}, together)
        for call in json.loads(request.body.decode("latin-1"))
    ]
    verdicts = json.dumps([_verdict(call) for call in calls]).encode()
    # With a length: a door need not know of chunks.
    length = {"Content-Length": str(len(verdicts))}
    return HttpResponse(verdicts, "application/json", headers=length)


def _described(environ: dict[str, Any], together: Together) -> WSGIRequest:
    described = WSGIRequest(environ)
    described.session = together.session(read_cookie(described))
    return described


def _verdict(call: WSGIRequest) -> dict[str, str]:
    try:
        return _passed(judge(call, call.META["RAW_URI"]))
    except Exception as error:
        # Every failure denies, also those that nobody thought of (ASVS 16.5.3).
        name_request(call)
        return _refused(refusal_for(call, error))


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


def _refused(refused: Refused) -> dict[str, str]:
    return {"word": refused.refusal.word, "allow": refused.headers.get("Allow", "")}
