"""The route table as JSON, for a door that is not written in Python.

Everything such a door needs to decide as we do, the lists of header names included;
nothing that it could look up elsewhere and find different. `schema` grows when a reader
of the older form would decide wrongly.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

from backoffice.proxy import cookies, gate, header_names, headers, paths
from backoffice.proxy.errors import GATE_HEADER, NO_STORE, Refusal
from backoffice.proxy.route_values import SAFE
from backoffice.proxy.routes import Route, RouteTable

SCHEMA = 1


def exported(table: RouteTable) -> dict[str, Any]:
    """The table and the rules around it. Routes with longer prefixes come first."""
    routes = sorted(table, key=lambda route: len(route.prefix), reverse=True)
    return {
        "schema": SCHEMA,
        "gate": _gate(),
        "request_headers": {
            "drop": sorted(header_names.NOT_SENT),
            "drop_prefixes": list(header_names.NOT_SENT_PREFIXES),
            "via": headers.PSEUDONYM,
        },
        "response_headers": {
            "drop": sorted(header_names.NOT_RETURNED),
            "drop_prefixes": list(header_names.NOT_RETURNED_PREFIXES),
            "single": sorted(header_names.SINGLE),
            "set": dict(headers.OWN),
            "cache_control": {
                "no-store": NO_STORE,
                "revalidate": headers.REVALIDATE,
            },
        },
        "refusals": {
            refusal.word: {"status": refusal.status, "detail": refusal.sentence}
            for refusal in Refusal
        },
        "routes": [_route(route) for route in routes],
    }


def _gate() -> dict[str, Any]:
    return {
        "prefix": paths.PREFIX,
        "cookie": settings.SESSION_COOKIE_NAME,
        "origin": gate.own_origin(settings.SITE_URL),
        "hosts": list(settings.ALLOWED_HOSTS),
        "header": GATE_HEADER,
        "proof": {"name": gate.PROOF_HEADER, "value": gate.PROOF_VALUE},
        "judged_headers": list(gate.JUDGED_HEADERS),
        "safe_methods": sorted(SAFE),
        "code_destinations": sorted(gate.CODE_DESTINATIONS),
    }


def _route(route: Route) -> dict[str, Any]:
    address = route.address
    server = f"unix:{address.socket}:" if address.socket else address.server
    return {
        "name": route.name,
        "prefix": route.prefix,
        "place": route.place,
        "places": dict(route.places),
        "upstream": {
            "scheme": address.scheme,
            "host": address.server,
            "socket": address.socket or None,
            "mount": address.mount,
            # As `proxy_pass` takes it, without the mount.
            "nginx": f"{address.scheme}://{server}",
            "ca_file": route.ca_file,
        },
        "groups": sorted(route.groups),
        "methods": sorted(route.methods),
        "write_groups": sorted(route.write_groups),
        "timeouts": {
            "connect": route.connect_timeout,
            "read": route.read_timeout,
            "total": route.total_timeout,
        },
        "max_body": route.max_body,
        "max_header": route.max_header,
        "identity": route.identity.value,
        "audience": route.audience,
        "response_headers": sorted(route.response_headers),
        "hide_headers": sorted(route.hide_headers),
        "cookies": sorted(route.cookies),
        "cookie_lead": cookies.lead_of(route.name, settings.SERVED_OVER_HTTPS),
        "cookie_end": cookies.end_of(route.prefix, settings.SERVED_OVER_HTTPS),
        "cache": route.cache.value,
        "keepalive": route.keepalive.value,
    }
