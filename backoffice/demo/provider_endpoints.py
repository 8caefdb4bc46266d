from __future__ import annotations

import binascii
import hashlib
import re
import secrets
from base64 import b64decode
from collections import Counter
from urllib.parse import unquote_plus

from jwt.utils import base64url_encode

from backoffice.demo.messages import Request, Response, json_response
from backoffice.demo.provider_authorize import PROMPTS, SCOPES
from backoffice.demo.provider_claims import (
    ACR_CARD,
    ACR_STRONG,
    id_token,
)
from backoffice.demo.provider_claims import userinfo as userinfo_claims
from backoffice.demo.provider_faults import Fault
from backoffice.demo.provider_keys import ALGORITHM
from backoffice.demo.provider_state import ACCESS_SECONDS, Client, Grant, ProviderState
from backoffice.demo.provider_texts import TEXTS

VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, 4.1
BROKEN_KEYS = (
    {"kty": "RSA", "kid": "broken", "use": "sig", "n": "!not base64!", "e": "AQAB"},
    {"kty": "of-tomorrow", "kid": "unknown-kind"},
)


def discovery(state: ProviderState, request: Request) -> Response:
    """What OpenID Connect Discovery 3 and the logout specifications ask for."""
    issuer = state.issuer
    wrong = state.faults.take(Fault.DISCOVERY_ISSUER_WRONG)
    return json_response(
        {
            "issuer": "https://elsewhere.example" if wrong else issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "jwks_uri": f"{issuer}/jwks",
            "end_session_endpoint": f"{issuer}/end_session",
            "revocation_endpoint": f"{issuer}/revoke",
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "token_endpoint_auth_methods_supported": [
                "client_secret_basic",
                "client_secret_post",
            ],
            "code_challenge_methods_supported": ["S256"],
            "prompt_values_supported": sorted(PROMPTS),
            "acr_values_supported": [ACR_CARD, ACR_STRONG],
            "claims_supported": CLAIMS.split(),
            "ui_locales_supported": sorted(TEXTS),
            "authorization_response_iss_parameter_supported": True,
            "backchannel_logout_supported": True,
            "backchannel_logout_session_supported": True,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
        }
    )


CLAIMS = (
    "iss sub aud exp iat auth_time nonce sid at_hash acr amr name given_name "
    "family_name preferred_username email email_verified department title groups locale"
)


def jwks(state: ProviderState, request: Request) -> Response:
    keys = state.keys.jwks()
    if state.faults.take(Fault.JWKS_UNPARSEABLE):
        keys = [*BROKEN_KEYS, *keys]
    if state.faults.take(Fault.JWKS_EMPTY):
        keys = []
    return json_response({"keys": keys})


def token(state: ProviderState, request: Request) -> Response:
    """The token endpoint of RFC 6749, 4.1.3 and 6."""
    if any(count > 1 for count in Counter(k for k, _ in request.form_pairs).values()):
        return token_refusal("invalid_request")
    client = authenticated_client(state, request)
    if client is None:
        challenge = ("WWW-Authenticate", 'Basic realm="token"')
        return json_response({"error": "invalid_client"}, 401, [challenge])
    match request.form.get("grant_type"):
        case "authorization_code":
            return code_exchanged(state, request, client)
        case "refresh_token":
            return refreshed(state, request, client)
    return token_refusal("unsupported_grant_type")


def revoke(state: ProviderState, request: Request) -> Response:
    """The revocation endpoint of RFC 7009: 200, also for a token nobody knows."""
    client = authenticated_client(state, request)
    if client is None:
        return json_response({"error": "invalid_client"}, 401)
    state.revoke_token(request.form.get("token", ""), client.client_id)
    return json_response({})


def userinfo(state: ProviderState, request: Request) -> Response:
    scheme, _, access_token = request.header("Authorization").partition(" ")
    grant = state.access_grant(access_token) if scheme.lower() == "bearer" else None
    if grant is None:
        challenge = ("WWW-Authenticate", 'Bearer error="invalid_token"')
        return json_response({"error": "invalid_token"}, 401, [challenge])
    return json_response(userinfo_claims(state, grant))


def code_exchanged(state: ProviderState, request: Request, client: Client) -> Response:
    code = state.take_code(request.form.get("code", ""), client.client_id)
    if code is None or request.form.get("redirect_uri") != code.redirect_uri:
        return token_refusal("invalid_grant")
    if not matches(request.form.get("code_verifier", ""), code.challenge):
        return token_refusal("invalid_grant")
    return tokens(state, code.grant, nonce=code.grant.nonce)


def refreshed(state: ProviderState, request: Request, client: Client) -> Response:
    refused = state.faults.take(Fault.REFRESH_REFUSED)
    presented = request.form.get("refresh_token", "")
    grant = None if refused else state.take_refresh(presented, client.client_id)
    if grant is None:
        return token_refusal("invalid_grant")
    # An ID token from a refresh has no nonce (Core 12.2).
    return tokens(state, grant, nonce="")


def tokens(state: ProviderState, grant: Grant, *, nonce: str) -> Response:
    access_token, refresh_token = state.issue_tokens(grant)
    return json_response(
        {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": ACCESS_SECONDS,
            "refresh_token": refresh_token,
            "scope": " ".join(grant.scope),
            "id_token": id_token(state, grant, access_token, nonce),
        },
        headers=[("Pragma", "no-cache")],
    )


def token_refusal(error: str) -> Response:
    return json_response({"error": error}, 400)


def authenticated_client(state: ProviderState, request: Request) -> Client | None:
    """Whoever proved to be a client: by HTTP Basic or in the form, not by both."""
    basic = basic_credentials(request.header("Authorization"))
    posted = request.form.get("client_id", ""), request.form.get("client_secret", "")
    if basic and posted[1]:
        return None
    client_id, secret = basic or posted
    client = state.clients.get(client_id)
    if client is None or not secret:
        return None
    same = secrets.compare_digest(client.secret.encode(), secret.encode())
    return client if same else None


def basic_credentials(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    # Both halves are form-encoded first (RFC 6749, 2.3.1).
    return unquote_plus(name), unquote_plus(secret)


def matches(verifier: str, challenge: str) -> bool:
    """Whether the PKCE verifier is the one whose hash began the sign-in."""
    if not VERIFIER.fullmatch(verifier):
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    return secrets.compare_digest(base64url_encode(digest).decode(), challenge)
