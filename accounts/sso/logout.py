from __future__ import annotations

import logging
import secrets
from typing import Any
from urllib.parse import urlencode, urljoin

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from social_core.exceptions import SocialAuthBaseException
from social_django.utils import load_backend, load_strategy

from accounts.profile import StaffProfile
from accounts.sso import providers, sign_in

log = logging.getLogger(__name__)

STATE_COOKIE = "signed_out_state"
STATE_SECONDS = 600


def provider_sign_out(request: HttpRequest, found: dict[str, Any]) -> tuple[str, str]:
    """Where the provider ends its session, and the state it must bring back.

    `found` is what `sign_in_of` gives. Both are "" when the provider cannot be asked
    or has no such place: our own session is over either way (OpenID Connect
    RP-Initiated Logout 1.0).
    """
    backend = _backend_of(request, found)
    try:
        endpoint = backend and backend.end_session_endpoint()
    except SocialAuthBaseException as error:
        log.warning("provider_not_told error=%s", type(error).__name__)
        return "", ""
    if not backend or not endpoint:
        return "", ""
    state = secrets.token_urlsafe(24)
    query = {
        "client_id": backend.setting("KEY"),
        "post_logout_redirect_uri": urljoin(settings.SITE_URL, reverse("signed-out")),
        "state": state,
    }
    if 0 < len(found.get("id_token", "")) <= sign_in.MAX_HINT:
        query["id_token_hint"] = found["id_token"]
    separator = "&" if "?" in endpoint else "?"
    return f"{endpoint}{separator}{urlencode(query)}", state


def remember_state(response: HttpResponseBase, state: str) -> None:
    """Keeps the state in the browser, where only the way back reads it."""
    response.set_cookie(
        STATE_COOKIE,
        state,
        max_age=STATE_SECONDS,
        path=reverse("signed-out"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def came_back(request: HttpRequest) -> bool:
    """Whether this is the provider sending back the browser that we sent."""
    expected = request.COOKIES.get(STATE_COOKIE, "")
    return bool(expected) and constant_time_compare(
        request.GET.get("state", ""), expected
    )


def sign_in_of(request: HttpRequest) -> dict[str, Any]:
    """How the present session was signed in; empty when there is none."""
    found: dict[str, Any] = request.session.get(sign_in.SESSION_KEY, {})
    profile = StaffProfile.from_session(request.session)
    return {**found, "issuer": profile.issuer} if found and profile else {}


def _backend_of(request: HttpRequest, found: dict[str, Any]) -> Any:
    """The provider that this session came through; None if it is set up no more.

    By name and issuer: the name may be another provider's by now, which must not read
    what the ID token says.
    """
    provider = providers.of_issuer(found.get("issuer"))
    if provider is None or provider.name != found.get("provider"):
        return None
    return load_backend(load_strategy(request), provider.name, None)
