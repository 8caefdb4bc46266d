"""The keys with which the provider signs, ID tokens and logout tokens alike.

The token says which key it was signed with, and whoever forges one says what they
like: a name is only ever looked up among the keys that the provider publishes, and
`jku`, `x5u` and `jwk` in a header are not read at all (RFC 8725, 3.10).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jwt
from social_core.exceptions import AuthResponseError

from accounts.sso.documents import Document

Key = dict[str, Any]

# Each provider's own, also where two publish them at one address.
_documents: dict[tuple[str, str], Document[list[Key]]] = {}


def find(backend: Any, kid: str | None) -> list[Key]:
    """The keys of this name, all of them for None; asks the provider for a new name.

    At most once in documents.RENEW_SECONDS, whoever makes us ask. Raises
    AuthProviderError or AuthResponseError when the provider cannot tell.
    """
    document = _document(backend)
    found = _named(kid, document.get(backend.get_remote_jwks_keys))
    return found or find_again(backend, kid)


def candidates(backend: Any, kid: str | None) -> Iterator[Key]:
    """The keys to try: those found first and then, if need be, those of now."""
    for ask in (find, find_again):
        yield from ask(backend, kid)


def find_again(backend: Any, kid: str | None) -> list[Key]:
    """The same, asked anew: for when none of the keys found was the right one.

    Empty when the provider was asked a moment ago; some use a name twice.
    """
    renewed = _document(backend).renew(backend.get_remote_jwks_keys)
    return _named(kid, renewed or [])


def find_signer(backend: Any, token: str) -> Key | None:
    """The key that signed this token, with the `alg` used; None when there is none.

    Raises jwt.PyJWTError for what is no token, and what `find` raises.
    """
    header = jwt.get_unverified_header(token)
    algorithm, kid = header.get("alg"), header.get("kid")
    # `none` and HS256 are not on the list: a published key is no shared secret.
    if algorithm not in backend.setting("JWT_ALGORITHMS", []):
        return None
    for key in candidates(backend, kid):
        candidate = {**key, "alg": algorithm}
        if key.get("alg", algorithm) == algorithm and _has_signed(candidate, token):
            return candidate
    return None


def forget() -> None:
    """Starts anew, as a new process does."""
    _documents.clear()


def read(published: Any, backend: Any) -> list[Key]:
    """The keys of a JWK Set (RFC 7517, 5), those that we cannot use left out.

    One of tomorrow's kind must not cost today's sign-in. Raises AuthResponseError
    when it is no JWK Set at all.
    """
    keys = published.get("keys") if isinstance(published, dict) else None
    if not isinstance(keys, list):
        raise AuthResponseError(
            backend, code="malformed_response", stage="token_validation"
        )
    return [key for key in keys if isinstance(key, dict) and _is_usable(key)]


def _document(backend: Any) -> Document[list[Key]]:
    place = (backend.provider.issuer, backend.jwks_uri())
    return _documents.setdefault(place, Document("jwks"))


def _named(kid: str | None, keys: list[Key]) -> list[Key]:
    # A key that was published without a name may be the one that is meant.
    return [key for key in keys if kid is None or key.get("kid") in {kid, None}]


def _has_signed(key: Key, token: str) -> bool:
    try:
        algorithm = key["alg"]
        jwt.PyJWS().decode_complete(token, jwt.PyJWK(key), algorithms=[algorithm])
    except (jwt.InvalidSignatureError, jwt.InvalidKeyError, jwt.PyJWKError):
        return False
    return True


def _is_usable(key: Key) -> bool:
    try:
        is_meant = "verify" in key.get("key_ops", ["verify"])
        parsed = jwt.PyJWK(key)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return False
    # An RSA key of less than 2048 bits is refused (RFC 7518, 3.3).
    is_weak = parsed.Algorithm.check_key_length(parsed.key)
    is_public = key.get("kty") != "oct" and key.get("use", "sig") == "sig"
    return is_meant and is_public and not is_weak
