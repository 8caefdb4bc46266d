"""Why the gate answers as it does, for whoever writes the route table.

The answer comes from `gate.decide` itself, never from a second reading of the rules:
an explanation that could differ from the gate would be worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from accounts.profile import SESSION_KEY, StaffProfile
from backoffice.proxy.errors import Refusal, Refused
from backoffice.proxy.gate import PROOF_VALUE, Call, decide, own_origin
from backoffice.proxy.paths import is_proxy_path, read_target
from backoffice.proxy.reload import current_routes
from backoffice.proxy.routes import Route

_HOST = re.compile(r"\Ahttps?://[^/?#]*", re.I)
_PATH_REASONS = {
    "signs": "it holds a sign that has no place in a path, or a bad escape",
    "segments": "some reader finds a dot segment, a backslash, a control sign or a "
    "doubled slash in it",
    "spelling": "/api/proxy/ itself must be spelled plainly",
    "prefix": "another spelling of it belongs to another route",
    "route": "the route's name must be spelled plainly, without escapes",
    "form": "it is neither a path nor an address of this site",
    "encoding": "its escapes are no UTF-8",
    "depth": "it is escaped more often than anyone would",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the gate answers: `word` is "" when the call passes.

    `target` is what the upstream would be asked for. `place` is the line of the route
    table that decides, "" when none does: of the key `key`, or of the whole route.
    """

    status: int
    word: str
    why: str
    route: Route | None = None
    target: str = ""
    key: str = ""

    @property
    def place(self) -> str:
        return self.route.place_of(self.key) if self.route else ""


@dataclass(frozen=True, slots=True)
class _Person:
    """A session that was never begun; what the gate reads of one."""

    profile: StaffProfile | None

    @property
    def session_id(self) -> str | None:
        return "explained" if self.profile else None

    def get(self, key: str, default: Any = None) -> Any:
        found = self.profile.to_session() if self.profile else default
        return found if key == SESSION_KEY else default


def explain(method: str, target: str, profile: StaffProfile | None) -> Explanation:
    """What a page of ours gets when it sends this call for this person.

    `target` is a raw request target; `profile` is None for nobody. Raises
    RouteTableError when there is no table.
    """
    site = urlsplit(settings.SITE_URL)
    call = Call(method, target, site.scheme, site.netloc, _own_page())
    try:
        granted = decide(call, _Person(profile))
    except Refused as refused:
        route = _route_of(call)
        why = _why(refused, call, route, profile)
        key = _key(refused, route)
        return Explanation(
            refused.refusal.status, refused.refusal.word, why, route, key=key
        )
    route = granted.route
    why = _why_admitted(method, route, granted.profile)
    return Explanation(200, "", why, route, route.address.mount + granted.suffix)


def is_for_the_gate(target: str) -> bool:
    """Whether the gate is asked about this target at all."""
    return is_proxy_path(_HOST.sub("", target).partition("?")[0])


def _own_page() -> Mapping[str, str]:
    return {
        "HTTP_ORIGIN": own_origin(settings.SITE_URL),
        "HTTP_SEC_FETCH_SITE": "same-origin",
        "HTTP_X_BACKOFFICE": PROOF_VALUE,
    }


def _route_of(call: Call) -> Route | None:
    try:
        found = current_routes().match(read_target(call.target, call.host))
    except Refused:
        return None
    return found[0] if found else None


def _key(refused: Refused, route: Route | None) -> str:
    """Which key of the route refuses; "" when it is not one of them."""
    if refused.refusal is Refusal.NO_METHOD:
        return "methods" if route is None or route.writes else "writes"
    if refused.refusal is Refusal.NOT_ALLOWED:
        return "write_groups" if refused.reason == "write-groups" else "groups"
    return ""


def _why(
    refused: Refused, call: Call, route: Route | None, profile: StaffProfile | None
) -> str:
    refusal = refused.refusal
    if refusal is Refusal.BAD_PATH:
        return f"The path is refused: {_PATH_REASONS.get(refused.reason, '')}."
    if refusal is Refusal.NO_SESSION:
        return "Nobody is signed in."
    if route is None or profile is None:
        return "No route has this prefix; what is not in the table is refused."
    if refusal is Refusal.NO_METHOD:
        return f"The route takes {route.allow}{_about_method(call.method, route)}."
    what = _key(refused, route)
    asked = route.write_groups if what == "write_groups" else route.groups
    return (
        f"{what} asks for one of: {_list(asked)}; the person is in: "
        f"{_list(profile.groups)}."
    )


def _about_method(method: str, route: Route) -> str:
    if method.upper() in route.methods:
        return f"; {method} is another method than {method.upper()}"
    return "" if route.writes else "; its writes are switched off"


def _why_admitted(method: str, route: Route, profile: StaffProfile) -> str:
    steps = [f"The route takes {method}"]
    steps.append(_admission("groups", route.groups, profile))
    if method not in {"GET", "HEAD", "OPTIONS"}:
        steps.append(_admission("write_groups", route.write_groups, profile))
    return "; ".join(filter(None, steps)) + "."


def _admission(key: str, groups: frozenset[str], profile: StaffProfile) -> str:
    if not groups:
        return "every staff member may pass" if key == "groups" else ""
    return f"{key} admits {_list(groups & set(profile.groups))}"


def _list(names: Sequence[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
