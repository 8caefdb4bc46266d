from __future__ import annotations

from collections.abc import Mapping

from backoffice.proxy.gate import GatePass
from backoffice.proxy.headers import identity_fields
from backoffice.proxy.identity_token import identity_token
from backoffice.proxy.route_values import Identity

TOKEN_HEADER = "X-Staff-Token"  # noqa: S105 - the name of a field


def fields_for(granted: GatePass) -> Mapping[str, str]:
    """The fields that tell this route's upstream who is calling, as it asked for it."""
    route = granted.route
    if route.identity is Identity.HEADERS:
        return identity_fields(granted.profile, granted.session_id)
    if route.identity is Identity.TOKEN:
        token = identity_token(granted.profile, granted.session_id, route.audience)
        return {TOKEN_HEADER: token}
    return {}
