"""What goes to the upstream and what comes back. Pure functions, no request objects.

Upstreams believe what we say about the caller. So everything that could pass for our
word is taken from the client first, in every spelling: `X_Staff_User` and
`x-staff-user` are one name to many servers (CGI, RFC 3875 4.1.18), hence to us.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from accounts.profile import StaffProfile
from backoffice.proxy.errors import NO_STORE

Field = tuple[str, str]

PSEUDONYM = "backoffice"
REQUEST_ID = "X-Request-Id"
# What it would need to run as a page of ours, it does not get (ASVS 3.2.1): an
# upstream's HTML, opened in a tab, has no origin, no scripts and no forms.
CONTENT_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"

_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
}
_NOT_SENT = _HOP_BY_HOP | {
    # Secrets of the browser and this site. Our cookie would be a login elsewhere.
    "cookie",
    "authorization",
    "x-csrftoken",
    "x-backoffice",
    # Framing and routing are made anew; two of either is request smuggling.
    "host",
    "content-length",
    "expect",
    # To old programs behind CGI this names the proxy for their own calls (httpoxy).
    "proxy",
    # Claims about who and from where, which only we may make.
    "forwarded",
    "x-session-id",
    "x-request-id",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-cluster-client-ip",
    "client-ip",
    # The allowed method and path could be swapped for others behind the gate.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-original-uri",
    "x-original-host",
    "x-rewrite-url",
    # Page addresses are not the upstream's business, and the gate has judged the
    # origin: an upstream that knows no name of ours would refuse its own callers.
    "origin",
    "referer",
}
_NOT_SENT_PREFIXES = (
    "proxy-",
    "sec-",
    "access-control-request-",
    "x-forwarded-",
    "x-staff-",
    "x-gate",
    "x-remote-",
    "remote-",
    "x-client-",
    "x-ssl-",
    "ssl-",
)
_NOT_RETURNED = _HOP_BY_HOP | {
    # Rules for a whole origin or a whole browser: ours to make, not a tenant's.
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "public-key-pins",
    "public-key-pins-report-only",
    "expect-ct",
    "alt-svc",
    "clear-site-data",
    "service-worker-allowed",
    "origin-agent-cluster",
    "accept-ch",
    "critical-ch",
    "nel",
    "report-to",
    "reporting-endpoints",
    "permissions-policy",
    "document-policy",
    "speculation-rules",
    "timing-allow-origin",
    "refresh",
    # Replaced by our own below, or set by the site for every answer.
    "cache-control",
    "pragma",
    "expires",
    "age",
    "vary",
    "content-security-policy",
    "content-security-policy-report-only",
    "x-content-security-policy",
    "x-webkit-csp",
    "x-content-type-options",
    "x-frame-options",
    "x-xss-protection",
    "referrer-policy",
    "x-request-id",
    "x-session-id",
    # Orders to a web server in front of us: "send this file instead".
    "x-sendfile",
    "x-lighttpd-send-file",
    "x-litespeed-location",
    # What runs behind the gate is nobody's business.
    "server",
    "date",
    "via",
    "x-powered-by",
    "x-generator",
    "x-runtime",
}
_NOT_RETURNED_PREFIXES = (
    "access-control-",
    "cross-origin-",
    "proxy-",
    "sec-",
    "attribution-reporting-",
    "x-accel-",
    "x-aspnet",
    "x-gate",
    "x-staff-",
)
# Fields that have one value. Of two, each reader would choose its own.
_SINGLE = {
    "content-type",
    "content-length",
    "content-range",
    "content-disposition",
    "etag",
    "last-modified",
    "location",
    "retry-after",
}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[ \t\x21-\x7e\x80-\xff]*")
# Readable as they are; a comma separates groups, a percent sign begins an escape.
_READABLE = "!#$&'()*+/:;=?@[]^`{|}"


def identity_fields(profile: StaffProfile, session_id: str) -> dict[str, str]:
    """Who is calling, as the upstream may believe it.

    Values are percent-encoded UTF-8 (RFC 3986, 2.1), because a field value is ASCII
    and names are not: "김민지" travels as `%EA%B9%80%EB%AF%BC%EC%A7%80`. Any
    `decodeURIComponent` or `unquote` gives the original back. Groups are separated
    by commas, each encoded for itself. What is not known is left out.
    """
    values = {
        "X-Staff-Sub": _encoded(profile.sub),
        "X-Staff-User": _encoded(profile.username),
        "X-Staff-Name": _encoded(profile.name),
        "X-Staff-Email": _encoded(profile.email),
        "X-Staff-Department": _encoded(profile.department),
        "X-Staff-Groups": ",".join(map(_encoded, profile.groups)),
        "X-Session-Id": _encoded(session_id),
    }
    return {name: value for name, value in values.items() if value}


def origin_fields(
    address: str, scheme: str, host: str, request_id: str | None
) -> dict[str, str]:
    """Where the call came in, as we saw it ourselves."""
    values = {
        "X-Forwarded-For": address,
        "X-Forwarded-Proto": scheme,
        "X-Forwarded-Host": host,
        REQUEST_ID: request_id or "",
    }
    return {name: value for name, value in values.items() if value}


def to_upstream(sent: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """The fields for the upstream: the client's, less what it may not say, plus ours.

    Ours come last, after the fields that `Connection` names are gone: otherwise
    `Connection: X-Staff-User` would be an order to drop our word (RFC 9110, 7.6.1).
    Framing is left out; it belongs to whoever sends the body.
    """
    fields = [(_canonical(name), value) for name, value in sent.items() if value]
    dropped = _NOT_SENT | _named_by_connection(fields)
    kept = {
        name.title(): value
        for name, value in fields
        if name not in dropped and not name.startswith(_NOT_SENT_PREFIXES)
    }
    hops = kept.get("Max-Forwards", "")
    if hops.isdigit():
        kept["Max-Forwards"] = str(max(0, int(hops) - 1))
    via = ", ".join([*filter(None, [kept.get("Via")]), f"1.1 {PSEUDONYM}"])
    return {**kept, "Via": via, **ours}


def from_upstream(received: Iterable[Field]) -> list[Field]:
    """The fields for the browser, in order; one that came twice leaves twice.

    Broken names and values are dropped: a server that meets them answers 500 in our
    name, or passes a control sign on to somebody's terminal.
    """
    fields = [(name, value) for name, value in received if _is_wellformed(name, value)]
    dropped = _NOT_RETURNED | _named_by_connection(
        (_canonical(name), value) for name, value in fields
    )
    varies = [value for name, value in fields if _canonical(name) == "vary"]
    kept: dict[str, Field] = {}
    for index, (name, value) in enumerate(fields):
        known = _canonical(name)
        if known not in dropped and not known.startswith(_NOT_RETURNED_PREFIXES):
            place = known if known in _SINGLE else f"{known} {index}"
            kept.setdefault(place, (name, value))
    return [
        *kept.values(),
        ("Cache-Control", NO_STORE),
        ("Vary", ", ".join([*varies, "Cookie"])),
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Content-Security-Policy", CONTENT_POLICY),
    ]


def _canonical(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _encoded(value: str) -> str:
    return quote(value, safe=_READABLE)


def _named_by_connection(fields: Iterable[Field]) -> set[str]:
    return {
        _canonical(option)
        for name, value in fields
        if name == "connection"
        for option in value.split(",")
    }


def _is_wellformed(name: str, value: str) -> bool:
    return bool(_TOKEN.fullmatch(name) and _VALUE.fullmatch(value))
