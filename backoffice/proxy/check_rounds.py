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

from django.core.exceptions import RequestDataTooBig
from django.core.handlers.wsgi import WSGIRequest
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    UnreadablePostError,
)

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

_NEEDED = frozenset({"REQUEST_METHOD", "RAW_URI"})
_VARIABLES = _NEEDED | {"wsgi.url_scheme"}


def checks(request: HttpRequest) -> HttpResponse:
    """What the gate says to each call of the round; 400 to a body of another form."""
    try:
        ticket, calls = _calls_in(request)
    except (ValueError, RecursionError, RequestDataTooBig, UnreadablePostError):
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
    ticket, calls = _parse_round(request.body)
    together = Together()
    return ticket, [
        _described({**ours, **call, **variables_of(call["RAW_URI"])}, together)
        for call in calls
    ]


def _parse_round(body: bytes) -> tuple[str, list[dict[str, str]]]:
    """The ticket and the variables of each call.

    Raises ValueError for a body of another form, RecursionError for one nested deeper
    than Python reads. What is read here becomes a request, and all that looks at a
    request expects a string of bytes in each variable.
    """
    parsed = json.loads(body.decode("latin-1"), object_pairs_hook=_without_duplicates)
    if not isinstance(parsed, dict) or parsed.keys() != {"ticket", "calls"}:
        raise ValueError("not a round")
    ticket, calls = parsed["ticket"], parsed["calls"]
    if not isinstance(ticket, str) or not isinstance(calls, list):
        raise ValueError("not a round")
    for variables in calls:
        _check_variables(variables)
    return ticket, calls


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two values one reader takes the first and the next one the last.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _check_variables(variables: object) -> None:
    if not isinstance(variables, dict) or not variables.keys() >= _NEEDED:
        raise ValueError("not a call")
    for name, value in variables.items():
        # Nothing else: wsgi.input or REMOTE_ADDR are facts about our own request.
        if name not in _VARIABLES and not name.startswith("HTTP_"):
            raise ValueError("an unknown variable")
        if not isinstance(value, str):
            raise ValueError("not a string")
        # Raises UnicodeEncodeError, a ValueError, for a sign that is no byte.
        value.encode("latin-1")


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
