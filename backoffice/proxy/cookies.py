"""Cookies of an upstream, for the few routes that let it have some.

A cookie is a claim on the whole origin: an upstream that set `session_id` would sign
people out, or in. So each goes under a name and a path that hold nothing else, and only
if the route names it: `theme` of the route `members` is `members.theme` in the browser,
below `/api/proxy/members/`. Our own cookies have no dot in their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from backoffice.proxy.paths import PREFIX

_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_SECONDS = re.compile(r"-?[0-9]{1,10}")
_MOST_BYTES = 4096
# What a browser believes only of a secure origin, so no neighbour can plant it.
_SECURE = "__Secure-"


def lead_of(route: str, https: bool) -> str:
    """What stands before the upstream's own name of each cookie."""
    return f"{_SECURE if https else ''}{route}."


def end_of(prefix: str, https: bool) -> str:
    """The attributes that are ours, for every cookie of a route."""
    return f"Path={PREFIX}/{prefix}; HttpOnly; SameSite=Lax" + "; Secure" * https


def to_browser(
    received: Iterable[str],
    allowed: frozenset[str],
    route: str,
    prefix: str,
    https: bool,
) -> list[str]:
    """The Set-Cookie values to pass on, each under the route's own name and path.

    Of the attributes only the life is the upstream's; Domain, Path and SameSite are
    ours. What is not allowed or not well-formed (RFC 6265, 4.1.1) is left out.
    """
    lead, end = lead_of(route, https), end_of(prefix, https)
    kept = []
    for line in received:
        pair, *attributes = (part.strip(" \t") for part in line.split(";"))
        name, mark, value = pair.partition("=")
        if mark and name in allowed and _VALUE.fullmatch(value):
            kept.append("; ".join([f"{lead}{name}={value}", *_life(attributes), end]))
    # Browsers drop longer ones anyway, some of them together with our own.
    return [cookie for cookie in kept if len(cookie) <= _MOST_BYTES]


def to_upstream(sent: str, allowed: frozenset[str], route: str, https: bool) -> str:
    """The Cookie field for the upstream: its own cookies, under its own names.

    Of two with one name both are left out; see sessions.middleware.read_cookie.
    """
    lead = lead_of(route, https)
    found: dict[str, list[str]] = {}
    for part in sent.split(";"):
        name, _, value = part.strip(" \t").partition("=")
        own = name.removeprefix(lead)
        if own != name and own in allowed and _VALUE.fullmatch(value):
            found.setdefault(own, []).append(value)
    return "; ".join(
        f"{name}={values[0]}" for name, values in found.items() if len(values) == 1
    )


def _life(attributes: Iterable[str]) -> list[str]:
    for attribute in attributes:
        name, _, value = attribute.partition("=")
        value = value.strip(" \t")
        if name.strip(" \t").lower() == "max-age" and _SECONDS.fullmatch(value):
            return [f"Max-Age={value}"]
    return []
