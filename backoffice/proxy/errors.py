"""
ProxyError
 ├── RouteTableError     the route table cannot be used: every problem at once
 ├── BadAnswer           what the upstream said is no answer, or only half of one
 ├── DoorError           another door cannot be told to decide as this one does
 ├── UpstreamCutShort    the answer broke off after it had begun
 └── Refused             this call goes no further; carries the answer
      └── AmbiguousPath  two readers could take the path for two different ones
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import cache

from django.http import HttpResponse, JsonResponse

GATE_HEADER = "X-Gate"
NO_STORE = "no-store"


class Refusal(Enum):
    """Each answer we give in our own name: status, word in X-Gate, sentence.

    The sentences go to strangers. They never say what lies behind the gate.
    """

    BAD_HOST = 400, "bad-host", "This host name is not served here."
    # Said at nginx; elsewhere the web server refuses such a head in its own words.
    BAD_HEAD = 400, "bad-head", "The head can be read in more than one way."
    BAD_PATH = 400, "bad-path", "The path can be read in more than one way."
    BODY_CUT_SHORT = 400, "body-cut-short", "The body ended before its length."
    NO_SESSION = 401, "no-session", ""
    NOT_ALLOWED = 403, "not-allowed", "You may not use this service."
    NO_PROOF = 403, "no-proof", "This call must come from a page of this site."
    CROSS_SITE = 403, "cross-site", "Another site may not make this call."
    NO_DOOR = 403, "no-door", "This address may not ask the gate."
    NO_SCRIPT = 403, "no-script", "Answers given here are data, never code."
    NO_ROUTE = 404, "no-route", "There is no such service."
    NO_METHOD = 405, "no-method", "This service does not take this method."
    BODY_TOO_LARGE = 413, "body-too-large", "The body is larger than allowed."
    # At door 1 its web server says so for most of them, in its own words.
    NO_EXPECT = 417, "no-expect", "Nothing but 100-continue may be expected."
    HEADER_TOO_LARGE = 431, "header-too-large", "The header is larger than allowed."
    FAILED = 500, "failed", "The call could not be decided."
    NO_UPGRADE = 501, "no-upgrade", "WebSockets do not pass through here."
    UPSTREAM_DOWN = 502, "upstream-down", "The service gave no proper answer."
    BUSY = 503, "busy", "Too many long requests are open right now."
    STORE_DOWN = 503, "store-down", "Sign-in state cannot be checked right now."
    UPSTREAM_SLOW = 504, "upstream-slow", "The service did not answer in time."

    def __init__(self, status: int, word: str, sentence: str) -> None:
        self.status = status
        self.word = word
        self.sentence = sentence


class ProxyError(Exception):
    """Root of everything this package raises on purpose."""


class RouteTableError(ProxyError):
    """The route table is refused; `problems` names every fault and its line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class BadAnswer(ProxyError, ConnectionError):
    """What came is not an HTTP answer in the one reading that we accept."""


class DoorError(ProxyError):
    """Another door cannot be told to decide as this one does; says why."""


class UpstreamCutShort(ProxyError, ConnectionResetError):
    """The answer broke off. Raised while streaming, so that the server cuts too.

    A ConnectionResetError because servers know that one: they drop the client's
    connection without the closing chunk that would make half an answer look whole.
    """

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "upstream cut its answer short")


class Refused(ProxyError):
    """The call goes no further. `reason` is for the log, never for the caller."""

    def __init__(
        self,
        refusal: Refusal,
        reason: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason or refusal.word)
        self.refusal = refusal
        self.reason = reason or refusal.word
        self.headers = headers or {}

    def answer(self) -> HttpResponse:
        """A fresh response: uniform for all callers, never stored, no cookie."""
        return answer(self.refusal, self.headers)


class AmbiguousPath(Refused):
    """The path means one thing to one reader and another to the next."""

    def __init__(self, reason: str) -> None:
        super().__init__(Refusal.BAD_PATH, reason)


def answer(refusal: Refusal, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """The response for a refusal: problem details (RFC 9457), empty for a 401.

    The 401 is empty and the same for every kind of dead session, so that nobody
    learns from it whether a guessed cookie was ever alive.
    """
    # A type, so that Django need not find out which one it would be; a 401 has none.
    empty = refusal is Refusal.NO_SESSION
    response = HttpResponse(b"", "-") if empty else _problem(refusal)
    response.status_code = refusal.status
    # Past Django's check of each value: these are our own.
    store = response.headers._store
    if refusal is Refusal.NO_SESSION:
        store.clear()
    store.update(_fields(refusal))
    # Whoever refuses writes one line that says why. Django would add a second one
    # that does not.
    response._has_been_logged = True  # type: ignore[attr-defined]
    for name, value in (headers or {}).items():
        response[name] = value
    return response


@cache
def _fields(refusal: Refusal) -> dict[str, tuple[str, str]]:
    """What every answer of this kind says, in the form that Django keeps fields in."""
    fields = {
        GATE_HEADER: refusal.word,
        "Cache-Control": NO_STORE,
        "Vary": "Cookie",
        "X-Content-Type-Options": "nosniff",
    }
    if refusal is Refusal.NO_SESSION:
        # RFC 9110 15.5.2 wants a challenge. No browser knows this scheme, so none
        # opens its password window.
        fields |= {
            "Content-Length": "0",
            "WWW-Authenticate": 'Session realm="backoffice"',
        }
    return {name.lower(): (name, value) for name, value in fields.items()}


def _problem(refusal: Refusal) -> HttpResponse:
    body = {
        "type": "about:blank",
        "status": refusal.status,
        "code": refusal.word,
        "detail": refusal.sentence,
    }
    return JsonResponse(body, content_type="application/problem+json")


def root_name(error: BaseException) -> str:
    """What an error began with, for the log: its class alone.

    The texts hold addresses, paths and queries.
    """
    *_, root = chain(error)
    return type(root).__name__


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised out of, down to the first."""
    while error is not None:
        yield error
        error = error.__context__
