"""The gate: may this request pass?

Everything under `/api/proxy/` is decided here, before any view: what is not allowed
by name is refused, and so is whatever could not be decided. The order of the steps
is part of the promise. The host and the path come first, since the later questions
would be asked about the wrong thing; the session comes before the route, so that
only a live session learns which routes exist. No answer is kept: a session that was
killed a moment ago is dead for the next request (P1).

The gate reads the session and never writes it. Django's own CSRF check runs too late
for us (it stands before views, and the gate answers earlier), hence the proof below.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.profile import StaffProfile
from accounts.sessions.errors import SessionStoreError
from backoffice.proxy.errors import AmbiguousPath, Refusal, Refused, answer
from backoffice.proxy.paths import ProxyPath, is_proxy_path, read_target
from backoffice.proxy.routes import Route, current_routes

log = logging.getLogger("backoffice.gate")

# A page of another site can make a browser send a call with our cookie, but not with
# a header of its own choice: that takes our consent (CORS), which we never give.
PROOF_HEADER = "X-Backoffice"
PROOF_VALUE = "1"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
RETRY_AFTER_SECONDS = 1

# Where a browser would run or apply the answer instead of handing it to our page.
# Our own policy says script-src 'self', and an upstream's file is 'self' too.
_CODE_DESTINATIONS = frozenset(
    {
        "audioworklet",
        "embed",
        "manifest",
        "object",
        "paintworklet",
        "script",
        "serviceworker",
        "sharedworker",
        "style",
        "worker",
        "xslt",
    }
)
# Pages left open overnight ask without a session again and again.
_LEVELS = {
    Refusal.NO_SESSION: logging.DEBUG,
    Refusal.NO_ROUTE: logging.INFO,
    Refusal.NO_METHOD: logging.INFO,
}
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class GatePass:
    """What the gate decided: this person, through this route, to this suffix.

    `suffix` is the rest of the request target as it came, query included.
    """

    profile: StaffProfile
    session_id: str
    route: Route
    suffix: str


class GateMiddleware:
    """Stands right behind the session. Leaves its decision as `request.gate_pass`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        target = raw_target(request)
        if not is_ours(request, target):
            return self.get_response(request)
        try:
            request.gate_pass = decide(request, target)  # type: ignore[attr-defined]
        except Exception as error:
            # Every failure denies, also those that nobody thought of (ASVS 16.5.3).
            return refuse(request, error)
        return self.get_response(request)


def is_ours(request: HttpRequest, target: str) -> bool:
    """Whether this request, in any reading, is one for the gate to judge.

    Two questions, because two parties answer: the URL table goes by the path that
    the web server decoded, the upstream would go by the raw one.
    """
    return is_proxy_path(request.path_info) or is_proxy_path(target.partition("?")[0])


def raw_target(request: HttpRequest) -> str:
    """The request target as it stood on the wire, as far as the server tells.

    Gunicorn does (RAW_URI). Elsewhere it is quoted anew from the decoded path, where
    a `%2F` has already become a slash; a doubtful path stays doubtful that way.
    """
    raw: str | None = request.META.get("RAW_URI")
    if raw is not None:
        return raw
    query = request.META.get("QUERY_STRING", "")
    path = quote(request.path_info, safe="/!$&'()*+,;=:@~")
    return f"{path}?{query}" if query else path


def decide(request: HttpRequest, target: str, can_upgrade: bool = False) -> GatePass:
    """The pass for this request; `can_upgrade`: whether this door carries WebSockets.

    Raises Refused with the answer for the caller, SessionStoreError when the store
    cannot say whether the session is live, RouteTableError when no table is there.
    """
    path = _plain_path(request, target)
    profile, session_id = _live_session(request)
    route = _known_route(path)
    _refuse_method(request, route)
    if not route.admits(profile):
        raise Refused(Refusal.NOT_ALLOWED)
    _refuse_foreign_call(request)
    _refuse_unfit_use(request, can_upgrade)
    return GatePass(profile, session_id, route, path.suffix)


def refuse(request: HttpRequest, error: Exception) -> HttpResponseBase:
    """The answer for whatever ended the decision, and its line in the log."""
    if isinstance(error, Refused):
        level = _LEVELS.get(error.refusal, logging.WARNING)
        log.log(
            level,
            "gate_refused word=%s reason=%s method=%r path=%r session=%s",
            error.refusal.word,
            error.reason,
            request.method,
            request.path_info,
            _session_of(request, error),
        )
        return error.answer()
    if isinstance(error, SessionStoreError):
        # Logged with its cause where it was met.
        return answer(Refusal.STORE_DOWN, {"Retry-After": str(RETRY_AFTER_SECONDS)})
    log.error("gate_failed error=%s", type(error).__name__, exc_info=error)
    return answer(Refusal.FAILED)


