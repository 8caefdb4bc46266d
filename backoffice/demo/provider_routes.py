"""Which path is answered by what, and the faults that all endpoints share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from backoffice.demo import (
    provider_authorize,
    provider_control,
    provider_endpoints,
    provider_logout,
    provider_pages,
)
from backoffice.demo.messages import Request, Response, json_response
from backoffice.demo.provider_faults import Endpoint, Fault
from backoffice.demo.provider_state import ProviderState

HUGE_BLOCKS = 512  # of 64 KiB
ELSEWHERE = "/elsewhere"


class Route(NamedTuple):
    """Who answers a path, and under which name faults find it."""

    methods: frozenset[str]
    answer: Callable[[ProviderState, Request], Response]
    endpoint: Endpoint | None = None


READ = frozenset({"GET", "HEAD"})
POST = frozenset({"POST"})
ROUTES = {
    "/.well-known/openid-configuration": Route(
        READ, provider_endpoints.discovery, Endpoint.DISCOVERY
    ),
    "/jwks": Route(READ, provider_endpoints.jwks, Endpoint.JWKS),
    "/authorize": Route(READ | POST, provider_authorize.authorize, Endpoint.AUTHORIZE),
    "/sign-in": Route(POST, provider_authorize.sign_in),
    "/token": Route(POST, provider_endpoints.token, Endpoint.TOKEN),
    "/revoke": Route(POST, provider_endpoints.revoke, Endpoint.REVOKE),
    "/userinfo": Route(READ | POST, provider_endpoints.userinfo, Endpoint.USERINFO),
    "/end_session": Route(
        READ | POST, provider_logout.end_session, Endpoint.END_SESSION
    ),
    "/sign-out": Route(POST, provider_logout.sign_out),
    "/style.css": Route(READ, lambda state, request: provider_pages.stylesheet()),
    "/dev": Route(READ, provider_control.control),
    "/dev/end": Route(POST, provider_control.end),
    "/dev/faults": Route(READ | POST | {"DELETE"}, provider_control.faults),
}


def answer(state: ProviderState, request: Request) -> Response:
    """The provider's answer to any request, noted down for tests."""
    state.requests.append(request)
    route = ROUTES.get(request.path)
    if route is None:
        return json_response({"error": "not found"}, 404)
    if request.method not in route.methods:
        allowed = ("Allow", ", ".join(sorted(route.methods)))
        return json_response({"error": "method not allowed"}, 405, [allowed])
    if request.body_size > len(request.body):
        return json_response({"error": "too large"}, 413)
    if route.endpoint is None:
        return route.answer(state, request)
    return misbehaved(state, route, route.endpoint, request)


def misbehaved(
    state: ProviderState, route: Route, endpoint: Endpoint, request: Request
) -> Response:
    """The endpoint's answer after the faults that concern all endpoints alike."""
    faults = state.faults
    if late := faults.take(Fault.LATE, endpoint):
        time.sleep(late.seconds)
    if faults.take(Fault.STATUS_500, endpoint):
        return json_response({"error": "server_error"}, 500)
    if faults.take(Fault.HTML, endpoint):
        return provider_pages.signed_out_page("en")
    if moved := faults.take(Fault.REDIRECT, endpoint):
        location = moved.location or f"{state.issuer}{ELSEWHERE}/{endpoint}"
        return Response(307, (("Location", location),))
    response = route.answer(state, request)
    if not isinstance(response.body, bytes):
        return response
    if faults.take(Fault.HUGE, endpoint):
        return replace(response, body=huge(response.body))
    if drip := faults.take(Fault.DRIP, endpoint):
        return replace(response, body=dripping(response.body, drip.seconds))
    return response


def huge(body: bytes) -> Iterator[bytes]:
    """The body after 32 MiB of white space, which JSON allows."""
    for _ in range(HUGE_BLOCKS):
        yield b" " * 65_536
    yield body


def dripping(body: bytes, seconds: float) -> Iterator[bytes]:
    """The body in single bytes, spread over so many seconds."""
    for place in range(len(body)):
        yield body[place : place + 1]
        time.sleep(seconds / len(body))
