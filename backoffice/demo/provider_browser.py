"""The cookie by which the provider knows a browser, and the redirect back to a site."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode

from backoffice.demo.messages import NO_STORE, Request, Response
from backoffice.demo.provider_faults import Fault
from backoffice.demo.provider_state import ProviderState

# Cookies do not see ports: on one host the provider and the site share a jar, so this
# name must be one that no site would choose.
COOKIE = "demo_provider"


def browser_of(request: Request) -> str:
    """The browser's secret, or nothing."""
    return request.cookies.get(COOKIE, "")


def new_browser() -> str:
    return secrets.token_urlsafe(24)


def with_cookie(response: Response, browser: str) -> Response:
    """The response that also lets the browser be known; forgotten when it is empty."""
    life = "" if browser else "; Max-Age=0"
    cookie = f"{COOKIE}={browser}; Path=/; HttpOnly; SameSite=Lax{life}"
    return replace(response, headers=(*response.headers, ("Set-Cookie", cookie)))


def redirect(uri: str, parameters: Mapping[str, str]) -> Response:
    """303, so that a form's POST becomes a GET in every browser (RFC 9700, 4.12)."""
    if parameters:
        uri += ("&" if "?" in uri else "?") + urlencode(parameters)
    headers = (("Location", uri), ("Referrer-Policy", "no-referrer"), NO_STORE)
    return Response(303, headers)


def authorization_response(
    state: ProviderState, asked: Mapping[str, str], answer: Mapping[str, str]
) -> Response:
    """Back to the site, with its `state` and our `iss` (RFC 9207)."""
    parameters = dict(answer)
    if "state" in asked:
        wrong = state.faults.take(Fault.RESPONSE_STATE_WRONG)
        parameters["state"] = "not-the-state-that-was-sent" if wrong else asked["state"]
    if not state.faults.take(Fault.RESPONSE_ISS_MISSING):
        wrong = state.faults.take(Fault.RESPONSE_ISS_WRONG)
        parameters["iss"] = "https://elsewhere.example" if wrong else state.issuer
    return redirect(asked["redirect_uri"], parameters)
