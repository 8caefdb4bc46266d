from __future__ import annotations

import hashlib
import secrets
from typing import Any

from jwt.utils import base64url_encode

from backoffice.demo.provider_faults import (
    ABSENT,
    GROUP_FAULTS,
    ID_TOKEN_FAULTS,
    USERINFO_FAULTS,
    Changes,
    Fault,
    changed,
    spoiled,
)
from backoffice.demo.provider_state import Grant, ProviderState
from backoffice.demo.staff import DemoPerson

ID_TOKEN_SECONDS = 300
LOGOUT_TOKEN_SECONDS = 120
BACKCHANNEL_EVENT = "http://schemas.openid.net/event/backchannel-logout"
AMR = ["user"]  # RFC 8176: someone was there and pressed a button
ACR_CARD = "urn:example:acr:card"
ACR_STRONG = "urn:example:acr:strong"
SIGNATURE_FAULTS = (
    Fault.KEY_WRONG,
    Fault.KEY_UNKNOWN,
    Fault.ALG_NONE,
    Fault.ALG_HS256,
)


def id_token(state: ProviderState, grant: Grant, access_token: str, nonce: str) -> str:
    """The ID token of OpenID Connect Core 2, or as wrong as the faults make it."""
    now = int(state.now())
    claims: Changes = {
        "iss": state.issuer,
        "sub": grant.sub,
        "aud": grant.client_id,
        "iat": now,
        "exp": now + ID_TOKEN_SECONDS,
        "auth_time": grant.auth_time,
        "nonce": nonce or ABSENT,
        "sid": grant.sid,
        "at_hash": at_hash(access_token),
        "acr": grant.acr,
        "amr": AMR,
    }
    claims = changed(claims, {})
    if "groups" in grant.scope:
        claims = with_groups(state, claims, grant)
    claims = spoiled(claims, state.faults, ID_TOKEN_FAULTS)
    if state.faults.take(Fault.AUD_EXTRA):
        extra = {"aud": [grant.client_id, "another-client"], "azp": grant.client_id}
        claims = changed(claims, extra)
    return state.keys.sign(claims, fault=signature_fault(state))


def userinfo(state: ProviderState, grant: Grant) -> dict[str, Any]:
    """The claims of the scopes asked for; groups always."""
    person = state.staff[grant.sub]
    claims: Changes = {
        "sub": person.sub,
        **(profile_claims(person) if "profile" in grant.scope else {}),
        **(email_claims(person) if "email" in grant.scope else {}),
        "groups": list(person.groups),
    }
    claims = spoiled(claims, state.faults, GROUP_FAULTS)
    return dict(spoiled(claims, state.faults, USERINFO_FAULTS))


def logout_token(
    state: ProviderState,
    client_id: str,
    *,
    sid: str | None = None,
    sub: str | None = None,
    changes: Changes | None = None,
    typ: str | None = "logout+jwt",
    fault: Fault | None = None,
) -> str:
    """The token of OpenID Connect Back-Channel Logout 2.4.

    `changes` set claims, or leave one out with ABSENT; `fault` spoils the signature.
    """
    now = int(state.now())
    claims = {
        "iss": state.issuer,
        "aud": client_id,
        "iat": now,
        "exp": now + LOGOUT_TOKEN_SECONDS,
        "jti": secrets.token_urlsafe(16),
        "events": {BACKCHANNEL_EVENT: {}},
        "sid": sid or ABSENT,
        "sub": sub or ABSENT,
    }
    return state.keys.sign(changed(claims, changes or {}), typ=typ, fault=fault)


def profile_claims(person: DemoPerson) -> dict[str, Any]:
    return {
        "name": person.name,
        "given_name": person.given_name,
        "family_name": person.family_name,
        "preferred_username": person.username,
        "department": person.department,
        "title": person.title,
        "locale": person.locale,
    }


def email_claims(person: DemoPerson) -> dict[str, Any]:
    return {"email": person.email, "email_verified": True}


def with_groups(state: ProviderState, claims: Changes, grant: Grant) -> Changes:
    claims = {**claims, "groups": list(state.staff[grant.sub].groups)}
    # Looked at, not taken: a one-shot group fault is meant for UserInfo, which follows.
    for fault, changes in GROUP_FAULTS.items():
        if state.faults.look(fault):
            claims = changed(claims, changes)
    return claims


def signature_fault(state: ProviderState) -> Fault | None:
    return next((each for each in SIGNATURE_FAULTS if state.faults.take(each)), None)


def at_hash(access_token: str) -> str:
    """The left half of the token's SHA-256, as RS256 has it (Core 3.1.3.6)."""
    digest = hashlib.sha256(access_token.encode()).digest()
    return base64url_encode(digest[: len(digest) // 2]).decode()