def _session_of(request: HttpRequest, error: Refused) -> str | None:
    # Before the session was asked for, a log line is no reason to ask.
    asked = error.refusal not in {Refusal.BAD_HOST, Refusal.BAD_PATH}
    return getattr(request.session, "session_id", None) if asked else None


def _plain_path(request: HttpRequest, target: str) -> ProxyPath:
    try:
        # Asked for here because nobody else has asked yet: Django checks the host
        # when it is first wanted, and a refusal needs no host.
        host = request.get_host()
    except DisallowedHost:
        raise Refused(Refusal.BAD_HOST) from None
    path = read_target(target, host)
    # The view is chosen by the decoded path. It must be the one that was judged.
    if path.decoded() != request.path_info.rstrip("/"):
        raise AmbiguousPath("server")
    return path


def _live_session(request: HttpRequest) -> tuple[StaffProfile, str]:
    profile = StaffProfile.from_session(request.session)
    session_id: str | None = getattr(request.session, "session_id", None)
    if profile is None or session_id is None:
        raise Refused(Refusal.NO_SESSION)
    return profile, session_id


def _known_route(path: ProxyPath) -> Route:
    route = current_routes().find(path.route)
    if route is None:
        raise Refused(Refusal.NO_ROUTE)
    return route


def _refuse_method(request: HttpRequest, route: Route) -> None:
    if request.method not in route.methods:
        raise Refused(Refusal.NO_METHOD, headers={"Allow": route.allow})


def _refuse_foreign_call(request: HttpRequest) -> None:
    """Cross-site request forgery, for reads and for writes (ASVS 3.5.1, 3.5.8)."""
    site = request.headers.get("Sec-Fetch-Site")
    if request.method not in SAFE_METHODS:
        _demand_proof(request, site)
    elif site == "cross-site":
        raise Refused(Refusal.CROSS_SITE)


def _demand_proof(request: HttpRequest, site: str | None) -> None:
    """Our header, and the browser's own word that the page is ours.

    The header alone would do while no CORS rule is ever loosened; the word alone
    would do in every browser of today. An attacker has to break both.
    """
    origin = request.headers.get("Origin")
    if request.headers.get(PROOF_HEADER) != PROOF_VALUE:
        raise Refused(Refusal.NO_PROOF, "header")
    # No word at all is not a yes: browsers have sent Origin with every unsafe call
    # for years. A script that has a cookie can say Origin as well.
    if origin is None and site is None:
        raise Refused(Refusal.NO_PROOF, "silence")
    if origin is not None and not _is_own_origin(request, origin):
        raise Refused(Refusal.NO_PROOF, "origin")
    if site is not None and site != "same-origin":
        raise Refused(Refusal.NO_PROOF, "site")


def _is_own_origin(request: HttpRequest, origin: str) -> bool:
    # SITE_URL too: behind a proxy that ends TLS we see http and the browser https.
    return origin in {
        _origin(settings.SITE_URL),
        _origin(f"{request.scheme}://{request.get_host()}"),
    }


def _origin(url: str) -> str:
    """Scheme, host and port as browsers write them (RFC 6454, 6.2)."""
    parts = urlsplit(url)
    is_default = parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)}
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if is_default else f":{parts.port}")


def _refuse_unfit_use(request: HttpRequest, can_upgrade: bool) -> None:
    upgrades = request.headers.get("Upgrade", "").lower().split(",")
    if "websocket" in {upgrade.strip() for upgrade in upgrades}:
        if not can_upgrade:
            raise Refused(Refusal.NO_UPGRADE)
        # A page of any site may open a WebSocket here, and no script can add a header
        # to one: what tells them apart is the browser's word alone (RFC 6455, 10.2).
        origin = request.headers.get("Origin")
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if origin is None or not _is_own_origin(request, origin):
            raise Refused(Refusal.NO_PROOF, "origin")
        if site != "same-origin":
            raise Refused(Refusal.NO_PROOF, "site")
    # A worker installed from an upstream's file would sit in the browser of every
    # staff member and read all later calls, long after the file is gone.
    is_worker = "Service-Worker" in request.headers
    if is_worker or request.headers.get("Sec-Fetch-Dest") in _CODE_DESTINATIONS:
        raise Refused(Refusal.NO_SCRIPT)
