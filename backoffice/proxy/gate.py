"""The gate: may this request pass?

The decision alone, apart from whatever brought the request here: every door asks
`decide`, and so does `manage.py explain_route`. What is not allowed by name is refused,
and so is whatever could not be decided. The order of the steps is part of the promise.
The path comes first, since the later questions would be asked about the wrong thing;
the session comes before the route, so that only a live session learns which routes
exist. No answer is kept: a session that was killed a moment ago is dead for the next
request (P1).

The gate reads the session and never writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from django.conf import settings

from accounts.profile import StaffProfile
from accounts.text_cache import text_cache
from backoffice.proxy.errors import Refusal, Refused
from backoffice.proxy.paths import ProxyPath, read_target
from backoffice.proxy.reload import current_routes
from backoffice.proxy.route_values import SAFE
from backoffice.proxy.routes import Route

# A page of another site can make a browser send a call with our cookie, but not with
# a header of its own choice: that takes our consent (CORS), which we never give.
PROOF_HEADER = "X-Backoffice"
PROOF_VALUE = "1"

# Where a browser would run or apply the answer instead of handing it to our page.
# Our own policy says script-src 'self', and an upstream's file is 'self' too.
CODE_DESTINATIONS = frozenset(
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
# What decide() looks at besides the call's method, target and host: who puts a call
# before it from elsewhere has to send these along.
JUDGED_HEADERS = (
    "Origin",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Site",
    "Service-Worker",
    "Upgrade",
    PROOF_HEADER,
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PROOF_FIELD = "HTTP_" + PROOF_HEADER.upper().replace("-", "_")


class Session(Protocol):
    """What the gate needs of a session; reading it asks the store."""

    @property
    def session_id(self) -> str | None: ...

    def get(self, key: str, default: Any = None) -> Any: ...


class Call(NamedTuple):
    """One request as the gate judges it, whatever door it came in by.

    `target` is the request target as it stood on the wire. `scheme` and `host` are
    those the browser used, the host accepted already (ALLOWED_HOSTS). `fields` are the
    header fields by their CGI names, as in `HTTP_SEC_FETCH_SITE` (RFC 3875, 4.1.18).
    """

    method: str
    target: str
    scheme: str
    host: str
    fields: Mapping[str, Any]


class GatePass(NamedTuple):
    """What the gate decided: this person, through this route, to this suffix.

    `suffix` is the rest of the request target as it came, query included.
    """

    profile: StaffProfile
    session_id: str
    route: Route
    suffix: str


def decide(call: Call, session: Session) -> GatePass:
    """The pass for this call.

    Raises Refused with the answer for the caller, SessionStoreError when the store
    cannot say whether the session is live, RouteTableError when no table is there.
    """
    path = read_target(call.target, call.host)
    profile, session_id = _live_session(session)
    route, suffix = _known_route(path)
    _refuse_method(call, route, profile)
    _refuse_foreign_call(call)
    _refuse_code(call)
    return GatePass(profile, session_id, route, suffix)


def _live_session(session: Session) -> tuple[StaffProfile, str]:
    # from_session wants a mapping and only ever calls `get`.
    profile = StaffProfile.from_session(session)  # type: ignore[arg-type]
    session_id = session.session_id if profile else None
    if profile is None or session_id is None:
        raise Refused(Refusal.NO_SESSION)
    return profile, session_id


def _known_route(path: ProxyPath) -> tuple[Route, str]:
    found = current_routes().match(path)
    if found is None:
        raise Refused(Refusal.NO_ROUTE)
    return found


def _refuse_method(call: Call, route: Route, profile: StaffProfile) -> None:
    if call.method not in route.methods:
        raise Refused(Refusal.NO_METHOD, headers={"Allow": route.allow})
    if not route.admits(profile):
        raise Refused(Refusal.NOT_ALLOWED, "groups")
    if call.method not in SAFE and not route.admits_write(profile):
        raise Refused(Refusal.NOT_ALLOWED, "write-groups")


def _refuse_foreign_call(call: Call) -> None:
    """Cross-site request forgery, for reads and for writes (ASVS 3.5.1, 3.5.8)."""
    site = call.fields.get("HTTP_SEC_FETCH_SITE")
    if call.method not in SAFE:
        if call.fields.get(_PROOF_FIELD) != PROOF_VALUE:
            raise Refused(Refusal.NO_PROOF, "header")
        _demand_own_page(call, site)
    elif wants_websocket(call.fields):
        # A GET that opens a channel for writing. Browsers let a page of any site open
        # one with our cookie, and no script can add a header to it: what tells them
        # apart is Origin alone (RFC 6455, 10.2).
        if "HTTP_ORIGIN" not in call.fields:
            raise Refused(Refusal.NO_PROOF, "origin")
        _demand_own_page(call, site)
    elif site is not None and (site == "cross-site" or _is_several(site)):
        raise Refused(Refusal.CROSS_SITE)


def _demand_own_page(call: Call, site: str | None) -> None:
    """The browser's own word that the page is ours.

    Beside our header: the header alone would do while no CORS rule is ever loosened;
    the word alone would do in every browser of today. An attacker has to break both.
    """
    origin = call.fields.get("HTTP_ORIGIN")
    # No word at all is not a yes: browsers have sent Origin with every unsafe call
    # for years. A script that has a cookie can say Origin as well.
    if origin is None and site is None:
        raise Refused(Refusal.NO_PROOF, "silence")
    # SITE_URL too: behind a proxy that ends TLS we see http and the browser https.
    if origin is not None and origin not in {
        own_origin(settings.SITE_URL),
        own_origin(f"{call.scheme}://{call.host}"),
    }:
        raise Refused(Refusal.NO_PROOF, "origin")
    if site is not None and site != "same-origin":
        raise Refused(Refusal.NO_PROOF, "site")


@text_cache(entries=64, longest=256)
def own_origin(url: str) -> str:
    """Scheme, host and port as browsers write them (RFC 6454, 6.2)."""
    parts = urlsplit(url)
    is_default = parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)}
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if is_default else f":{parts.port}")


def wants_websocket(fields: Mapping[str, Any]) -> bool:
    """Whether the call asks to become a WebSocket (RFC 6455, 4.1)."""
    asked = fields.get("HTTP_UPGRADE")
    return asked is not None and "websocket" in {
        upgrade.strip() for upgrade in asked.lower().split(",")
    }


def _refuse_code(call: Call) -> None:
    # A worker installed from an upstream's file would sit in the browser of every
    # staff member and read all later calls, long after the file is gone.
    destination = call.fields.get("HTTP_SEC_FETCH_DEST", "")
    if (
        "HTTP_SERVICE_WORKER" in call.fields
        or destination in CODE_DESTINATIONS
        or _is_several(destination)
    ):
        raise Refused(Refusal.NO_SCRIPT)


def _is_several(value: str) -> bool:
    """Whether this is more than the one word that a browser says (Fetch Metadata, 2).

    Two lines come as one value with a comma, and that is in no list of ours.
    """
    return "," in value
