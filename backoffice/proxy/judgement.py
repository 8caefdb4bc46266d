"""The gate's decision about a Django request, and what a refusal looks like."""

from __future__ import annotations

import logging
from functools import lru_cache

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.browser import client_address
from accounts.sessions import noteworthy
from accounts.sessions.errors import SessionStoreError
from backoffice.proxy.errors import AmbiguousPath, Refusal, Refused
from backoffice.proxy.gate import Call, GatePass, decide
from backoffice.proxy.paths import read_target

log = logging.getLogger("backoffice.gate")

RETRY_AFTER_SECONDS = 1
_CONTINUE = "100-continue"

# Pages left open overnight ask without a session again and again.
_LEVELS = {
    Refusal.NO_SESSION: logging.DEBUG,
    Refusal.NO_ROUTE: logging.INFO,
    Refusal.NO_METHOD: logging.INFO,
}
# Somebody tried what is not theirs, or another site tried with their browser.
_NOTEWORTHY = frozenset(
    {Refusal.NOT_ALLOWED, Refusal.NO_PROOF, Refusal.CROSS_SITE, Refusal.NO_SCRIPT}
)
_BEFORE_THE_SESSION = frozenset({Refusal.NO_EXPECT, Refusal.BAD_HOST, Refusal.BAD_PATH})
MAX_PATH = 200
# A name of the DNS (RFC 1035, 3.1) with a port.
_MAX_HOST = 260


def judge(request: HttpRequest, target: str) -> GatePass:
    """The pass for this request, `target` being its raw target.

    Raises what `gate.decide` raises, and Refused for a host that is not ours, or for an
    expectation that nobody here meets (RFC 9110, 10.1.1).
    """
    if request.META.get("HTTP_EXPECT", _CONTINUE).lower() != _CONTINUE:
        # gunicorn has refused most of them, but not two lines.
        raise Refused(Refusal.NO_EXPECT)
    try:
        # Asked for here because nobody else has asked yet: Django checks the host
        # when it is first wanted, and a refusal needs no host.
        host = _host_of(request)
    except DisallowedHost:
        raise Refused(Refusal.BAD_HOST) from None
    request.gate_host = host  # type: ignore[attr-defined]
    # The view is chosen by the decoded path. It must be the one that is judged.
    if read_target(target, host).decoded() != request.path_info.rstrip("/"):
        raise AmbiguousPath("server")
    scheme = str(request.scheme)
    call = Call(str(request.method), target, scheme, host, request.META)
    return decide(call, request.session)  # type: ignore[arg-type]


def _host_of(request: HttpRequest) -> str:
    """As `request.get_host()`, with the hosts that were accepted remembered."""
    claimed = request._get_raw_host()  # type: ignore[attr-defined]
    allowed = tuple(settings.ALLOWED_HOSTS)
    if len(claimed) > _MAX_HOST:
        # A pattern such as .example.com takes names of any length.
        return _accepted.__wrapped__(claimed, allowed, settings.DEBUG)
    return _accepted(claimed, allowed, settings.DEBUG)


@lru_cache(maxsize=256)
def _accepted(claimed: str, allowed: tuple[str, ...], is_debug: bool) -> str:
    # What Django goes by: a change of either is another question.
    request = HttpRequest()
    request.META["HTTP_HOST"] = claimed
    return request.get_host()


def refuse(request: HttpRequest, error: Exception) -> HttpResponseBase:
    """The answer for whatever ended the decision, and its line in the log."""
    return refusal_for(request, error).answer()


def refusal_for(request: HttpRequest, error: Exception) -> Refused:
    """What whatever ended the decision is to the caller; writes its line in the log."""
    if isinstance(error, Refused):
        session_id = _session_of(request, error)
        if session_id and error.refusal in _NOTEWORTHY:
            _enter(request, error, session_id)
        level = _LEVELS.get(error.refusal, logging.WARNING)
        if log.isEnabledFor(level):
            log.log(
                level,
                "gate_refused word=%s reason=%s method=%r path=%r session=%s",
                error.refusal.word,
                error.reason,
                request.method,
                request.path_info,
                session_id,
            )
        return error
    if isinstance(error, SessionStoreError):
        # Logged with its cause where it was met.
        return Refused(
            Refusal.STORE_DOWN, headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
        )
    log.error("gate_failed error=%s", type(error).__name__, exc_info=error)
    return Refused(Refusal.FAILED)


def _enter(request: HttpRequest, error: Refused, session_id: str) -> None:
    noteworthy.refused_call(
        request.session,
        session_id,
        error.refusal.word,
        client_address(request),
        because=error.reason,
        method=request.method,
        path=request.path_info[:MAX_PATH],
    )


def _session_of(request: HttpRequest, error: Refused) -> str | None:
    # Before the session was asked for, a log line is no reason to ask.
    asked = error.refusal not in _BEFORE_THE_SESSION
    session = getattr(request, "session", None)
    return getattr(session, "session_id", None) if asked else None
