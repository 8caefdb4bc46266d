"""What is said with a refresh token: asking again, and giving it back.

The library checks an answer before anybody can keep what is in it. Where refresh tokens
rotate, that would lose the new one whenever the keys of the ID token cannot be had at
that moment, and the next attempt would look like theft. So here the two are apart.
"""

from __future__ import annotations

import logging
from typing import Any

import jwt
from social_core.exceptions import AuthResponseError, SocialAuthBaseException

from accounts.sso.backend import StaffOpenIdConnect
from accounts.sso.claims import is_moment

log = logging.getLogger(__name__)

CONTINUED = ("iss", "sub", "aud", "nonce")


def ask(backend: StaffOpenIdConnect, value: str) -> dict[str, Any]:
    """The provider's answer to a refresh token, unchecked (RFC 6749, 6).

    Raises what Conversation.request raises, AuthCredentialError for `invalid_grant`.
    """
    form = {"grant_type": "refresh_token", "refresh_token": value}
    answer: Any = backend.get_json(
        backend.refresh_token_url(),
        method="POST",
        headers=backend.auth_headers(),
        stage="refresh",
        **_as_client(backend, form),
    )
    if not isinstance(answer, dict):
        raise AuthResponseError(backend, code="malformed_response", stage="refresh")
    backend.process_error(answer, stage="refresh")
    return answer


def check(
    backend: StaffOpenIdConnect, answer: dict[str, Any], first: str
) -> dict[str, Any]:
    """Leaves on the backend what the provider signs to now; gives the first claims.

    The ID token need not come again. If it does it is verified like any other, and is
    about the same person at the same issuer for the same client as `first`, the ID
    token of the sign-in (OpenID Connect Core 12.2). Raises social-auth's errors.
    """
    before = _claims(first)
    token = answer.get("id_token")
    if token is None:
        groups = backend.setting("GROUPS_KEY")
        outdated = {groups, "_claim_names", "_claim_sources", "hasgroups"}
        backend.id_token = {k: v for k, v in before.items() if k not in outdated}
        return before
    claims = backend.validate_and_return_refresh_id_token(
        token, backend.get_access_token(answer)
    )
    # Some providers move auth_time when the person signs in for another site. It is
    # not read here: what a refresh says makes no sign-in any fresher.
    expected = {name: before[name] for name in CONTINUED if name in before}
    backend.validate_refresh_id_token_claims(expected, _without_time(claims))
    first_time, now_said = before.get("auth_time"), claims.get("auth_time")
    if is_moment(first_time) and is_moment(now_said) and now_said < first_time:
        raise AuthResponseError(
            backend, claim="auth_time", code="invalid_claim", stage="refresh"
        )
    backend.id_token = claims
    return before


def revoke(backend: StaffOpenIdConnect, value: str) -> bool:
    """Gives the token back, where the provider takes it (RFC 7009).

    Best effort: tells whether it was told. Never raises social-auth's errors.
    """
    form = {"token": value, "token_type_hint": "refresh_token"}
    try:
        address = backend.oidc_config().get("revocation_endpoint")
        if not isinstance(address, str):
            return False
        backend.request(
            address,
            method="POST",
            headers=backend.auth_headers(),
            stage="disconnect",
            **_as_client(backend, form),
        )
    except SocialAuthBaseException as error:
        log.warning("token_not_revoked code=%s", error.code)
        return False
    return True


def _as_client(backend: StaffOpenIdConnect, form: dict[str, str]) -> dict[str, Any]:
    if credentials := backend.auth_complete_credentials():
        return {"data": form, "auth": credentials}
    return {"data": {**form, **backend.in_the_form()}}


def _claims(token: str) -> dict[str, Any]:
    # Verified when it came, and under our own seal since.
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def _without_time(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name != "auth_time"}
