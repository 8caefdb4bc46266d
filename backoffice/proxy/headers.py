"""What goes to the upstream and what comes back. Pure functions, no request objects.

Upstreams believe what we say about the caller. So everything that could pass for our
word is taken from the client first, in every spelling: `X_Staff_User` and
`x-staff-user` are one name to many servers (CGI, RFC 3875 4.1.18), hence to us.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from accounts.profile import StaffProfile
from accounts.text_cache import text_cache
from backoffice.proxy.errors import NO_STORE
from backoffice.proxy.header_names import (
    NOT_RETURNED,
    NOT_RETURNED_PREFIXES,
    NOT_SENT,
    NOT_SENT_PREFIXES,
    SINGLE,
)
from backoffice.proxy.route_values import Cache

Field = tuple[str, str]

PSEUDONYM = "backoffice"
REQUEST_ID = "X-Request-Id"
SESSION_ID = "X-Session-Id"
# What it would need to run as a page of ours, it does not get (ASVS 3.2.1): an
# upstream's HTML, opened in a tab, has no origin, no scripts and no forms.
CONTENT_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"
# The browser keeps it and asks each time whether it may use it.
REVALIDATE = "private, no-cache"

OWN: tuple[Field, ...] = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", CONTENT_POLICY),
)
_CONNECTION = "HTTP_CONNECTION"
# No field in use has a longer name.
_MAX_NAME = 64

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[ \t\x21-\x7e\x80-\xff]*")
_HOPS = re.compile(r"[0-9]{1,9}")
# Readable as they are; a comma separates groups, a percent sign begins an escape.
_READABLE = "!#$&'()*+/:;=?@[]^`{|}"


@lru_cache(maxsize=1024)
def identity_fields(profile: StaffProfile, session_id: str) -> Mapping[str, str]:
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
        SESSION_ID: _encoded(session_id),
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


def to_upstream(sent: Mapping[str, Any], ours: Mapping[str, str]) -> dict[str, str]:
    """The fields for the upstream: the client's, less what it may not say, plus ours.

    `sent` is a CGI environment (RFC 3875, 4.1): its `HTTP_` names and CONTENT_TYPE.
    Ours come last, after the fields that `Connection` names are gone: otherwise
    `Connection: X-Staff-User` would be an order to drop our word (RFC 9110, 7.6.1).
    Framing is left out; it belongs to whoever sends the body.
    """
    kept: dict[str, str] = {}
    for variable, value in sent.items():
        name = _sent_name(variable)
        if name is not None and value:
            kept[name] = value
    for option in _named_by_connection([("connection", sent.get(_CONNECTION, ""))]):
        kept.pop(option.title(), None)
    hops = hops_left(kept.get("Max-Forwards"))
    if hops is not None:
        kept["Max-Forwards"] = str(max(0, hops - 1))
    via = kept.get("Via")
    kept["Via"] = f"{via}, 1.1 {PSEUDONYM}" if via else f"1.1 {PSEUDONYM}"
    kept.update(ours)
    return kept


def hops_left(max_forwards: str | None) -> int | None:
    """How many hops a call may still make (RFC 9110, 7.6.2); None when it says none.

    A number of more than nine digits counts nothing, and goes on as it is.
    """
    if max_forwards is None or not _HOPS.fullmatch(max_forwards):
        return None
    return int(max_forwards)


def from_upstream(
    received: Iterable[Field],
    shown: frozenset[str] = frozenset(),
    hidden: frozenset[str] = frozenset(),
    cache: Cache = Cache.NO_STORE,
) -> list[Field]:
    """The fields for the browser: the upstream's, less what it may not set, plus ours.

    `shown` pass although they are dropped elsewhere, `hidden` do not although they
    pass elsewhere. Repeated fields stay apart, in their order. Broken names and values
    are dropped: a server that meets them answers 500 in our name, or passes a control
    sign on to somebody's terminal.
    """
    fields = [
        (known, name, value)
        for name, value in received
        if (known := _known_name(name)) is not None and _VALUE.fullmatch(value)
    ]
    named = _named_by_connection((known, value) for known, _, value in fields)
    kept: list[Field] = []
    varies, asked, singles = "", "", set()
    for known, name, value in fields:
        if known == "vary":
            varies += f"{value}, "
        elif known == "cache-control":
            asked += value.lower()
        if known in named or known in hidden or known in singles:
            continue
        if _is_dropped(known) and known not in shown:
            continue
        if known in SINGLE:
            # Of two, the first one counts; see SINGLE.
            singles.add(known)
        kept.append((name, value))
    stored = NO_STORE if cache is Cache.NO_STORE or NO_STORE in asked else REVALIDATE
    return [*kept, ("Cache-Control", stored), ("Vary", varies + "Cookie"), *OWN]


@text_cache(entries=1024, longest=_MAX_NAME)
def _sent_name(variable: str) -> str | None:
    """The field to send for a CGI variable; None when it is none, or may not go on."""
    if variable.startswith("HTTP_"):
        name = variable[5:].lower().replace("_", "-")
    elif variable == "CONTENT_TYPE":
        name = "content-type"
    else:
        return None
    if not _TOKEN.fullmatch(name) or name in NOT_SENT:
        return None
    return None if name.startswith(NOT_SENT_PREFIXES) else name.title()


@text_cache(entries=1024, longest=_MAX_NAME)
def _known_name(name: str) -> str | None:
    """The name as our lists have it; None when it is no proper name at all."""
    return _canonical(name) if _TOKEN.fullmatch(name) else None


@text_cache(entries=1024, longest=_MAX_NAME)
def _is_dropped(known: str) -> bool:
    return known in NOT_RETURNED or known.startswith(NOT_RETURNED_PREFIXES)


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
