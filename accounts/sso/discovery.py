from __future__ import annotations

from typing import Any

from social_core.exceptions import AuthResponseError

from accounts.sso.documents import Document
from accounts.sso.fetch import is_secure

ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
    "end_session_endpoint",
    "revocation_endpoint",
)

_documents: dict[str, Document[dict[str, Any]]] = {}


def configuration(backend: Any, url: str) -> dict[str, Any]:
    """The provider's own description (OpenID Connect Discovery 4).

    Raises AuthProviderError when it cannot be had and AuthResponseError when it is
    not the configured issuer's; such a one is never remembered.
    """
    issuer = backend.provider.issuer
    document = _documents.setdefault(issuer, Document("discovery"))
    return document.get(lambda: _checked(backend.get_json(url, stage="begin"), backend))


def forget() -> None:
    """Starts anew, as a new process does."""
    _documents.clear()


def _checked(found: Any, backend: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise AuthResponseError(backend, code="malformed_response", stage="begin")
    # Else another issuer's document could name its own keys as this one's (4.3).
    if found.get("issuer") != backend.provider.issuer:
        raise AuthResponseError(
            backend, claim="issuer", code="invalid_claim", stage="begin"
        )
    # What is not there is left out; some say null or nothing instead.
    said: dict[str, Any] = {k: v for k, v in found.items() if v not in (None, "")}
    for name in ENDPOINTS:
        if name in said and not is_secure(said[name]):
            raise AuthResponseError(
                backend, claim=name, code="invalid_claim", stage="begin"
            )
    methods = said.get("token_endpoint_auth_methods_supported")
    if methods is not None and not isinstance(methods, list):
        raise AuthResponseError(backend, code="malformed_response", stage="begin")
    return said
